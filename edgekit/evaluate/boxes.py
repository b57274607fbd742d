"""Mean average precision of a detection model's artifacts, all of them in one pass over the pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgekit._files import atomic_file
from edgekit.core.artifact import Manifest
from edgekit.core.measurement import ArtifactRef
from edgekit.core.spec import Precision
from edgekit.errors import EdgekitError
from edgekit.evaluate.journal import Journal
from edgekit.evaluate.tally import Evaluation, readable, reference_index
from edgekit.predict.lanes import Route, Scored
from edgekit.tasks.detection import Detection
from edgekit.vision.annotations import Annotations
from edgekit.vision.average_precision import AveragePrecision, average_precision, load_pycocotools
from edgekit.vision.boxes import Boxes

Row = tuple[int, float, float, float, float, float]
BOX_EVAL_SCHEMA_VERSION = 1


class SeenBoxes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result of one picture: by route its boxes (class, score, x0, y0, x1, y1), or its error."""

    found: tuple[tuple[Row, ...], ...] = ()
    error: str | None = None


class BoxScore(msgspec.Struct, frozen=True, kw_only=True):
    """Precision of one engine on one artifact.

    Attributes:
        figures: COCO's figures.
        ap_drop: How far `figures.ap` lies below the reference's; None without a reference and for the
            reference itself.
        results_path: Path of all boxes in COCO's result form, with the data set's numbers of pictures and
            categories.
    """

    engine: str
    precision: Precision
    artifact: ArtifactRef
    figures: AveragePrecision
    ap_drop: float | None
    results_path: str


class BoxEvalResult(Evaluation, frozen=True, kw_only=True):
    """Document that `eval` writes for a detection model.

    Attributes:
        classes: Names of the classes, in the order of `figures.by_class`.
    """

    task: str
    classes: tuple[str, ...]
    routes: tuple[BoxScore, ...]


def see_boxes(scored: Scored, task: Detection) -> Iterator[SeenBoxes]:
    """Yield the results of a batch, one for each item, in order."""
    by_route = [task.boxes(outputs, scored.pictures, None) for outputs in scored.outputs]
    for row in scored.rows():
        if isinstance(row, EdgekitError):
            yield SeenBoxes(error=row.message)
        else:
            yield SeenBoxes(found=tuple(_rows(boxes[row]) for boxes in by_route))


def _rows(boxes: Boxes) -> tuple[Row, ...]:
    values = zip(boxes.classes.tolist(), boxes.scores.tolist(), boxes.corners.tolist(), strict=True)
    return tuple((class_id, score, *corners) for class_id, score, corners in values)


def tally_boxes(
    journal: Journal[SeenBoxes], routes: Sequence[Route], truth: Annotations, manifest: Manifest, output: Path
) -> dict[str, Any]:
    """Return the fields of `BoxEvalResult` that follow from a complete journal.

    Raises:
        NothingReadError: No picture could be read.
        OutputError: The files beside `output` cannot be written.
        ToolError: pycocotools is missing.
    """
    seen = list(journal.read())
    errors = [each.error for each in seen if each.error is not None]
    counts = readable(len(seen) - len(errors), len(errors), errors[0] if errors else None)
    figures, paths = [], []
    for index, route in enumerate(routes):
        found = [None if each.error is not None else _boxes(each.found[index]) for each in seen]
        figures.append(average_precision(truth, found))
        paths.append(output.with_suffix(f".{route.engine}-{route.precision.value}.bbox.json"))
        _write_results(paths[-1], truth, found)
    reference = reference_index(routes, manifest)
    return {
        **counts,
        "classes": truth.names,
        "routes": tuple(
            BoxScore(
                engine=route.engine,
                precision=route.precision,
                artifact=ArtifactRef.to(route.artifact, manifest),
                figures=figures[index],
                ap_drop=None if reference in (None, index) else _drop(figures[reference], figures[index]),
                results_path=str(paths[index]),
            )
            for index, route in enumerate(routes)
        ),
    }


def _drop(reference: AveragePrecision, own: AveragePrecision) -> float | None:
    return None if reference.ap is None or own.ap is None else reference.ap - own.ap


def _boxes(rows: Sequence[Row]) -> Boxes:
    import numpy as np

    values = np.array(rows, float).reshape(-1, 6)
    return Boxes(
        classes=values[:, 0].astype(np.int64),
        scores=values[:, 1].astype(np.float32),
        corners=values[:, 2:].astype(np.float32),
    )


def _write_results(path: Path, truth: Annotations, found: Sequence[Boxes | None]) -> None:
    """Write all boxes of the data set's categories in COCO's result form, a box a line."""
    with atomic_file(path) as part, part.open("w") as file:
        separator = "[\n"
        for picture, boxes in zip(truth.pictures, found, strict=True):
            for class_id, score, x0, y0, x1, y1 in _rows(boxes) if boxes is not None else ():
                category = truth.category_ids[class_id]
                if category is None:
                    continue
                row = {
                    "image_id": picture.image_id,
                    "category_id": category,
                    "bbox": [round(side, 2) for side in (x0, y0, x1 - x0, y1 - y0)],
                    "score": round(score, 5),
                }
                file.write(separator + msgspec.json.encode(row).decode())
                separator = ",\n"
        file.write("[]\n" if separator == "[\n" else "\n]\n")


def prepare(tell: Callable[[str], None], truth: Annotations) -> None:
    """Fail before hours of inference where pycocotools is missing; say which classes have no truth."""
    load_pycocotools()
    without = [name for name, number in zip(truth.names, truth.category_ids, strict=True) if number is None]
    if without:
        shown = ", ".join(without[:5]) + (", …" if len(without) > 5 else "")
        tell(f"{len(without)} of the model's classes are no categories of the data set ({shown})")
