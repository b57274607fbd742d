"""Truth of segmentation models: label maps, and PaddleSeg's mean intersection over union."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgekit.core.tables import Table
from edgekit.errors import InputError
from edgekit.tasks.task import Outputs, Shown
from edgekit.tasks.truth.evaluation import Bar, Evaluation, Route, Routes, Seen, Truth, per_cent
from edgekit.vision.label_maps import LabelMapScore, count_areas, read_label_map, score_areas
from edgekit.vision.lines import read_lines
from edgekit.vision.lists import check_list

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.tasks.segmentation import Segmentation

HINT = "one picture a line: its path below --data, a space, and the path of its label map, a PNG"
Areas = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Right, found and true pixels by class."""

FoundAreas = tuple[Areas, ...]
"""By route the pixels of a picture."""


class LabelMapRoute(Route, frozen=True, kw_only=True):
    """Score of one engine on one artifact.

    Attributes:
        figures: PaddleSeg's figures.
        mean_iou_drop: How far `figures.mean_iou` lies below the reference's; None without a reference and
            for the reference itself.
    """

    figures: LabelMapScore
    mean_iou_drop: float | None


class LabelMapEvalResult(Evaluation, frozen=True, kw_only=True):
    """Document that `eval` writes for a segmentation model; `classes` name those of `figures.class_iou`."""

    task: str
    classes: tuple[str, ...]
    routes: tuple[LabelMapRoute, ...]

    def tables(self) -> tuple[Table, ...]:
        rows = [
            (
                route.engine,
                route.artifact.kind,
                per_cent(route.figures.mean_iou),
                per_cent(route.figures.accuracy),
                per_cent(route.figures.kappa),
                per_cent(route.mean_iou_drop, "+.2f"),
            )
            for route in self.routes
        ]
        header = ("engine", "artifact", "mIoU", "accuracy", "kappa", "mIoU drop")
        whole = Table(title=self.title, header=header, rows=tuple(rows), words=(0, 1), notes=self.notes)
        names = self.classes or tuple(map(str, range(len(self.routes[0].figures.class_iou))))
        by_class = zip(names, *(route.figures.class_iou for route in self.routes), strict=True)
        classes = Table(
            title="IoU by class, per cent; - for a class that occurs nowhere",
            header=("class", *(f"{route.engine} {route.artifact.kind}" for route in self.routes)),
            rows=tuple((name, *map(per_cent, ious)) for name, *ious in by_class),
            words=(0,),
        )
        return whole, classes

    def bars(self) -> tuple[tuple[str, tuple[Bar, ...]], ...]:
        return (("mIoU", tuple(Bar.plain(one.name, one.figures.mean_iou) for one in self.routes)),)

    def accuracies(self) -> tuple[dict[str, float | None], ...]:
        return tuple({"miou": one.figures.mean_iou} for one in self.routes)


class LabelMapTruth(Truth[FoundAreas]):
    """True label maps of pictures.

    Args:
        task: The model's task.
        list_path: PaddleSeg's list.
        data: Directory to which its paths are relative.

    Raises:
        InputError: The list cannot be read.
    """

    found = FoundAreas

    def __init__(self, task: Segmentation, list_path: Path, data: Path) -> None:
        self._task = task
        self._pairs = read_pairs(list_path, data)
        self._label_maps = {str(data / path): label_map for path, label_map in self._pairs.items()}
        self.total = len(self._pairs)

    def paths(self) -> Iterable[str]:
        return self._pairs

    def see(self, outputs: Sequence[Outputs], pictures: Sequence[Shown]) -> Iterable[FoundAreas]:
        """Count the pixels of each picture.

        Raises:
            InputError: A label map is missing, of another size, or of other classes.
        """
        by_route = [self._task.label_maps(one, pictures) for one in outputs]
        classes = self._task.manifest.num_classes
        for row, picture in enumerate(pictures):
            size = (picture.height, picture.width)
            true = read_label_map(self._label_maps[picture.name], size, classes)
            counted = [count_areas(maps[row], true, classes).tolist() for maps in by_route]
            yield msgspec.convert(counted, FoundAreas)

    def conclude(
        self, base: Evaluation, routes: Routes, seen: Iterator[Seen[FoundAreas]], path: Path
    ) -> LabelMapEvalResult:
        import numpy as np

        classes = self._task.manifest.num_classes
        sums: NDArray[np.int64] = np.zeros((len(routes.routes), 3, classes), np.int64)
        for each in seen:
            if each.found is not None:
                sums += np.array(each.found, np.int64)
        figures = [score_areas(each) for each in sums]
        means = [one.mean_iou for one in figures]
        return base.into(
            LabelMapEvalResult,
            classes=self._task.labels,
            routes=tuple(
                LabelMapRoute(
                    **route.fields(), figures=figures[index], mean_iou_drop=routes.drop(index, means)
                )
                for index, route in enumerate(routes.routes)
            ),
        )


def read_pairs(path: Path, data: Path) -> dict[str, Path]:
    """Return the label map of each picture of PaddleSeg's lists, by the picture's path as written.

    Raises:
        InputError: The list cannot be read, is empty, names a picture twice, or a line has no two paths.
    """
    check_list(path)
    pairs: dict[str, Path] = {}
    for number, line in enumerate(read_lines(path, "the list", HINT), start=1):
        words = line.split("\t") if "\t" in line else line.split()
        if not words:
            continue
        if len(words) != 2 or words[0] in pairs:
            what = "a picture a second time" if len(words) == 2 else "not a picture and its label map"
            raise InputError(f"reading the list {path}, line {number}: {line[:80]!r} is {what}", hint=HINT)
        pairs[words[0]] = data / words[1]
    if not pairs:
        raise InputError(f"reading the list {path}: it is empty", hint=HINT)
    return pairs
