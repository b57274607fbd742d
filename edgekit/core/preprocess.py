"""Records of what turns a picture into a network's input: resizes, crops, paddings, normalisation."""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec
from msgspec import Meta

# The largest float32 picture takes 200 MB.
MOST_PIXELS = 4096
MOST_LEVEL = 1e6  # of a picture's values, float32 holds their quotients
Pixels = Annotated[int, Meta(gt=0, le=MOST_PIXELS)]


class Interpolation(enum.Enum):
    """Sampling method of a resize."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    AREA = "area"
    LANCZOS = "lanczos"


class ResizeBackend(enum.Enum):
    """Library that resizes; the two give different bytes."""

    OPENCV = "opencv"
    PILLOW = "pillow"


class ChannelOrder(enum.Enum):
    """Order of the colour channels that the network was trained on, or its only channel."""

    RGB = "rgb"
    BGR = "bgr"
    GREY = "grey"


class Resize(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="step",
             tag="resize"):  # fmt: skip
    """One resize: of the short side, to a size, or within two bounds.

    Attributes:
        short: Length of the short side after the resize, pixels; the aspect ratio is kept.
        size: Height and width after the resize, pixels; the aspect ratio is not kept.
        within: Bounds of the short and of the long side, pixels; one of them is reached, and the aspect ratio
            is kept (`keep_ratio` of PaddleDetection's Resize).
    """

    short: Pixels | None = None
    size: tuple[Pixels, Pixels] | None = None
    within: tuple[Pixels, Pixels] | None = None
    interpolation: Interpolation = Interpolation.BILINEAR
    backend: ResizeBackend = ResizeBackend.OPENCV

    def __post_init__(self) -> None:
        if [self.short, self.size, self.within].count(None) != 2:
            raise ValueError("a resize has one of short, size and within")
        if self.within is not None and self.within[0] > self.within[1]:
            raise ValueError("within is the bound of the short side, then that of the long one")
        if self.within is not None and self.backend is ResizeBackend.PILLOW:
            raise ValueError("a resize within bounds is OpenCV's")
        if self.backend is ResizeBackend.PILLOW and self.interpolation is Interpolation.AREA:
            raise ValueError("Pillow has no interpolation area")

    def within_ratio(self, size: tuple[int, int]) -> float:
        """Return the new length of a side over the old one, of a picture of a height and width.

        As PaddleDetection's Resize computes it (release 2.6, deploy/python/preprocess.py).
        """
        assert self.within is not None
        ratio = self.within[0] / min(size)
        return self.within[1] / max(size) if round(ratio * max(size)) > self.within[1] else ratio

    def target(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return height and width after the resize of a picture of a height and width, pixels."""
        if self.within is not None:
            ratio = self.within_ratio(size)
            return round(size[0] * ratio), round(size[1] * ratio)
        return self.size or scaled_size(size, self.short or min(size))

    def scale(self, size: tuple[int, int]) -> tuple[float, float]:
        """Return new over old pixels, vertical and horizontal; within bounds before sides are rounded."""
        if self.within is not None:
            ratio = self.within_ratio(size)
            return ratio, ratio
        new = self.target(size)
        return new[0] / size[0], new[1] / size[1]


class Crop(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="step",
           tag="crop"):  # fmt: skip
    """A centre crop to a height and width, pixels."""

    size: tuple[Pixels, Pixels]


class Pad(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="step",
          tag="pad"):  # fmt: skip
    """Columns to the right of a picture and rows below it, up to a height and width; the last of the steps.

    Attributes:
        size: Height and width after it, pixels.
        level: What the new pixels hold, 0 to 255 by channel in the network's order, as the picture's pixels
            before they are normalised; None for 0 after that.
    """

    size: tuple[Pixels, Pixels]
    level: tuple[float, float, float] | None = None


Step = Resize | Crop | Pad


class Preprocess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Transformation of a picture to float32[N,3,height,width] NCHW; of a grey one to [N,1,height,width].

    By default PaddleClas's evaluation transform: resize the short side, crop the centre to a square, multiply
    by `scale`, subtract `mean`, divide by `std`, by channel. Where `steps` lists other resizes and crops,
    they are done in order, and the four fields `resize_short`, `crop_size`, `interpolation` and
    `resize_backend` are ignored.

    Attributes:
        resize_short: Length of the short side after the resize, pixels; None resizes both sides to
            `crop_size` without keeping the aspect.
        crop_size: Side of the square centre crop, pixels.
        steps: Resizes and crops in order; empty for PaddleClas's usual ones.
        channel_order: Order of the channels. Grey ones are made of coloured pictures before the steps, as
            OpenCV does, and `mean`, `std` and a padding's `level` are then the first of three.
    """

    resize_short: Pixels | None = 256
    crop_size: Pixels = 224
    interpolation: Interpolation = Interpolation.BILINEAR
    resize_backend: ResizeBackend = ResizeBackend.OPENCV
    steps: tuple[Step, ...] = ()
    channel_order: ChannelOrder = ChannelOrder.RGB
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        for name, numbers in (("scale", (self.scale,)), ("mean", self.mean), ("std", self.std)):
            if not all(abs(number) <= MOST_LEVEL for number in numbers):  # nan too
                raise ValueError(f"{name} has a value that is no level of a picture")
        if min(map(abs, self.std)) < 1 / MOST_LEVEL:
            raise ValueError("a deviation in std is 0")
        if self.steps:
            _final_size(self.steps)

    @property
    def geometry(self) -> tuple[Step, ...]:
        """Return the resizes, crops and paddings in order, from `steps` or from the four usual fields."""
        if self.steps:
            return self.steps
        how = {"interpolation": self.interpolation, "backend": self.resize_backend}
        square = (self.crop_size, self.crop_size)
        if self.resize_short is None:
            return (Resize(size=square, **how),)  # type: ignore[arg-type]
        return (Resize(short=self.resize_short, **how), Crop(size=square))  # type: ignore[arg-type]

    @property
    def channels(self) -> int:
        """Number of channels of the result."""
        return 1 if self.channel_order is ChannelOrder.GREY else 3

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the result, pixels."""
        return _final_size(self.steps) if self.steps else (self.crop_size, self.crop_size)


def _final_size(steps: tuple[Step, ...]) -> tuple[int, int]:
    """Return height and width after the steps. Raises ValueError where they depend on the picture."""
    size: tuple[int, int] | None = None
    short: int | None = None
    for position, step in enumerate(steps):
        if isinstance(step, Pad):
            if position != len(steps) - 1:
                raise ValueError("a step comes after the padding")
            if size is not None and (step.size[0] < size[0] or step.size[1] < size[1]):
                raise ValueError(f"{size[0]}x{size[1]} are padded to less, {step.size[0]}x{step.size[1]}")
            return step.size
        if isinstance(step, Crop):
            least = min(size) if size is not None else short
            if least is not None and (
                max(step.size) > least if size is None else step.size[0] > size[0] or step.size[1] > size[1]
            ):
                raise ValueError(f"a crop of {step.size[0]}x{step.size[1]} is larger than what it crops")
            size = step.size
        elif step.size is not None:
            size = step.size
        elif step.short is not None:
            short = step.short
            size = None if size is None else scaled_size(size, step.short)
        else:
            short = None
            size = None if size is None else step.target(size)
    if size is None:
        raise ValueError(
            "the size of what comes out depends on the picture: a crop, a padding or a resize to a size is "
            "missing"
        )
    return size


def scaled_size(size: tuple[int, int], short: int) -> tuple[int, int]:
    """Return height and width for a short side of `short` pixels, rounded as PaddleClas rounds."""
    ratio = float(short) / min(size)
    return round(size[0] * ratio), round(size[1] * ratio)
