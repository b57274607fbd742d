"""Label maps: a class for each pixel of a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit._files import read_bytes
from edgekit.errors import InputError
from edgekit.vision.decode import load_cv2

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.vision.decode import Pixels

    LabelMap = NDArray[np.uint8]

# Pixels of this class are left out of every count; Cityscapes' and PaddleSeg's number.
IGNORED = 255
MOST_CLASSES = 255
MOST_FILE_BYTES = 1 << 28
_OPACITY = 0.6


def best_classes(values: NDArray[Any], size: tuple[int, int], name: str) -> LabelMap:
    """Return the class of each pixel of a picture, uint8[height,width].

    Scores are enlarged bilinearly to the picture before the best class is taken, as PaddleSeg does it; a
    label map is enlarged to the nearest pixel.

    Args:
        values: Scores float[C,h,w], or a label map of integers, [h,w] or [1,h,w].
        size: Height and width of the picture, pixels; the network saw the whole picture.
        name: Name of the picture in errors.

    Raises:
        InputError: The values are no scores and no label map, or a class is none of 0 to 254.
    """
    import numpy as np

    cv2 = load_cv2()
    height, width = size
    if values.ndim == 3 and np.issubdtype(values.dtype, np.floating):
        best = np.full(size, -np.inf, np.float32)
        classes = np.zeros(size, np.uint8)
        # One class at a time: nineteen of a 2048x1024 picture would take 160 MB.
        for number, plane in enumerate(values[:MOST_CLASSES]):
            scores = np.ascontiguousarray(plane, np.float32)
            if scores.shape != size:
                scores = cv2.resize(scores, (width, height), interpolation=cv2.INTER_LINEAR)
            classes[scores > best] = number
            np.maximum(best, scores, out=best)
        return classes
    labels = values[0] if values.ndim == 3 and len(values) == 1 else values
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"segmenting {name}: an output {values.dtype}{list(values.shape)} is neither scores [C,H,W] nor "
            "a label map [H,W] of integers",
            hint="the model's task is another: correct `task` in its manifest.json",
        )
    if labels.min(initial=0) < 0 or labels.max(initial=0) >= MOST_CLASSES:
        raise InputError(
            f"segmenting {name}: classes from {labels.min()} to {labels.max()}; a label map has 0 to 254"
        )
    small = np.ascontiguousarray(labels, np.uint8)
    if small.shape == size:
        return small
    enlarged: LabelMap = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
    return enlarged


def read_label_map(path: Path, size: tuple[int, int], num_classes: int) -> LabelMap:
    """Read a picture's true label map, a PNG of one channel or a palette; 255 is left out of counts.

    Raises:
        InputError: It is missing, no PNG of classes, of another size, or has a class that the model lacks.
    """
    import io

    import numpy as np
    from PIL import Image, UnidentifiedImageError

    hint = "the list's paths are relative to --data"
    content = read_bytes(path, "the label map", hint=hint, most_bytes=MOST_FILE_BYTES)
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.mode not in ("L", "P"):
                raise InputError(
                    f"reading the label map {path}: it has colours ({image.mode}), not a class a pixel",
                    hint="label maps are grey or palette PNGs whose values are class numbers",
                )
            labels: LabelMap = np.asarray(image, np.uint8)
    except UnidentifiedImageError as error:
        raise InputError(f"reading the label map {path}: it is no picture", hint=hint) from error
    except (OSError, Image.DecompressionBombError) as error:
        raise InputError(f"reading the label map {path}: {error}", hint=hint) from error
    if labels.shape != size:
        raise InputError(
            f"reading the label map {path}: {labels.shape[1]}x{labels.shape[0]} pixels, its picture has "
            f"{size[1]}x{size[0]}",
            hint="the list pairs a picture with the label map of another",
        )
    counts = np.bincount(labels.reshape(-1), minlength=256)
    unknown = np.flatnonzero(counts[num_classes:IGNORED])
    if unknown.size:
        raise InputError(
            f"reading the label map {path}: class {num_classes + int(unknown[0])}, but the model has "
            f"{num_classes} classes",
            hint="the annotations are those of another data set; 255 marks pixels that do not count",
        )
    return labels


def count_areas(found: LabelMap, true: LabelMap, num_classes: int) -> NDArray[np.int64]:
    """Return a picture's pixels by class, int64[3,num_classes]: right, found and true ones.

    Pixels whose true class is 255 are left out.
    """
    import numpy as np

    counted = true != IGNORED
    found, true = found[counted], true[counted]
    right = true[found == true]
    return np.stack([np.bincount(each, minlength=256)[:num_classes] for each in (right, found, true)])


class LabelMapScore(msgspec.Struct, frozen=True, kw_only=True):
    """Agreement of label maps with the true ones over all pixels, as PaddleSeg counts it (from 2.9 on).

    Attributes:
        mean_iou: Mean over the classes of intersection over union, 0 to 1; a class that occurs neither in
            the pictures nor in the answers counts as 1.
        accuracy: Share of pixels whose class is right, 0 to 1.
        kappa: Cohen's kappa, -1 to 1; None where all pixels are of one class.
        class_iou: Intersection over union by class; None for a class that occurs nowhere.
    """

    mean_iou: float
    accuracy: float
    kappa: float | None
    class_iou: tuple[float | None, ...]


def score_areas(areas: NDArray[np.int64]) -> LabelMapScore:
    """Return the score of the sum of `count_areas` over pictures. Raises InputError where nothing counts."""
    right, found, true = areas.astype(float)
    total = true.sum()
    if not total:
        raise InputError(
            "evaluating: no pixel of the label maps counts: all are 255", hint="the list names other files"
        )
    union = found + true - right
    ious = [float(one / all_) if all_ else None for one, all_ in zip(right, union, strict=True)]
    accuracy = float(right.sum() / total)
    by_chance = float((found * true).sum() / total**2)
    return LabelMapScore(
        mean_iou=sum(1.0 if iou is None else iou for iou in ious) / len(ious),
        accuracy=accuracy,
        kappa=(accuracy - by_chance) / (1 - by_chance) if by_chance < 1 else None,
        class_iou=tuple(ious),
    )


def palette(num_classes: int) -> NDArray[np.uint8]:
    """Return PaddleSeg's colours of classes, uint8[num_classes,3] RGB.

    They are those of PASCAL VOC from its class 1 on: the bits of a number, dealt to red, green and blue in
    turn, fill each colour from its highest bit.
    """
    import numpy as np

    numbers = np.arange(1, num_classes + 1)
    colours = np.zeros((num_classes, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((numbers >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return colours


def encode_label_map(labels: LabelMap) -> bytes:
    """Return a label map as a palette PNG in PaddleSeg's colours."""
    import io

    import numpy as np
    from PIL import Image

    colours = np.concatenate([palette(MOST_CLASSES), np.zeros((1, 3), np.uint8)])
    image = Image.fromarray(labels, "P")
    image.putpalette(colours.reshape(-1).tolist())
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def shrink(labels: LabelMap, side: int) -> LabelMap:
    """Return a label map whose long side is at most `side` pixels: each pixel has the class nearest to it."""
    height, width = labels.shape
    scale = side / max(height, width)
    if scale >= 1:
        return labels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small: LabelMap = load_cv2().resize(labels, size, interpolation=load_cv2().INTER_NEAREST)
    return small


def overlay(pixels: Pixels, labels: LabelMap) -> Pixels:
    """Return a picture with its classes' colours over it, uint8[H,W,3] BGR."""
    cv2 = load_cv2()
    colours = palette(MOST_CLASSES + 1)[labels][..., ::-1]
    blended: Pixels = cv2.addWeighted(pixels, 1 - _OPACITY, colours, _OPACITY, 0)
    return blended
