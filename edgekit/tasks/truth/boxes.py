"""Truth of detection models: COCO's instances or VOC annotations, and COCO's mean average precision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgekit._files import RESULT_BYTES, atomic_file, read_bytes, write_atomic
from edgekit.core.tables import Table
from edgekit.errors import InputError
from edgekit.tasks.task import Outputs, Shown
from edgekit.tasks.truth.evaluation import (
    Bar,
    Evaluation,
    Mark,
    Mistake,
    Route,
    Routes,
    Seen,
    Truth,
    per_cent,
)
from edgekit.vision.annotations import Annotations, read_annotations
from edgekit.vision.average_precision import (
    AveragePrecision,
    Comparison,
    compare_boxes,
    load_pycocotools,
)
from edgekit.vision.boxes import Boxes

if TYPE_CHECKING:
    from edgekit.tasks.detection import Detection

Row = tuple[int, float, float, float, float, float]
"""Class, score, x0, y0, x1, y1."""

FoundBoxes = tuple[tuple[Row, ...], ...]
"""By route the boxes of a picture."""


class ClassCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Boxes of one class with a score above the threshold of answers, at IoU 0.5.

    Attributes:
        objects: Number of true boxes.
        answers: Number of answered boxes.
        right: Number of answered boxes that are true ones.
    """

    objects: int
    answers: int
    right: int

    @property
    def precision(self) -> float | None:
        """Share of the answers that are right; None without answers."""
        return self.right / self.answers if self.answers else None

    @property
    def recall(self) -> float | None:
        """Share of the objects that are found; None without objects."""
        return self.right / self.objects if self.objects else None


class BoxScore(Route, frozen=True, kw_only=True):
    """Precision of one engine on one artifact.

    Attributes:
        figures: COCO's figures.
        counts: Counts of each class in order; empty in older files.
        ap_drop: How far `figures.ap` lies below the reference's; None without a reference and for the
            reference itself.
        results_path: Path of all boxes in COCO's result form, with the data set's numbers of pictures and
            categories.
    """

    figures: AveragePrecision
    ap_drop: float | None
    results_path: str
    counts: tuple[ClassCounts, ...] = ()


class JudgedObject(msgspec.Struct, frozen=True, kw_only=True):
    """A true box, and for each route whether an answer found it."""

    class_id: int
    corners: tuple[float, float, float, float]
    found: tuple[bool, ...]


class JudgedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answered box; `right` is None where it counts neither way (a crowd, a difficult object)."""

    class_id: int
    score: float
    corners: tuple[float, float, float, float]
    right: bool | None


class JudgedPicture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture with its true boxes and each route's answers."""

    picture: str
    objects: tuple[JudgedObject, ...]
    answers: tuple[tuple[JudgedAnswer, ...], ...]

    def missed(self, route: int) -> list[JudgedObject]:
        """Return the true boxes that a route did not find."""
        return [one for one in self.objects if not one.found[route]]

    def wrong(self, route: int) -> list[JudgedAnswer]:
        """Return a route's boxes that are no objects."""
        return [one for one in self.answers[route] if one.right is False]

    @property
    def errors(self) -> int:
        """Number of missed and of wrong boxes of all routes."""
        return sum(len(self.missed(route)) + len(self.wrong(route)) for route in range(len(self.answers)))


class BoxEvalResult(Evaluation, frozen=True, kw_only=True):
    """Document that `eval` writes for a detection model; `classes` are in the order of `figures.by_class`.

    Attributes:
        threshold: Score above which a box is an answer; None in older files.
        wrong_path: Path of a JSON list of `JudgedPicture`: those with a missed or wrong box, the most first;
            None in older files.
    """

    task: str
    classes: tuple[str, ...]
    routes: tuple[BoxScore, ...]
    threshold: float | None = None
    wrong_path: str | None = None

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
        counted = tuple(self._by_class(one) for one in self.routes if one.counts)
        if counted:
            return counted
        by_class = zip(self.classes, *(one.figures.by_class for one in self.routes), strict=True)
        return (
            Table(
                title="AP by class, per cent; - for a class without objects",
                header=("class", *(one.name for one in self.routes)),
                rows=tuple((name, *map(per_cent, aps)) for name, *aps in by_class),
            ),
        )

    def _by_class(self, route: BoxScore) -> Table:
        rows = zip(self.classes, route.counts, route.figures.by_class, strict=True)
        return Table(
            title=f"Classes by {route.name}, per cent; - where there is none to count",
            header=("class", "objects", "precision", "recall", "AP"),
            rows=tuple(
                (name, str(one.objects), per_cent(one.precision), per_cent(one.recall), per_cent(ap))
                for name, one, ap in rows
            ),
            notes=(
                f"precision and recall of boxes with a score above {self.threshold:g}, at IoU 0.5; "
                "AP of all boxes, at IoU 0.5 to 0.95",
            ),
        )

    def bars(self) -> tuple[tuple[str, tuple[Bar, ...]], ...]:
        return tuple(
            (title, tuple(Bar.plain(one.name, getattr(one.figures, name) or 0.0) for one in self.routes))
            for title, name in (("mAP", "ap"), ("AP50", "ap50"))
        )

    def accuracies(self) -> tuple[dict[str, float | None], ...]:
        return tuple({"map": one.figures.ap, "map50": one.figures.ap50} for one in self.routes)

    def beside(self) -> tuple[str, ...]:
        wrong = () if self.wrong_path is None else (self.wrong_path,)
        return *(route.results_path for route in self.routes), *wrong

    def mistakes(self, path: Path) -> tuple[tuple[str, tuple[Mistake, ...]], ...]:
        if self.wrong_path is None:
            return ()
        try:
            content = read_bytes(
                path.with_name(Path(self.wrong_path).name), "the pictures", most_bytes=RESULT_BYTES
            )
        except InputError:
            return ()
        pictures = msgspec.json.decode(content, type=list[JudgedPicture])
        title = f"Pictures with the most missed and wrong boxes, of {self.routes[0].name}"
        return ((title, tuple(map(self._mistake, pictures))),)

    def _mistake(self, picture: JudgedPicture) -> Mistake:
        answers = []
        for route in range(len(picture.answers)):
            missed = self._words(one.class_id for one in picture.missed(route))
            wrong = self._words(one.class_id for one in picture.wrong(route))
            said = [f"missed {missed}"] * bool(missed) + [f"wrong {wrong}"] * bool(wrong)
            answers.append(("; ".join(said) or "all found", not said))
        marks = [
            Mark("found" if one.found[0] else "missed", self.label(one.class_id), one.corners)
            for one in picture.objects
        ]
        marks += [
            Mark(
                "right" if one.right else "wrong",
                f"{self.label(one.class_id)} {one.score:.2f}",
                one.corners,
            )
            for one in picture.answers[0]
            if one.right is not None
        ]
        truth = self._words(one.class_id for one in picture.objects) or "nothing"
        return Mistake(picture.picture, truth, tuple(answers), tuple(marks))

    def _words(self, class_ids: Iterable[int]) -> str:
        counts = Counter(map(self.label, class_ids))
        return ", ".join(f"{count} {label}" if count > 1 else label for label, count in counts.items())


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
        compared, by_route, paths = [], [], []
        for index, route in enumerate(routes.routes):
            found = [None if each.found is None else _boxes(each.found[index]) for each in kept]
            by_route.append(found)
            compared.append(compare_boxes(self._truth, found))
            paths.append(path.with_suffix(f".{route.engine}-{route.precision.value}.bbox.json"))
            _write_results(paths[-1], self._truth, found)
        scores = [one.figures.ap for one in compared]
        threshold = self._task.rule.answer_threshold
        judged = list(_judge(self._truth, by_route, compared, threshold))
        wrong_path = path.with_suffix(".wrong.json")
        _write_wrong(wrong_path, judged)
        return base.into(
            BoxEvalResult,
            classes=self._truth.names,
            threshold=threshold,
            wrong_path=str(wrong_path),
            routes=tuple(
                BoxScore(
                    **route.fields(),
                    figures=compared[index].figures,
                    counts=_count(judged, index, len(self._truth.names)),
                    ap_drop=routes.drop(index, scores),
                    results_path=str(paths[index]),
                )
                for index, route in enumerate(routes.routes)
            ),
        )


def _judge(
    truth: Annotations,
    by_route: Sequence[Sequence[Boxes | None]],
    compared: Sequence[Comparison],
    threshold: float,
) -> Iterator[JudgedPicture]:
    """Yield the pictures that were read, with the boxes that count and the answers above the threshold."""
    for number, picture in enumerate(truth.pictures):
        answers, scores = [], []
        for found, comparison in zip(by_route, compared, strict=True):
            boxes, matches = found[number], comparison.pictures[number]
            if boxes is None or matches is None:
                break
            scores.append(matches.scores)
            answers.append(
                tuple(
                    JudgedAnswer(class_id=class_id, score=score, corners=(x0, y0, x1, y1), right=right)
                    for (class_id, score, x0, y0, x1, y1), right in zip(
                        _rows(boxes), matches.right, strict=True
                    )
                    if score > threshold
                )
            )
        else:
            objects = tuple(
                JudgedObject(
                    class_id=box.class_id,
                    corners=box.corners,
                    found=tuple(score is not None and score > threshold for score in by_box),
                )
                for box, by_box in zip(picture.boxes, zip(*scores, strict=True), strict=True)
                if not (box.crowd or box.difficult)
            )
            yield JudgedPicture(picture=picture.path, objects=objects, answers=tuple(answers))


def _count(judged: Sequence[JudgedPicture], route: int, num_classes: int) -> tuple[ClassCounts, ...]:
    objects = Counter(one.class_id for picture in judged for one in picture.objects)
    answers = [one for picture in judged for one in picture.answers[route] if one.right is not None]
    answered = Counter(one.class_id for one in answers)
    right = Counter(one.class_id for one in answers if one.right)
    return tuple(
        ClassCounts(objects=objects[one], answers=answered[one], right=right[one])
        for one in range(num_classes)
    )


def _write_wrong(path: Path, judged: Sequence[JudgedPicture]) -> None:
    """Write the pictures with a missed or wrong box, the most first, a picture a line."""
    wrong = sorted((one for one in judged if one.errors), key=lambda one: -one.errors)
    lines = b",\n".join(map(msgspec.json.encode, wrong))
    write_atomic(path, b"[\n" + lines + b"\n]\n")


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
