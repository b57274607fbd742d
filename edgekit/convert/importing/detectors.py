"""Detection models: PaddleDetection's `infer_cfg.yml`, and recognition of a program's outputs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec

from edgekit.convert.importing.modules import other_model
from edgekit.convert.importing.place import Place
from edgekit.core.artifact import TensorSpec
from edgekit.core.boxes import BoxesRule, DetectionRule, PicoDetRule
from edgekit.core.preprocess import Interpolation, Pad, Preprocess, Resize, Step
from edgekit.errors import InputError

# Distances of anchors that are looked for in outputs of an unknown head, input pixels.
_STRIDES = (4, 8, 16, 32, 64, 128, 256)
# OpenCV's numbers.
_INTERPOLATIONS = {
    0: Interpolation.NEAREST,
    1: Interpolation.BILINEAR,
    2: Interpolation.BICUBIC,
    3: Interpolation.AREA,
    4: Interpolation.LANCZOS,
}
SIZE_INPUTS = ("im_shape", "scale_factor")
_Three = tuple[float, float, float]


class Detector(msgspec.Struct, frozen=True, kw_only=True):
    """Answers of a detection model as its configuration says; a field that it does not set is None.

    Attributes:
        strides: Distances of the anchors by level, input pixels.
    """

    strides: tuple[int, ...] | None = None
    score_threshold: float | None = None
    nms_threshold: float | None = None
    nms_top_k: int | None = None
    keep_top_k: int | None = None
    answer_threshold: float | None = None


class _Nms(msgspec.Struct):
    score_threshold: float | None = None
    nms_threshold: float | None = None
    nms_top_k: int | None = None
    keep_top_k: int | None = None


class _Configuration(msgspec.Struct):
    arch: str
    Preprocess: list[dict[str, object]]
    label_list: tuple[str, ...]
    draw_threshold: float | None = None
    mask: bool = False
    tracker: object = None
    NMS: _Nms | None = None
    fpn_stride: tuple[int, ...] | None = None


class _Resize(msgspec.Struct, forbid_unknown_fields=True):
    target_size: int | tuple[int, int]
    keep_ratio: bool = True
    interp: int = 1


class _Normalize(msgspec.Struct, forbid_unknown_fields=True):
    mean: _Three = (0.485, 0.456, 0.406)
    std: _Three = (0.229, 0.224, 0.225)
    is_scale: bool = True
    norm_type: str = "mean_std"


class _Pad(msgspec.Struct, forbid_unknown_fields=True):
    size: int | tuple[int, int]
    fill_value: _Three = (114.0, 114.0, 114.0)


class _PadStride(msgspec.Struct, forbid_unknown_fields=True):
    stride: int = 0


def read_detector(
    document: dict[object, object], place: Place
) -> tuple[Preprocess, Detector, tuple[str, ...]]:
    """Read PaddleDetection's `infer_cfg.yml` (release 2.6, ppdet/engine/export_utils.py).

    Returns:
        The preprocessing, the answers' parameters, and the labels.

    Raises:
        InputError: It is for another task, or a transform is none that edgekit has; its place is named.
    """
    read = place.read(document, _Configuration)
    if read.mask or read.tracker is not None:
        raise other_model(f"arch {read.arch} {'gives masks' if read.mask else 'tracks'}", place)
    nms = read.NMS or _Nms()
    detector = Detector(
        strides=read.fpn_stride,
        score_threshold=nms.score_threshold,
        nms_threshold=nms.nms_threshold,
        nms_top_k=nms.nms_top_k,
        keep_top_k=nms.keep_top_k,
        answer_threshold=read.draw_threshold,
    )
    return _read_transforms(read.Preprocess, place), detector, read.label_list


def _read_transforms(transforms: Sequence[dict[str, object]], place: Place) -> Preprocess:
    resize: Resize | None = None
    pad: Pad | None = None
    numbers: dict[str, Any] = {"scale": 1.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    target, is_normalised = (0, 0), False
    for index, entry in enumerate(transforms):
        arguments = dict(entry)
        name = arguments.pop("type", None)
        where = place.at(f"Preprocess[{index}] {name}")
        if name == "Resize" and resize is None:
            read = where.read(arguments, _Resize)
            target = _pair(read.target_size)
            resize = _read_resize(read, target, where)
            if resize.within is not None:
                # Upright pictures and wide ones.
                target = (max(target), max(target))
        elif name == "NormalizeImage" and resize is not None:
            numbers, is_normalised = _read_numbers(where.read(arguments, _Normalize), where), True
        elif name == "Pad" and resize is not None and pad is None and not is_normalised:
            given = where.read(arguments, _Pad)
            pad = where.step(Pad, size=_pair(given.size), level=given.fill_value)
        elif name == "PadStride" and resize is not None:
            stride = max(1, where.read(arguments, _PadStride).stride)
            height, width = target if pad is None else pad.size
            target = (-(-height // stride) * stride, -(-width // stride) * stride)
            if pad is not None and pad.size != target:
                raise where.refuse(f"stride {stride} pads pictures of {pad.size[0]}x{pad.size[1]} once more")
        elif name != "Permute":
            raise where.refuse("edgekit has no such transform for boxes, or not at this place")
    if resize is None:
        raise place.at("Preprocess").refuse("no transform resizes the picture")
    steps: tuple[Step, ...] = (resize,)
    if pad is not None or target != resize.size:
        steps += (pad or place.at("Preprocess").step(Pad, size=target),)
    try:
        return Preprocess(steps=steps, **numbers)
    except ValueError as error:
        raise place.at("Preprocess").refuse(str(error)) from error


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _read_numbers(normalize: _Normalize, place: Place) -> dict[str, Any]:
    numbers: dict[str, Any] = {"scale": 1 / 255 if normalize.is_scale else 1.0}
    if normalize.norm_type == "mean_std":
        return numbers | {"mean": normalize.mean, "std": normalize.std}
    if normalize.norm_type != "none":
        raise place.refuse(f"norm_type {normalize.norm_type}: PaddleDetection has mean_std and none")
    return numbers | {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def _read_resize(resize: _Resize, target: tuple[int, int], place: Place) -> Resize:
    how = _INTERPOLATIONS.get(resize.interp)
    if how is None:
        raise place.refuse(f"interp {resize.interp}: edgekit has OpenCV's 0 to 4")
    if resize.keep_ratio:
        return place.step(Resize, within=(min(target), max(target)), interpolation=how)
    return place.step(Resize, size=target, interpolation=how)


class Recognised(msgspec.Struct, frozen=True, kw_only=True):
    """A program that is a detection model's.

    Attributes:
        rule: Rule by which its outputs become boxes.
        num_classes: Number of its classes; None where its outputs do not say.
        size: Height and width of its pictures, pixels.
    """

    rule: DetectionRule
    num_classes: int | None
    size: tuple[int, int]


def recognise(
    inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], detector: Detector | None
) -> Recognised | None:
    """Return a detection model's rule, classes and size by its inputs and outputs; None for another model.

    PicoDet's head is known by its shapes alone: scores, then distributions over four sides, of as many
    anchors as whole strides fit into a picture. Rows of six numbers are boxes where a configuration says that
    the model is PaddleDetection's.
    """
    pictures = [spec for spec in inputs if len(spec.shape) == 4]
    others = [spec.name for spec in inputs if len(spec.shape) != 4]
    if len(pictures) != 1 or pictures[0].dtype != "float32" or not set(others) <= set(SIZE_INPUTS):
        return None
    channels, height, width = pictures[0].shape[1:]
    if channels != 3 or height is None or width is None:
        return None
    size = (height, width)
    given = {
        field: value
        for field, value in msgspec.structs.asdict(detector or Detector()).items()
        if value is not None
    }
    if detector is not None and _are_rows(outputs):
        answer = {key: value for key, value in given.items() if key == "answer_threshold"}
        return Recognised(rule=BoxesRule(**answer), num_classes=None, size=size)
    head = None if others else _head(outputs, size)
    if head is None:
        return None
    strides, bins, num_classes = head
    if given.pop("strides", strides) != strides:
        return None
    rule = PicoDetRule(strides=strides, bins=bins, **given)
    return Recognised(rule=rule, num_classes=num_classes, size=size)


def _are_rows(outputs: Sequence[TensorSpec]) -> bool:
    rows = [spec for spec in outputs if spec.dtype == "float32" and len(spec.shape) == 2]
    counts = [spec for spec in outputs if spec.dtype in ("int32", "int64") and len(spec.shape) <= 1]
    return len(rows) == 1 and rows[0].shape[1] == 6 and len(rows) + len(counts) == len(outputs) <= 2


def _head(outputs: Sequence[TensorSpec], size: tuple[int, int]) -> tuple[tuple[int, ...], int, int] | None:
    """Return strides, bins and classes of PicoDet's head; None for other outputs."""
    levels = len(outputs) // 2
    shapes = [spec.shape for spec in outputs]
    if not levels or len(outputs) % 2 or any(len(each) != 3 or None in each[1:] for each in shapes):
        return None
    scores, sides = shapes[:levels], shapes[levels:]
    (widths, bins) = ({each[2] for each in scores}, {each[2] for each in sides})
    if any(one[1] != other[1] for one, other in zip(scores, sides, strict=True)) or len(widths | bins) > 2:
        return None
    (classes, *more_classes), (numbers, *more_numbers) = widths, bins
    if more_classes or more_numbers or classes is None or numbers is None or numbers % 4 or numbers < 8:
        return None
    anchors = {-(-size[0] // stride) * -(-size[1] // stride): stride for stride in reversed(_STRIDES)}
    strides = tuple(anchors.get(each[1] or 0, 0) for each in scores)
    if 0 in strides or any(one >= other for one, other in itertools.pairwise(strides)):
        return None
    return strides, numbers // 4, classes


def refuse_unknown(outputs: Sequence[TensorSpec], place: str) -> InputError:
    """Return the error for a detection model, by its configuration, whose outputs are no boxes."""
    shown = ", ".join(f"{spec.name} {spec.dtype}{list(spec.shape)}" for spec in outputs)
    return InputError(
        f"importing {place}: its outputs are neither rows of boxes with their counts nor PicoDet's scores "
        f"and distances: {shown}",
        hint="export the model again with PaddleDetection's tools/export_model.py",
    )
