"""Convert the outputs of detection models to boxes in the picture's pixels.

PicoDet's head gives for every anchor of every stride a score a class, and for each side of the box a
distribution over whole distances (generalised focal loss, https://arxiv.org/abs/2006.04388). Only anchors
whose score passes are decoded, a few dozen of ten thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.core.boxes import PicoDetRule
from edgekit.core.preprocess import Crop, Pad, Step
from edgekit.errors import InputError, RunnerError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

# Boxes are compared in blocks of this many, 0.3 MB an array of their pairs.
_BLOCK = 256
_HINT = "correct postprocess in the manifest, or import the model again with its own configuration"


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Place of a picture in a network's input.

    Attributes:
        picture_size: Height and width of the picture, pixels.
        input_size: Height and width of the network's input, pixels.
        scale: Input pixels per pixel of the picture, vertical and horizontal.
        offset: Rows above and columns left of the picture in the input, pixels.
        shown_size: Height and width of the input without its padding, pixels; None where it has none.
    """

    picture_size: tuple[int, int]
    input_size: tuple[int, int]
    scale: tuple[float, float]
    offset: tuple[float, float] = (0.0, 0.0)
    shown_size: tuple[int, int] | None = None

    @classmethod
    def of_steps(cls, picture_size: tuple[int, int], steps: Sequence[Step]) -> Frame:
        """Return the frame of a picture that goes through a model's resizes, centre crops and padding."""
        size, scale, offset = picture_size, (1.0, 1.0), (0.0, 0.0)
        input_size = None
        for step in steps:
            if isinstance(step, Pad):
                input_size = step.size
                continue
            if isinstance(step, Crop):
                cut = ((size[0] - step.size[0]) // 2, (size[1] - step.size[1]) // 2)
                size, offset = step.size, (offset[0] - cut[0], offset[1] - cut[1])
                continue
            ratio = step.scale(size)
            scale = (scale[0] * ratio[0], scale[1] * ratio[1])
            size, offset = step.target(size), (offset[0] * ratio[0], offset[1] * ratio[1])
        return cls(
            picture_size=picture_size,
            input_size=input_size or size,
            scale=scale,
            offset=offset,
            shown_size=None if input_size is None else size,
        )

    def to_picture(self, corners: Floats) -> Floats:
        """Convert float32[K,4] (x0, y0, x1, y1) from input pixels to pixels of the picture, unclipped."""
        import numpy as np

        scale = np.array(self.scale[::-1] * 2, np.float32)
        return (corners - np.array(self.offset[::-1] * 2, np.float32)) / scale


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """Boxes of one picture, the best score first.

    Attributes:
        classes: int64[K] class numbers.
        scores: float32[K].
        corners: float32[K,4]: x0, y0, x1, y1 in pixels of the picture, inside of it.
    """

    classes: NDArray[np.int64]
    scores: Floats
    corners: Floats

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Boxes:
        return Boxes(classes=self.classes[rows], scores=self.scores[rows], corners=self.corners[rows])


def decode_picodet(
    scores: Sequence[Floats],
    distributions: Sequence[Floats],
    rule: PicoDetRule,
    threshold: float,
    frames: Sequence[Frame],
    num_classes: int,
) -> list[Boxes]:
    """Convert the outputs of PicoDet's head to boxes.

    Args:
        scores: float32[N,A,C] by stride, probabilities. A is ceil(H/stride) * ceil(W/stride), row by row.
        distributions: float32[N,A,4*bins] by stride: logits of the distances to the left, upper, right and
            lower side, in strides.
        rule: Strides, bins, and the parameters of NMS.
        threshold: Boxes have higher scores than this.
        frames: One frame for each of the first pictures; places of the batch beyond them are ignored.
        num_classes: Number of the model's classes, C.

    Raises:
        InputError: The outputs do not fit the rule or the number of classes.
        RunnerError: An output holds NaN or infinity.
    """
    for frame in frames:
        _check_shapes(scores, distributions, rule, frame.input_size, num_classes, len(frames))
    return [
        _decode_one(scores, distributions, rule, threshold, frame, row) for row, frame in enumerate(frames)
    ]


def _check_shapes(
    scores: Sequence[Floats],
    distributions: Sequence[Floats],
    rule: PicoDetRule,
    input_size: tuple[int, int],
    num_classes: int,
    pictures: int,
) -> None:
    levels = len(rule.strides)
    if len(scores) != levels or len(distributions) != levels:
        raise InputError(
            f"reading boxes: {len(scores)} outputs of scores and {len(distributions)} of distances for "
            f"{levels} strides {list(rule.strides)}",
            hint=_HINT,
        )
    for kind, outputs, width, why in (
        ("scores", scores, num_classes, f"{num_classes} classes"),
        ("distances", distributions, 4 * rule.bins, f"4 sides of {rule.bins} bins"),
    ):
        for stride, output in zip(rule.strides, outputs, strict=True):
            rows, columns = _grid(input_size, stride)
            if output.ndim != 3 or len(output) < pictures or output.shape[1:] != (rows * columns, width):
                raise InputError(
                    f"reading boxes: the {kind} of stride {stride} are {list(output.shape)}; {pictures} "
                    f"picture(s) of {input_size[0]}x{input_size[1]} have {rows * columns} anchors of {why}",
                    hint=_HINT,
                )


def _grid(input_size: tuple[int, int], stride: int) -> tuple[int, int]:
    return -(-input_size[0] // stride), -(-input_size[1] // stride)


def _decode_one(
    scores: Sequence[Floats],
    distributions: Sequence[Floats],
    rule: PicoDetRule,
    threshold: float,
    frame: Frame,
    row: int,
) -> Boxes:
    import numpy as np

    found_classes, found_scores, found_corners = [], [], []
    for stride, level, sides in zip(rule.strides, scores, distributions, strict=True):
        values = level[row]
        # A sum over everything meets any NaN; comparisons with the threshold do not.
        if not np.isfinite(values.sum()):
            raise RunnerError(
                f"reading boxes: the scores of stride {stride} are not finite (NaN or infinity)",
                hint="edgekit verify MODEL compares the artifacts of the model",
            )
        passing = np.flatnonzero(values.reshape(-1) > np.float32(threshold))
        anchors, classes = np.divmod(passing, values.shape[1])
        passed = values.reshape(-1)[passing]
        used, position = np.unique(anchors, return_inverse=True)
        if len(used) > rule.nms_top_k:
            best = np.zeros(len(used), np.float32)
            np.maximum.at(best, position, passed)
            chosen = np.zeros(len(used), bool)
            chosen[np.argsort(-best, kind="stable")[: rule.nms_top_k]] = True
            keep = chosen[position]
            classes, passed, anchors = classes[keep], passed[keep], anchors[keep]
            used, position = np.unique(anchors, return_inverse=True)
        if not len(used):
            continue
        corners = _corners(sides[row, used], used, _grid(frame.input_size, stride)[1], stride)
        found_classes.append(classes)
        found_scores.append(passed)
        found_corners.append(corners[position])
    if not found_scores:
        return empty_boxes()
    classes, passed = np.concatenate(found_classes), np.concatenate(found_scores)
    corners = np.concatenate(found_corners)
    order = np.argsort(-passed, kind="stable")
    order = order[_within_class_limit(classes[order], rule.nms_top_k)]
    boxes = Boxes(classes=classes[order].astype(np.int64), scores=passed[order], corners=corners[order])
    kept = suppress(boxes, rule.nms_threshold, rule.keep_top_k)
    return clip(boxes[kept], frame)


def _corners(logits: Floats, anchors: NDArray[np.intp], columns: int, stride: int) -> Floats:
    """Return float32[K,4] corners in input pixels from the logits of the sides of K anchors."""
    import numpy as np

    bins = logits.reshape(len(logits), 4, -1)
    if not np.isfinite(bins).all():
        raise RunnerError(
            f"reading boxes: the distances of stride {stride} are not finite (NaN or infinity)",
            hint="edgekit verify MODEL compares the artifacts of the model",
        )
    weights = np.exp(bins - bins.max(axis=2, keepdims=True))
    distances = weights @ np.arange(bins.shape[2], dtype=np.float32)
    distances *= np.float32(stride) / weights.sum(axis=2)
    rows, places = np.divmod(anchors, columns)
    centres = (np.stack([places, rows], axis=1).astype(np.float32) + np.float32(0.5)) * np.float32(stride)
    corners: Floats = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)
    return corners


def _within_class_limit(classes: NDArray[np.intp], limit: int) -> NDArray[np.intp]:
    """Return the positions of at most `limit` entries of every class, the first ones, in order."""
    import numpy as np

    if len(classes) <= limit:
        return np.arange(len(classes))
    grouped = np.argsort(classes, kind="stable")
    ordered = classes[grouped]
    starts = np.searchsorted(ordered, ordered)
    return np.sort(grouped[np.arange(len(classes)) - starts < limit])


def suppress(boxes: Boxes, threshold: float, most: int) -> NDArray[np.intp]:
    """Return the positions of the boxes that stay after non-maximum suppression within each class.

    Args:
        boxes: Boxes, the best score first.
        threshold: A box stays where its IoU with every better box of its class that stays is at most this.
        most: Maximum number of boxes; the search ends with the best ones.
    """
    import numpy as np

    kept: list[int] = []
    for start in range(0, len(boxes), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(boxes)))
        if kept:
            alive = ~_overlapping(boxes[np.array(kept)], boxes[block], threshold).any(axis=0)
            block = block[alive]
        overlapping = _overlapping(boxes[block], boxes[block], threshold)
        alive = np.ones(len(block), bool)
        for place, position in enumerate(block.tolist()):
            if alive[place]:
                kept.append(position)
                if len(kept) == most:
                    return np.array(kept, np.intp)
                alive &= ~overlapping[place]
    return np.array(kept, np.intp)


def _overlapping(first: Boxes, second: Boxes, threshold: float) -> NDArray[np.bool_]:
    """Return bool[F,S]: pairs of one class whose IoU is above the threshold."""
    import numpy as np

    same = first.classes[:, None] == second.classes
    found: NDArray[np.bool_] = same & (overlaps(first.corners, second.corners) > np.float32(threshold))
    return found


def overlaps(first: Floats, second: Floats) -> Floats:
    """Return float32[F,S]: intersection over union of float32[F,4] and float32[S,4] corners; 0 of no area."""
    import numpy as np

    width = np.minimum(first[:, None, 2], second[:, 2]) - np.maximum(first[:, None, 0], second[:, 0])
    height = np.minimum(first[:, None, 3], second[:, 3]) - np.maximum(first[:, None, 1], second[:, 1])
    shared: Floats = np.maximum(width, 0) * np.maximum(height, 0)
    union = _areas(first)[:, None] + _areas(second) - shared
    shared[shared > 0] /= union[shared > 0]
    return shared


def match(first: Boxes, second: Boxes, least: float) -> NDArray[np.intp]:
    """Return int[F]: the position in `second` of each box's partner, -1 where it has none.

    Partners are of one class and overlap by at least `least` (IoU). The best box chooses first, and no box
    has two partners.
    """
    import numpy as np

    ratios = overlaps(first.corners, second.corners)
    ratios[first.classes[:, None] != second.classes] = 0
    partners = np.full(len(first), -1, np.intp)
    for row in range(len(first) if len(second) else 0):
        best = int(ratios[row].argmax())
        if ratios[row, best] >= least:
            partners[row] = best
            ratios[:, best] = 0
    return partners


def _areas(corners: Floats) -> Floats:
    import numpy as np

    areas: Floats = np.maximum(corners[:, 2] - corners[:, 0], 0) * np.maximum(
        corners[:, 3] - corners[:, 1], 0
    )
    return areas


def clip(boxes: Boxes, frame: Frame) -> Boxes:
    """Convert corners from input pixels to the picture's, cut them at its edges, drop what lies outside."""
    return _clip_to(boxes, frame.to_picture(boxes.corners), frame.picture_size)


def _clip_to(boxes: Boxes, corners: Floats, size: tuple[int, int]) -> Boxes:
    import numpy as np

    height, width = size
    corners = np.clip(corners, 0, np.array([width, height, width, height], np.float32))
    inside = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
    return Boxes(classes=boxes.classes[inside], scores=boxes.scores[inside], corners=corners[inside])


def empty_boxes() -> Boxes:
    """Return the answer for a picture without boxes."""
    import numpy as np

    return Boxes(
        classes=np.empty(0, np.int64), scores=np.empty(0, np.float32), corners=np.empty((0, 4), np.float32)
    )


def split_boxes(
    rows: Floats,
    counts: NDArray[np.integer] | None,
    threshold: float,
    frames: Sequence[Frame],
    num_classes: int,
) -> list[Boxes]:
    """Convert the outputs of a model that carries NMS to boxes; its corners are in the picture's pixels.

    Args:
        rows: float32[T,6]: class, score, x0, y0, x1, y1, picture by picture. Rows of class -1 are no boxes.
        counts: int[N] rows of each picture; None where the model has one picture and no counts.
        threshold: Boxes have higher scores than this.
        frames: One frame for each of the first pictures; places of the batch beyond them are ignored.
        num_classes: Number of the model's classes.

    Raises:
        InputError: The outputs have other shapes, the counts do not fit the rows, or a class is none of the
            model's.
        RunnerError: An output holds NaN or infinity.
    """
    import numpy as np

    if rows.ndim != 2 or rows.shape[1] != 6:
        raise InputError(
            f"reading boxes: the output is {list(rows.shape)}, not rows of class, score, x0, y0, x1, y1",
            hint=_HINT,
        )
    ends = np.array([len(rows)]) if counts is None else np.cumsum(counts.reshape(-1), dtype=np.int64)
    lengths = np.diff(ends, prepend=0)
    if len(ends) < len(frames) or (lengths < 0).any() or ends[-1] > len(rows):
        told = "no counts" if counts is None else f"counts {counts.reshape(-1)[:8].tolist()}"
        raise InputError(
            f"reading boxes: {told} and {len(rows)} rows for {len(frames)} picture(s)", hint=_HINT
        )
    parts = (rows[end - length : end] for end, length in zip(ends.tolist(), lengths.tolist(), strict=True))
    return [
        _rows_to_boxes(part, threshold, frame, num_classes)
        for part, frame in zip(parts, frames, strict=False)
    ]


def _rows_to_boxes(rows: Floats, threshold: float, frame: Frame, num_classes: int) -> Boxes:
    import numpy as np

    if not np.isfinite(rows).all():
        raise RunnerError(
            "reading boxes: a row is not finite (NaN or infinity)",
            hint="edgekit verify MODEL compares the artifacts of the model",
        )
    classes = rows[:, 0].astype(np.int64)
    wrong = (classes != rows[:, 0]) | (classes < -1) | (classes >= num_classes)
    if wrong.any():
        raise InputError(
            f"reading boxes: a row has the class {rows[wrong][0, 0]:g}; the model has {num_classes} labels",
            hint="give a list with one label for every class (--labels FILE) when importing the model",
        )
    passing = np.flatnonzero((classes >= 0) & (rows[:, 1] > np.float32(threshold)))
    order = passing[np.argsort(-rows[passing, 1], kind="stable")]
    boxes = Boxes(classes=classes[order], scores=rows[order, 1], corners=rows[order, 2:])
    return _clip_to(boxes, boxes.corners, frame.picture_size)
