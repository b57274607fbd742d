"""Random changes of pictures during training, as steps of a recipe (PaddleClas's `transform_ops`).

Each step draws from the generator that it is given and from nothing else, so that a resumed run repeats them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from edgekit.core.preprocess import Interpolation, Preprocess, Resize, ResizeBackend
from edgekit.errors import InputError
from edgekit.vision.preprocess import Preprocessor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.vision.decode import Pixels

    Random = np.random.Generator

# PaddleClas, RandCropImage: sides of a crop differ by at most 4 to 3.
MAX_ASPECT = 4 / 3
Share = Annotated[float, Meta(ge=0, le=1)]
Side = Annotated[int, Meta(gt=0, le=4096)]


class RandomResizedCrop(msgspec.Struct, frozen=True, kw_only=True, tag="resized-crop"):
    """A random part of the picture, resized (PaddleClas's RandCropImage).

    Attributes:
        size: Height and width of the result, pixels; None for the network's.
        min_area: Smallest share of the picture that a crop takes.
    """

    size: tuple[Side, Side] | None = None
    min_area: Annotated[float, Meta(gt=0, le=1)] = 0.08
    interpolation: Interpolation = Interpolation.BILINEAR
    backend: ResizeBackend = ResizeBackend.OPENCV

    def apply(self, pixels: Pixels, rng: Random, name: str) -> Pixels:
        import numpy as np

        height, width = pixels.shape[:2]
        # PaddleClas draws the aspect first and bounds the area by what then fits.
        root = math.sqrt(rng.uniform(1 / MAX_ASPECT, MAX_ASPECT))
        bound = min(width / height / root**2, height / width * root**2)
        area = width * height * rng.uniform(min(self.min_area, bound), min(1.0, bound))
        wide = max(1, min(width, int(math.sqrt(area) * root)))
        high = max(1, min(height, int(math.sqrt(area) / root)))
        left = int(rng.integers(0, width - wide + 1))
        top = int(rng.integers(0, height - high + 1))
        assert self.size is not None, "Augment gives every crop its size"
        part = np.ascontiguousarray(pixels[top : top + high, left : left + wide])
        return _resized(part, self.size, self.interpolation, self.backend, name)


class RandomCrop(msgspec.Struct, frozen=True, kw_only=True, tag="crop"):
    """A part of a height and width at a random place (PaddleClas's RandomCropImage)."""

    size: tuple[Side, Side]

    def apply(self, pixels: Pixels, rng: Random, name: str) -> Pixels:
        (height, width), (high, wide) = pixels.shape[:2], self.size
        if height < high or width < wide:
            raise InputError(
                f"augmenting {name}: {width}x{height} pixels are less than the random crop of {wide}x{high}",
                hint="resize or pad before the crop",
            )
        top, left = int(rng.integers(0, height - high + 1)), int(rng.integers(0, width - wide + 1))
        return pixels[top : top + high, left : left + wide]


class ResizeTo(msgspec.Struct, frozen=True, kw_only=True, tag="resize"):
    """A resize to a height and width, pixels, that does not keep the aspect."""

    size: tuple[Side, Side]
    interpolation: Interpolation = Interpolation.BILINEAR
    backend: ResizeBackend = ResizeBackend.OPENCV

    def apply(self, pixels: Pixels, rng: Random, name: str) -> Pixels:
        return _resized(pixels, self.size, self.interpolation, self.backend, name)


class CentrePad(msgspec.Struct, frozen=True, kw_only=True, tag="pad"):
    """A border up to a height and width around the picture (PaddleClas's Padv2 with `pad_mode: 1`)."""

    size: tuple[Side, Side]
    level: Annotated[int, Meta(ge=0, le=255)] = 0

    def apply(self, pixels: Pixels, rng: Random, name: str) -> Pixels:
        import numpy as np

        (height, width), (high, wide) = pixels.shape[:2], self.size
        if height > high or width > wide:
            raise InputError(f"augmenting {name}: {width}x{height} pixels are padded to less, {wide}x{high}")
        top, left = (high - height) // 2, (wide - width) // 2
        border = ((top, high - height - top), (left, wide - width - left), (0, 0))
        return np.pad(pixels, border, constant_values=self.level)


class Flip(msgspec.Struct, frozen=True, kw_only=True, tag="flip"):
    """Mirroring of half of the pictures, left to right."""

    def apply(self, pixels: Pixels, rng: Random, name: str) -> Pixels:
        return pixels[:, ::-1] if rng.random() < 0.5 else pixels


class RandAugment(msgspec.Struct, frozen=True, kw_only=True, tag="randaugment"):
    """Some of fifteen distortions (Cubuk et al., "RandAugment", 2020), by timm's `rand-mM-mstdS-inc1`.

    Attributes:
        prob: Share of the pictures that are distorted at all.
        magnitude: Mean strength of a distortion, 0 to 10.
        deviation: Standard deviation of the strength.
        layers: Distortions drawn a picture; each is applied with probability 0.5.
    """

    prob: Share = 1.0
    magnitude: Annotated[float, Meta(ge=0)] = 9.0
    deviation: Annotated[float, Meta(ge=0)] = 0.5
    layers: Annotated[int, Meta(gt=0, le=15)] = 2

    def apply(self, pixels: Pixels, rng: Random, name: str) -> Pixels:
        import numpy as np
        from PIL import Image

        if rng.random() >= self.prob:
            return pixels
        image = Image.fromarray(np.ascontiguousarray(pixels[:, :, ::-1]))  # Pillow's colours are RGB
        for distort in rng.choice(len(_DISTORTIONS), self.layers):
            if rng.random() < 0.5:
                strength = min(10.0, max(0.0, rng.normal(self.magnitude, self.deviation))) / 10
                sign = -1.0 if rng.random() < 0.5 else 1.0
                image = _DISTORTIONS[distort](image, strength, sign)
        return np.asarray(image)[:, :, ::-1]


class AutoAugment(msgspec.Struct, frozen=True, kw_only=True, tag="autoaugment"):
    """One of 25 learned pairs of distortions (Cubuk et al., "AutoAugment", 2019, the policy for ImageNet)."""

    def apply(self, pixels: Pixels, rng: Random, name: str) -> Pixels:
        import numpy as np
        from PIL import Image

        image = Image.fromarray(np.ascontiguousarray(pixels[:, :, ::-1]))
        for prob, distort, level in _POLICY[rng.integers(len(_POLICY))]:
            if rng.random() < prob:
                image = _LEARNED[distort](image, level / 9, -1.0 if rng.random() < 0.5 else 1.0)
        return np.asarray(image)[:, :, ::-1]


class RandomErasing(msgspec.Struct, frozen=True, kw_only=True, tag="erasing"):
    """A rectangle of noise over some of the normalised pictures (Zhong et al., "Random Erasing", 2017).

    Attributes:
        prob: Share of the pictures.
        area: Smallest and largest share of the picture that is covered.
        aspect: Smallest ratio of height and width; the largest is its inverse. It is drawn on a logarithmic
            scale.
        attempts: Number of rectangles tried until one fits.
    """

    prob: Share = 0.5
    area: tuple[Share, Share] = (0.02, 0.4)
    aspect: Annotated[float, Meta(gt=0, le=1)] = 0.3
    attempts: Annotated[int, Meta(gt=0)] = 10

    def erase(self, values: NDArray[np.float32], rng: Random) -> None:
        """Cover a part of float32[channels,height,width]."""
        if rng.random() >= self.prob:
            return
        channels, height, width = values.shape
        for _ in range(self.attempts):
            area = rng.uniform(*self.area) * height * width
            aspect = math.exp(rng.uniform(math.log(self.aspect), -math.log(self.aspect)))
            high, wide = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if high < height and wide < width:
                top = int(rng.integers(0, height - high + 1))
                left = int(rng.integers(0, width - wide + 1))
                values[:, top : top + high, left : left + wide] = rng.standard_normal((channels, high, wide))
                return


Step = (
    RandomResizedCrop | RandomCrop | ResizeTo | CentrePad | Flip | RandAugment | AutoAugment | RandomErasing
)
DEFAULT: tuple[Step, ...] = (RandomResizedCrop(), Flip())


class Augment:
    """A recipe's steps, then the network's normalisation, then what covers normalised pictures.

    Args:
        parameters: The model's preprocessing; its size is that of the result.
        steps: The steps; the last one that changes the size must give the network's.
    """

    def __init__(self, parameters: Preprocess, steps: Sequence[Step]) -> None:
        size = parameters.size
        self._steps = [
            msgspec.structs.replace(step, size=size)
            if isinstance(step, RandomResizedCrop) and step.size is None
            else step
            for step in steps
            if not isinstance(step, RandomErasing)
        ]
        self._erasing = [step for step in steps if isinstance(step, RandomErasing)]
        self._size = size
        plain = msgspec.structs.replace(parameters, steps=(Resize(size=size),))
        self._write = Preprocessor(plain).write

    def __call__(self, pixels: Pixels, out: NDArray[np.float32], name: str, rng: Random) -> None:
        """Augment one decoded picture (uint8[H,W,3] BGR) into its place in a batch."""
        import numpy as np

        for step in self._steps:
            pixels = step.apply(pixels, rng, name)
        if pixels.shape[:2] != self._size:
            shapes = ["x".join(map(str, reversed(size))) for size in (pixels.shape[:2], self._size)]
            raise InputError(
                f"augmenting {name}: it becomes {shapes[0]} pixels, the network takes {shapes[1]}",
                hint="end the steps with a crop or a resize to the network's size",
            )
        self._write(np.ascontiguousarray(pixels), out, name)
        for erasing in self._erasing:
            erasing.erase(out, rng)


def _resized(
    pixels: Pixels, size: tuple[int, int], how: Interpolation, backend: ResizeBackend, name: str
) -> Pixels:
    step = Resize(size=size, interpolation=how, backend=backend)
    return Preprocessor(Preprocess(steps=(step,))).resize_and_crop(pixels, name)


def _affine(image: Any, matrix: tuple[float, ...]) -> Any:
    from PIL import Image

    return image.transform(
        image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC, fillcolor=_FILL
    )


def _enhanced(kind: str) -> Callable[[Any, float, float], Any]:
    def distort(image: Any, strength: float, sign: float) -> Any:
        from PIL import ImageEnhance

        return getattr(ImageEnhance, kind)(image).enhance(1 + sign * 0.9 * strength)

    return distort


def _operation(name: str, *levels: Callable[[float], int]) -> Callable[[Any, float, float], Any]:
    def distort(image: Any, strength: float, sign: float) -> Any:
        from PIL import ImageOps

        return getattr(ImageOps, name)(image, *(level(strength) for level in levels))

    return distort


def _posterize(image: Any, strength: float, sign: float) -> Any:
    from PIL import ImageOps

    bits = 4 - int(strength * 4)
    return ImageOps.posterize(image, bits) if bits else image.point(lambda level: 0)


def _rotate(image: Any, strength: float, sign: float) -> Any:
    from PIL import Image

    return image.rotate(sign * 30 * strength, Image.Resampling.BICUBIC, fillcolor=_FILL)


def _solarize_add(image: Any, strength: float, sign: float) -> Any:
    add = int(strength * 110)
    return image.point([min(255, level + add) if level < 128 else level for level in range(256)] * 3)


# ImageNet's mean colour, 0 to 255.
_FILL = (124, 116, 104)
# timm's increasing set (timm/data/auto_augment.py, `_RAND_INCREASING_TRANSFORMS`); strengths are 0 to 1.
_DISTORTIONS: tuple[Callable[[Any, float, float], Any], ...] = (
    _operation("autocontrast"),
    _operation("equalize"),
    _operation("invert"),
    _rotate,
    _posterize,
    _operation("solarize", lambda strength: 256 - int(strength * 256)),
    _solarize_add,
    _enhanced("Color"),
    _enhanced("Contrast"),
    _enhanced("Brightness"),
    _enhanced("Sharpness"),
    lambda image, strength, sign: _affine(image, (1, sign * 0.3 * strength, 0, 0, 1, 0)),
    lambda image, strength, sign: _affine(image, (1, 0, 0, sign * 0.3 * strength, 1, 0)),
    lambda image, strength, sign: _affine(image, (1, 0, sign * 0.45 * strength * image.width, 0, 1, 0)),
    lambda image, strength, sign: _affine(image, (1, 0, 0, 0, 1, sign * 0.45 * strength * image.height)),
)

# By name, for AutoAugment: PaddleClas's ranges of strength (ppcls/data/preprocess/ops/autoaugment.py).
_LEARNED: dict[str, Callable[[Any, float, float], Any]] = {
    "autocontrast": _operation("autocontrast"),
    "color": _enhanced("Color"),
    "contrast": _enhanced("Contrast"),
    "equalize": _operation("equalize"),
    "invert": _operation("invert"),
    "posterize": _operation("posterize", lambda strength: round(8 - 4 * strength)),
    "rotate": lambda image, strength, sign: _rotate(image, strength, 1.0),
    "sharpness": _enhanced("Sharpness"),
    "shear": lambda image, strength, sign: _affine(image, (1, sign * 0.3 * strength, 0, 0, 1, 0)),
    "solarize": _operation("solarize", lambda strength: round(256 * (1 - strength))),
}
# Probability, name and level, 0 to 9, of both distortions of each pair (table 9 of the paper).
_POLICY = tuple(
    tuple(zip((float(first), float(second)), (one, other), (int(level), int(next_level)), strict=True))
    for first, one, level, second, other, next_level in (
        line.split()
        for line in """
        0.4 posterize 8 0.6 rotate 9
        0.6 solarize 5 0.6 autocontrast 5
        0.8 equalize 8 0.6 equalize 3
        0.6 posterize 7 0.6 posterize 6
        0.4 equalize 7 0.2 solarize 4
        0.4 equalize 4 0.8 rotate 8
        0.6 solarize 3 0.6 equalize 7
        0.8 posterize 5 1.0 equalize 2
        0.2 rotate 3 0.6 solarize 8
        0.6 equalize 8 0.4 posterize 6
        0.8 rotate 8 0.4 color 0
        0.4 rotate 9 0.6 equalize 2
        0.0 equalize 7 0.8 equalize 8
        0.6 invert 4 1.0 equalize 8
        0.6 color 4 1.0 contrast 8
        0.8 rotate 8 1.0 color 2
        0.8 color 8 0.8 solarize 7
        0.4 sharpness 7 0.6 invert 8
        0.6 shear 5 1.0 equalize 9
        0.4 color 0 0.6 equalize 3
        0.4 equalize 7 0.2 solarize 4
        0.6 solarize 5 0.6 autocontrast 5
        0.6 invert 4 1.0 equalize 8
        0.6 color 4 1.0 contrast 8
        0.8 equalize 8 0.6 equalize 3
        """.strip().splitlines()
    )
)
