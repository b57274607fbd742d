"""Lists of transforms, as PaddleClas, PaddleX 3 and PaddleX 2 write them, as one `Preprocess`.

The order is kept. A transform that the record cannot express is refused with its place in the list: another
order of normalising, a size that depends on the picture, grey pictures.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator

import msgspec

from edgekit.convert.importing.modules import other_task
from edgekit.convert.importing.place import Place
from edgekit.core.preprocess import ChannelOrder, Crop, Interpolation, Preprocess, Resize, ResizeBackend

Size = int | tuple[int, int]
Three = tuple[float, float, float]
_NUMBER = r"[ ]*([0-9]+\.?[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+)[ ]*"
_QUOTIENT = re.compile(f"{_NUMBER}(?:/{_NUMBER})?")
# PaddleClas's names (UnifiedResize), PaddleX's and OpenCV's.
_INTERPOLATIONS = {each.value: each for each in Interpolation} | {
    "linear": Interpolation.BILINEAR,
    "cubic": Interpolation.BICUBIC,
    "lanczos4": Interpolation.LANCZOS,
}
_BACKENDS = {"cv2": ResizeBackend.OPENCV, "pil": ResizeBackend.PILLOW}


class _Decode(msgspec.Struct, forbid_unknown_fields=True):
    to_rgb: bool | None = None
    img_mode: str | None = None
    channel_first: bool = False
    to_np: bool = False
    backend: str = "cv2"


class _ResizeImage(msgspec.Struct, forbid_unknown_fields=True):
    resize_short: int | None = None
    size: Size | None = None
    interpolation: str | None = None
    backend: str = "cv2"
    return_numpy: bool = True


class _CropImage(msgspec.Struct, forbid_unknown_fields=True):
    size: Size = 224


class _NormalizeImage(msgspec.Struct, forbid_unknown_fields=True):
    mean: Three | None = None
    std: Three | None = None
    scale: float | str | None = None
    order: str | None = None
    channel_num: int = 3
    output_fp16: bool = False


class _ResizeByShort(msgspec.Struct, forbid_unknown_fields=True):
    short_size: int = 256
    max_size: int = -1
    interp: str = "LINEAR"


class _ResizeTo(msgspec.Struct, forbid_unknown_fields=True):
    target_size: Size
    interp: str = "LINEAR"
    keep_ratio: bool = False


class _CenterCrop(msgspec.Struct, forbid_unknown_fields=True):
    crop_size: int = 224


class _Normalize(msgspec.Struct, forbid_unknown_fields=True):
    mean: Three = (0.485, 0.456, 0.406)
    std: Three = (0.229, 0.224, 0.225)
    min_val: Three = (0.0, 0.0, 0.0)
    max_val: Three = (255.0, 255.0, 255.0)
    is_scale: bool = True


class _Numbers(msgspec.Struct, frozen=True):
    scale: float
    mean: Three
    std: Three


class TransformReader:
    """State of reading a list of transforms.

    Attributes:
        notes: Remarks for the user.
    """

    def __init__(self) -> None:
        self._steps: list[Resize | Crop] = []
        self._order = ChannelOrder.RGB
        self._numbers: _Numbers | None = None
        self._channels_first = False
        self.notes: list[str] = []

    def read(self, transforms: object, place: Place, *, order: ChannelOrder = ChannelOrder.RGB) -> Preprocess:
        """Return the record of a list of transforms.

        Args:
            transforms: List of the configuration.
            place: Place of the list.
            order: Order of the channels where no transform sets it.

        Raises:
            InputError: The record cannot express a transform or the order of transforms.
        """
        self._order = order
        for position, (name, arguments, where) in enumerate(_entries(transforms, place)):
            read = _TRANSFORMS.get(name)
            if read is None:
                raise other_task(name, where)
            if read is TransformReader._decode and position != 0:
                raise where.refuse("it is not the first transform")
            read(self, arguments, where)
        return self._finish(place)

    def _finish(self, place: Place) -> Preprocess:
        if not self._steps:
            raise place.refuse("no transform resizes the picture")
        numbers = self._numbers
        if numbers is None:
            self.notes.append(f"{place.section} does not normalise: the values 0 to 255 go in as they are")
            numbers = _Numbers(1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        try:
            usual = _usual(tuple(self._steps))
        except ValueError as error:
            raise place.refuse(str(error)) from error
        return msgspec.structs.replace(
            usual, channel_order=self._order, scale=numbers.scale, mean=numbers.mean, std=numbers.std
        )

    def _add(self, place: Place, kind: type[Resize | Crop], **fields: object) -> None:
        if self._numbers is not None or self._channels_first:
            raise place.refuse("it comes after the normalising or after ToCHWImage; edgekit resizes before")
        self._steps.append(place.step(kind, **fields))

    def _normalise(self, numbers: _Numbers, place: Place) -> None:
        if self._numbers is not None:
            raise place.refuse("it normalises a second time")
        if 0.0 in numbers.std:
            raise place.refuse("a deviation is 0")
        self._numbers = numbers

    def _decode(self, arguments: object, place: Place) -> None:
        decode = place.read(arguments, _Decode)
        if decode.channel_first:
            raise place.refuse("channel_first: edgekit resizes pictures whose channels come last")
        mode = decode.img_mode
        if mode is None:
            mode = "BGR" if decode.to_rgb is False else "RGB"
        elif decode.to_rgb is not None and decode.to_rgb != (mode == "RGB"):
            raise place.refuse(f"img_mode {mode} and to_rgb {decode.to_rgb} contradict each other")
        if mode not in ("RGB", "BGR"):
            raise place.refuse(f"img_mode {mode}: edgekit feeds pictures in RGB or BGR")
        self._order = ChannelOrder(mode.lower())
        if decode.backend.lower() != "cv2":
            self.notes.append(
                f"pictures are decoded by OpenCV, not by {decode.backend} as {place.section} says"
            )

    def _resize_image(self, arguments: object, place: Place) -> None:
        resize = place.read(arguments, _ResizeImage)
        short = resize.resize_short if resize.resize_short is not None and resize.resize_short > 0 else None
        if short is None and resize.size is None:
            raise place.refuse("it has neither resize_short nor size")
        backend = _BACKENDS.get(resize.backend.lower())
        if backend is None:
            raise place.refuse(f"backend {resize.backend}: edgekit has cv2 and pil")
        how = _interpolation(resize.interpolation or "bilinear", place)
        # Width and height in PaddleClas's ResizeImage and CropImage, and in PaddleX 3's.
        size = None if short is not None or resize.size is None else _pair(resize.size)[::-1]
        self._add(place, Resize, short=short, size=size, interpolation=how, backend=backend)

    def _crop_image(self, arguments: object, place: Place) -> None:
        size = _pair(place.read(arguments, _CropImage).size)[::-1]
        self._add(place, Crop, size=size)

    def _normalize_image(self, arguments: object, place: Place) -> None:
        values = place.read(arguments, _NormalizeImage)
        if values.channel_num != 3 or values.output_fp16:
            raise place.refuse("edgekit feeds three channels of float32 (channel_num 3, no output_fp16)")
        if values.order not in (None, "", "hwc", "chw"):
            raise place.refuse(f"order {values.order}: PaddleClas has hwc and chw")
        if values.order and (values.order == "chw") != self._channels_first:
            raise place.refuse(f"order {values.order} does not fit its place relative to ToCHWImage")
        default = Preprocess()
        scale = default.scale if values.scale is None else _scale(values.scale, place)
        self._normalise(_Numbers(scale, values.mean or default.mean, values.std or default.std), place)

    def _to_chw(self, _arguments: object, place: Place) -> None:
        if self._channels_first:
            raise place.refuse("the channels come first already")
        self._channels_first = True

    def _nothing(self, _arguments: object, _place: Place) -> None:
        """Ignore KeepKeys and ArrangeClassifier, which choose fields for a training loop."""

    def _resize_by_short(self, arguments: object, place: Place) -> None:
        resize = place.read(arguments, _ResizeByShort)
        if resize.max_size > 0:
            raise place.refuse(f"max_size {resize.max_size}: edgekit does not bound the long side")
        how = _interpolation(resize.interp, place)
        self._add(place, Resize, short=resize.short_size, interpolation=how)

    def _resize_to(self, arguments: object, place: Place) -> None:
        resize = place.read(arguments, _ResizeTo)
        if resize.keep_ratio:
            raise place.refuse("keep_ratio: the size of what comes out depends on the picture")
        how = _interpolation(resize.interp, place)
        # Height and width in PaddleX 2.
        self._add(place, Resize, size=_pair(resize.target_size), interpolation=how)

    def _center_crop(self, arguments: object, place: Place) -> None:
        side = place.read(arguments, _CenterCrop).crop_size
        self._add(place, Crop, size=(side, side))

    def _normalize(self, arguments: object, place: Place) -> None:
        values = place.read(arguments, _Normalize)
        ranges = {(low, high) for low, high in zip(values.min_val, values.max_val, strict=True)}
        if not values.is_scale:
            ranges = {(0.0, 1.0)}
        if len(ranges) != 1 or any(low >= high for low, high in ranges):
            raise place.refuse("min_val and max_val are not one range for all channels")
        ((low, high),) = ranges
        scale = 1 / (high - low)
        mean = tuple(each + low * scale for each in values.mean)
        self._normalise(_Numbers(scale, mean, values.std), place)  # type: ignore[arg-type]


_TRANSFORMS: dict[str, Callable[[TransformReader, object, Place], None]] = {
    "DecodeImage": TransformReader._decode,
    "ResizeImage": TransformReader._resize_image,
    "CropImage": TransformReader._crop_image,
    "NormalizeImage": TransformReader._normalize_image,
    "ToCHWImage": TransformReader._to_chw,
    "KeepKeys": TransformReader._nothing,
    "ResizeByShort": TransformReader._resize_by_short,
    "Resize": TransformReader._resize_to,
    "CenterCrop": TransformReader._center_crop,
    "Normalize": TransformReader._normalize,
    "ArrangeClassifier": TransformReader._nothing,
}


def _entries(transforms: object, place: Place) -> Iterator[tuple[str, object, Place]]:
    """Yield name, arguments and place of every transform: one-entry mappings, or bare names."""
    if not isinstance(transforms, list):
        raise place.refuse("it is no list of transforms")
    for index, entry in enumerate(transforms):
        where = place.at(f"[{index}]")
        if isinstance(entry, str):
            entry = {entry: None}
        if not isinstance(entry, dict) or len(entry) != 1:
            raise where.refuse("it is not one transform with its arguments")
        ((name, arguments),) = entry.items()
        yield str(name), arguments, where.at(f" {name}")


def _usual(steps: tuple[Resize | Crop, ...]) -> Preprocess:
    """Return the usual transform where the steps equal it, else a transform that lists the steps."""
    first, last = steps[0], steps[-1]
    if isinstance(first, Resize):
        usual = Preprocess(
            resize_short=first.short,
            crop_size=(last.size or (1, 1))[0],
            interpolation=first.interpolation,
            resize_backend=first.backend,
        )
        if usual.geometry == steps and (first.short is None or first.short >= usual.crop_size):
            return usual
    return Preprocess(steps=steps)


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _interpolation(name: str, place: Place) -> Interpolation:
    found = _INTERPOLATIONS.get(name.lower())
    if found is None:
        known = ", ".join(each.value for each in Interpolation)
        raise place.refuse(f"interpolation {name}: edgekit has {known}")
    return found


def _scale(value: float | str, place: Place) -> float:
    """Return a number, also of a quotient such as `1.0/255.0`, which PaddleClas evaluates as Python."""
    scale = math.nan
    if not isinstance(value, str):
        scale = value
    elif (match := _QUOTIENT.fullmatch(value)) is not None:
        divisor = float(match[2] or 1)
        scale = float(match[1]) / divisor if divisor else math.nan
    if not math.isfinite(scale) or scale == 0:
        raise place.refuse(f"scale {value!r} is no number and no quotient of two")
    return scale
