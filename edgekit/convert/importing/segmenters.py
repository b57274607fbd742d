"""Segmentation models: PaddleSeg's `deploy.yaml`, and recognition of a program's output."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgekit.convert.importing.place import Place
from edgekit.core.artifact import TensorSpec
from edgekit.core.preprocess import Interpolation, Preprocess, Resize
from edgekit.errors import InputError

_INTERPOLATIONS = {
    "NEAREST": Interpolation.NEAREST,
    "LINEAR": Interpolation.BILINEAR,
    "CUBIC": Interpolation.BICUBIC,
    "AREA": Interpolation.AREA,
    "LANCZOS4": Interpolation.LANCZOS,
}


class Segmenter(msgspec.Struct, frozen=True, kw_only=True):
    """Preprocessing of a segmentation model as its configuration says.

    Attributes:
        resize: The only resize; None where pictures go in at their own size.
    """

    resize: Resize | None
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def preprocess(self, size: tuple[int, int]) -> Preprocess:
        """Return the preprocessing for a network of a height and width, pixels."""
        step = self.resize or Resize(size=size)
        mean, std = (msgspec.convert(each, tuple[float, float, float]) for each in (self.mean, self.std))
        return Preprocess(steps=(step,), mean=mean, std=std)


class _Deploy(msgspec.Struct):
    transforms: list[dict[str, object]] | None = None


class _Normalize(msgspec.Struct, forbid_unknown_fields=True):
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)


class _Resize(msgspec.Struct, forbid_unknown_fields=True):
    target_size: tuple[int, int] = (512, 512)
    """Width and height."""
    interp: str = "LINEAR"
    keep_ratio: bool = False
    size_divisor: int | None = None


def read_segmenter(section: object, place: Place) -> Segmenter:
    """Read the `Deploy` section of PaddleSeg's `deploy.yaml` (release 2.9, paddleseg/core/export.py).

    Raises:
        InputError: A transform is none that edgekit has; its place is named.
    """
    resize: Resize | None = None
    numbers = _Normalize((0.0,) * 3, (1 / 255,) * 3)  # values 0 to 255 where nothing normalises
    for index, entry in enumerate(place.read(section, _Deploy).transforms or ()):
        arguments = dict(entry)
        name = arguments.pop("type", None)
        where = place.at(f".transforms[{index}] {name}")
        if name == "Normalize":
            numbers = where.read(arguments, _Normalize)
        elif name == "Resize" and resize is None:
            given = where.read(arguments, _Resize)
            if given.keep_ratio:
                raise where.refuse("keep_ratio: the size of what comes out depends on the picture")
            if given.interp not in _INTERPOLATIONS:
                raise where.refuse(f"interp {given.interp}: edgekit has {', '.join(_INTERPOLATIONS)}")
            width, height = given.target_size
            how = _INTERPOLATIONS[given.interp]
            resize = where.step(Resize, size=(height, width), interpolation=how)
        else:
            raise where.refuse("edgekit has no such transform for label maps, or not at this place")
    return Segmenter(resize=resize, mean=numbers.mean, std=numbers.std)


class Labelling(msgspec.Struct, frozen=True, kw_only=True):
    """Program that computes label maps.

    Attributes:
        num_classes: Number of classes; None where the output is a label map, whose shape does not tell it.
        size: Height and width of its pictures, pixels.
    """

    num_classes: int | None
    size: tuple[int, int]


def recognise_segmenter(
    inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], origin: str
) -> Labelling:
    """Return the classes and the size of a segmentation model by its inputs and outputs.

    Raises:
        InputError: It is no program of one picture and one label map.
    """
    if len(inputs) == len(outputs) == 1 and len(inputs[0].shape) == 4:
        height, width = inputs[0].shape[2:]
        (output,) = outputs
        sizes = output.shape[1:]
        if height is not None and width is not None:
            size = (height, width)
            if output.dtype.startswith(("int", "uint")) and sizes in (size, (1, *size)):
                return Labelling(num_classes=None, size=size)
            if output.dtype == "float32" and len(sizes) == 3 and sizes[0] is not None:
                return Labelling(num_classes=sizes[0], size=size)
    shown = ", ".join(f"{each.dtype}{list(each.shape)}" for each in (*inputs, *outputs))
    raise InputError(
        f"importing {origin}: its configuration is of segmentation, but {shown} are not a picture and its "
        "label map or scores",
        hint="name the configuration of this very model (--preprocess FILE), or leave it out",
    )
