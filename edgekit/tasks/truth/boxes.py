"""Truth of detection models: COCO's instances or VOC annotations, and COCO's mean average precision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgekit._files import atomic_file
from edgekit.core.tables import Table
from edgekit.tasks.task import Outputs, Shown
from edgekit.tasks.truth.evaluation import Bar, Evaluation, Route, Routes, Seen, Truth, per_cent
from edgekit.vision.annotations import Annotations, read_annotations
from edgekit.vision.average_precision import AveragePrecision, average_precision, load_pycocotools
from edgekit.vision.boxes import Boxes

if TYPE_CHECKING:
    from edgekit.tasks.detection import Detection

Row = tuple[int, float, float, float, float, float]
"""Class, score, x0, y0, x1, y1."""

FoundBoxes = tuple[tuple[Row, ...], ...]
"""By route the boxes of a picture."""


class BoxScore(Route, frozen=True, kw_only=True):
    """Precision of one engine on one artifact.

    Attributes:
        figures: COCO's figures.
        ap_drop: How far `figures.ap` lies below the reference's; None without a reference and for the
            reference itself.
        results_path: Path of all boxes in COCO's result form, with the data set's numbers of pictures and
            categories.
    """

    figures: AveragePrecision
    ap_drop: float | None
    results_path: str


class BoxEvalResult(Evaluation, frozen=True, kw_only=True):
    """Document that `eval` writes for a detection model; `classes` are in the order of `figures.by_class`."""

    task: str
    classes: tuple[str, ...]
    routes: tuple[BoxScore, ...]

    def tables(self) -> tuple[Table, ...]:
        rows = []
        for route in self.routes:
            figures = route.figures
            columns = (figures.ap, figures.ap50, figures.ap75, figures.ap_small, figures.ap_medium,
                       figures.ap_large, figures.recall)  # fmt: skip
            drop = per_cent(route.ap_drop, "+.2f")
            rows.append((route.engine, route.artifact.kind, *map(per_cent, columns), drop))
        header = ("engine", "artifact", "mAP", "AP50", "AP75", "small", "medium", "large", "recall",
                  "mAP drop")  # fmt: skip
        return (Table(title=self.title, header=header, rows=tuple(rows), words=(0, 1), notes=self.notes),)

    def details(self) -> tuple[Table, ...]:
        by_class = zip(self.classes, *(one.figures.by_class for one in self.routes), strict=True)
        return (
            Table(
                title="AP by class, per cent; - for a class without objects",
                header=("class", *(one.name for one in self.routes)),
                rows=tuple((name, *map(per_cent, aps)) for name, *aps in by_class),
            ),
        )

    def bars(self) -> tuple[tuple[str, tuple[Bar, ...]], ...]:
        return (("mAP", tuple(Bar.plain(one.name, one.figures.ap or 0.0) for one in self.routes)),)

    def accuracies(self) -> tuple[dict[str, float | None], ...]:
        return tuple({"map": one.figures.ap, "map50": one.figures.ap50} for one in self.routes)

    def beside(self) -> tuple[str, ...]:
        return tuple(route.results_path for route in self.routes)


class BoxTruth(Truth[FoundBoxes]):
    """True boxes of a data set's pictures.

    Args:
        task: The model's task.
        list_path: COCO's instances, or a list of VOC annotations.
        data: Directory to which its paths are relative.
        tell: Called with a line about classes without truth.

    Raises:
        InputError: The annotations cannot be read, or are of other classes.
        ToolError: pycocotools is missing.
    """

    found = FoundBoxes

    def __init__(self, task: Detection, list_path: Path, data: Path, tell: Callable[[str], None]) -> None:
        self._task = task
        self._truth = read_annotations(list_path, data, task.labels, task.manifest.num_classes)
        self.total = len(self._truth.pictures)
        load_pycocotools()  # fails now rather than after hours of inference
        named = zip(self._truth.names, self._truth.category_ids, strict=True)
        without = [name for name, number in named if number is None]
        if without:
            shown = ", ".join(without[:5]) + (", …" if len(without) > 5 else "")
            tell(f"{len(without)} of the model's classes are no categories of the data set ({shown})")

    def paths(self) -> Iterable[str]:
        return (picture.path for picture in self._truth.pictures)

    def see(self, outputs: Sequence[Outputs], pictures: Sequence[Shown]) -> Iterable[FoundBoxes]:
        by_route = [self._task.boxes(one, pictures, None) for one in outputs]
        return [tuple(map(_rows, boxes)) for boxes in zip(*by_route, strict=True)]

    def conclude(
        self, base: Evaluation, routes: Routes, seen: Iterator[Seen[FoundBoxes]], path: Path
    ) -> BoxEvalResult:
        kept = list(seen)
        figures, paths = [], []
        for index, route in enumerate(routes.routes):
            found = [None if each.found is None else _boxes(each.found[index]) for each in kept]
            figures.append(average_precision(self._truth, found))
            paths.append(path.with_suffix(f".{route.engine}-{route.precision.value}.bbox.json"))
            _write_results(paths[-1], self._truth, found)
        scores = [one.ap for one in figures]
        return base.into(
            BoxEvalResult,
            classes=self._truth.names,
            routes=tuple(
                BoxScore(
                    **route.fields(),
                    figures=figures[index],
                    ap_drop=routes.drop(index, scores),
                    results_path=str(paths[index]),
                )
                for index, route in enumerate(routes.routes)
            ),
        )


def _rows(boxes: Boxes) -> tuple[Row, ...]:
    values = zip(boxes.classes.tolist(), boxes.scores.tolist(), boxes.corners.tolist(), strict=True)
    return tuple((class_id, score, *corners) for class_id, score, corners in values)


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
