"""PaddleClas's operators on pictures and batches of training, as steps of an augmentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from edgekit.core.preprocess import Interpolation, ResizeBackend
from edgekit.training import augment
from edgekit.training.recipe.sections import Section

Size = int | tuple[int, int]
_BACKENDS = {"cv2": ResizeBackend.OPENCV, "pil": ResizeBackend.PILLOW}


class _Crop(Section):
    size: Size
    interpolation: str = "bilinear"
    backend: Literal["cv2", "pil"] = "cv2"


class _Resize(Section):
    size: Size
    interpolation: str = "bilinear"
    backend: Literal["cv2", "pil"] = "cv2"


class _RandomCrop(Section):
    size: Size


class _Pad(Section):
    size: Size
    pad_mode: Literal[1]
    fill_value: int = 0


class _FlipImage(Section):
    flip_code: Literal[1] = 1


class _RandAugment(Section):
    prob: float = 0.5
    config_str: str = "rand-m9-mstd0.5-inc1"
    interpolation: Literal["bicubic"] = "bicubic"
    img_size: Any = 224


class _AutoAugment(Section):
    pass


class _Erasing(Section):
    use_log_aspect: Literal[True]
    mode: Literal["pixel"]
    EPSILON: float | str = 0.5
    sl: float | str = 0.02
    sh: float | str = 0.4
    r1: float | str = 0.3
    attempt: int = 100


class Mixed(Section):
    alpha: float
    prob: float = 1.0


def _pair(size: Size) -> tuple[int, int]:
    """Return height and width of a size that PaddleClas gives as (width, height)."""
    return (size, size) if isinstance(size, int) else (size[1], size[0])


def _number(value: float | str) -> float:
    """Return a number or a quotient like `1.0/3.0`."""
    if not isinstance(value, str):
        return value
    above, slash, below = value.partition("/")
    return float(above) / (float(below) if slash else 1.0)


def _randaugment(given: _RandAugment) -> augment.Step:
    """Read timm's `rand-m9-mstd0.5-inc1`."""
    kind, *parts = given.config_str.split("-")
    values = {"m": 10.0, "mstd": 0.0, "n": 2.0, "inc": 0.0}
    for part in parts:
        name = part.rstrip("0123456789.")
        if name not in values:
            raise ValueError(f"{part!r} of config_str is not understood")
        values[name] = float(part[len(name) :])
    if kind != "rand" or not values["inc"]:
        raise ValueError(f"config_str {given.config_str!r} is not rand-…-inc1")
    return augment.RandAugment(
        prob=given.prob, magnitude=values["m"], deviation=values["mstd"], layers=int(values["n"])
    )


MIXING = {"MixupOperator": "mixup", "CutmixOperator": "cutmix"}
STEPS: dict[str, tuple[type[Any], Callable[[Any], augment.Step]]] = {
    "RandCropImage": (
        _Crop,
        lambda given: augment.RandomResizedCrop(
            size=_pair(given.size),
            interpolation=Interpolation(given.interpolation),
            backend=_BACKENDS[given.backend],
        ),
    ),
    "ResizeImage": (
        _Resize,
        lambda given: augment.ResizeTo(
            size=_pair(given.size),
            interpolation=Interpolation(given.interpolation),
            backend=_BACKENDS[given.backend],
        ),
    ),
    "Padv2": (_Pad, lambda given: augment.CentrePad(size=_pair(given.size), level=given.fill_value)),
    "RandomCropImage": (_RandomCrop, lambda given: augment.RandomCrop(size=_pair(given.size))),
    "RandFlipImage": (_FlipImage, lambda given: augment.Flip()),
    "AutoAugment": (_AutoAugment, lambda given: augment.AutoAugment()),
    "TimmAutoAugment": (_RandAugment, _randaugment),
    "RandomErasing": (
        _Erasing,
        lambda given: augment.RandomErasing(
            prob=_number(given.EPSILON),
            area=(_number(given.sl), _number(given.sh)),
            aspect=_number(given.r1),
            attempts=given.attempt,
        ),
    ),
}
