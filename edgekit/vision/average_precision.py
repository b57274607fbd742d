"""Mean average precision of boxes as COCO defines it, computed by pycocotools."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from edgekit.errors import ToolError
from edgekit.vision.annotations import Annotations
from edgekit.vision.boxes import Boxes


class AveragePrecision(msgspec.Struct, frozen=True, kw_only=True):
    """COCO's figures of a detector, 0 to 1; None where the truth has no such objects.

    Attributes:
        ap: Mean over the IoU thresholds 0.50 to 0.95 and over the classes that the truth has.
        ap50: At IoU 0.50.
        ap75: At IoU 0.75.
        ap_small: Of objects below 32x32 pixels.
        ap_medium: Of objects from 32x32 to 96x96 pixels.
        ap_large: Of objects above 96x96 pixels.
        recall: Mean recall of at most 100 boxes a picture over the IoU thresholds and classes.
        by_class: `ap` of each class, in order.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    recall: float | None
    by_class: tuple[float | None, ...]


class Matched(NamedTuple):
    """Boxes of one picture that are one object at IoU 0.5, as COCO matches them.

    Attributes:
        right: For each found box whether it is an object; None where it counts neither way: its object is a
            crowd or difficult, or 100 better boxes of its class are there.
        scores: For each true box the score of the box that found it; None where none did.
    """

    right: list[bool | None]
    scores: list[float | None]


class Comparison(NamedTuple):
    """COCO's figures, and the matches of every picture; None for a picture that was left out."""

    figures: AveragePrecision
    pictures: list[Matched | None]


def load_pycocotools() -> Any:
    """Import pycocotools. Raises ToolError where it is missing."""
    try:
        import pycocotools.coco
        import pycocotools.cocoeval
    except ImportError as error:
        raise ToolError(
            f"computing COCO's mean average precision: {error}", hint="pip install 'edgekit[detection]'"
        ) from error
    return pycocotools


def compare_boxes(truth: Annotations, found: Sequence[Boxes | None]) -> Comparison:
    """Compare found boxes with the truth.

    Args:
        truth: The pictures with their objects.
        found: Boxes by picture, in the truth's order, with all low scores; None leaves a picture out.

    Raises:
        ToolError: pycocotools is missing.
    """
    pycocotools = load_pycocotools()
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        pairs = [(n, b) for n, b in enumerate(found) if b is not None]
        expected = _document(pycocotools, truth, [_true_rows(truth, n) for n, _ in pairs])
        answered = _document(pycocotools, truth, [_found_rows(n, boxes) for n, boxes in pairs])
        run = pycocotools.cocoeval.COCOeval(expected, answered, "bbox")
        run.params.imgIds = [n for n, _ in pairs]
        run.evaluate()
        run.accumulate()
        run.summarize()
    figures = [_figure(value) for value in run.stats]
    # precision[T,R,K,A,M]: IoU thresholds, recalls, classes, sizes, limits; -1 where the truth has none.
    precisions = run.eval["precision"][:, :, :, 0, -1]
    by_class = [precisions[:, :, place] for place in range(len(truth.names))]
    average = AveragePrecision(
        ap=figures[0],
        ap50=figures[1],
        ap75=figures[2],
        ap_small=figures[3],
        ap_medium=figures[4],
        ap_large=figures[5],
        recall=figures[8],
        by_class=tuple(_figure(each[each > -1].mean()) if (each > -1).any() else None for each in by_class),
    )
    return Comparison(figures=average, pictures=_matches(run, truth, found))


def _matches(run: Any, truth: Annotations, found: Sequence[Boxes | None]) -> list[Matched | None]:
    """Return the matches of an evaluation at its first IoU threshold, 0.5, among objects of all sizes."""
    matched = [
        None if boxes is None else Matched([None] * len(boxes), [None] * len(picture.boxes))
        for picture, boxes in zip(truth.pictures, found, strict=True)
    ]
    # Boxes are numbered from 1 through all pictures that were not left out, as `_document` does.
    own, true = [(0, 0)], [(0, 0)]
    for number, boxes in enumerate(found):
        if boxes is not None:
            own += [(number, row) for row in range(len(boxes))]
            true += [(number, row) for row in range(len(truth.pictures[number].boxes))]
    for part in run.evalImgs:
        if part is None or part["aRng"] != run.params.areaRng[0]:
            continue
        scores = dict(zip(part["dtIds"], part["dtScores"], strict=True))
        for box, partner, is_ignored in zip(
            part["dtIds"], part["dtMatches"][0], part["dtIgnore"][0], strict=True
        ):
            number, row = own[box]
            if (matches := matched[number]) is not None and not is_ignored:
                matches.right[row] = bool(partner)
        for box, partner in zip(part["gtIds"], part["gtMatches"][0], strict=True):
            number, row = true[box]
            if (matches := matched[number]) is not None and partner:
                matches.scores[row] = float(scores[int(partner)])
    return matched


def _figure(value: float) -> float | None:
    return None if value == -1 or math.isnan(value) else float(value)


def _document(pycocotools: Any, truth: Annotations, rows: list[list[dict[str, Any]]]) -> Any:
    """Return pycocotools' form of boxes; categories are the model's class numbers."""
    document = pycocotools.coco.COCO()
    annotations = [row for part in rows for row in part]
    for number, row in enumerate(annotations, start=1):  # 0 stands for no match
        row["id"] = number
    document.dataset = {
        "images": [{"id": number} for number in range(len(truth.pictures))],
        "categories": [{"id": class_id} for class_id in range(len(truth.names))],
        "annotations": annotations,
    }
    document.createIndex()
    return document


def _true_rows(truth: Annotations, number: int) -> list[dict[str, Any]]:
    return [
        {
            "image_id": number,
            "category_id": box.class_id,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            # What lies outside of every range of areas is ignored without being a crowd.
            "area": -1.0 if box.difficult else box.area,
            "iscrowd": int(box.crowd),
        }
        for box in truth.pictures[number].boxes
        for x0, y0, x1, y1 in [box.corners]
    ]


def _found_rows(number: int, boxes: Boxes) -> list[dict[str, Any]]:
    values = zip(boxes.classes.tolist(), boxes.scores.tolist(), boxes.corners.tolist(), strict=True)
    return [
        {
            "image_id": number,
            "category_id": class_id,
            "score": score,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": (x1 - x0) * (y1 - y0),
            "iscrowd": 0,
        }
        for class_id, score, (x0, y0, x1, y1) in values
    ]
