"""Truth of classification models: a list of classes, Top-1 and Top-5, confusions and disagreements."""

from __future__ import annotations

import contextlib
import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit._files import atomic_file
from edgekit.core.accuracy import Drop, Share, paired_drop, wilson
from edgekit.core.tables import Table
from edgekit.tasks.task import Outputs, Shown
from edgekit.tasks.truth.evaluation import Bar, Evaluation, Mistake, Route, Routes, Seen, Truth, read_table
from edgekit.vision.lists import Labelled, count_list, read_list

if TYPE_CHECKING:
    from edgekit.tasks.classification import Classification

TOP_K = 5

FoundClasses = tuple[tuple[int, ...], ...]
"""By route the best classes of a picture, best first."""


class RouteScore(Route, frozen=True, kw_only=True):
    """Accuracy of one engine on one artifact.

    Attributes:
        top1: Share of pictures whose best class is right, 0 to 1.
        top5: Share of pictures whose class is among the five best, 0 to 1.
        top1_drop: Drop of top1 below the Paddle fp32 reference on the same pictures; None without a reference
            and for the reference itself.
        top5_drop: Drop of top5 below the reference.
        agreement: Share of pictures whose best class is the reference's.
    """

    top1: Share
    top5: Share
    top1_drop: Drop | None = None
    top5_drop: Drop | None = None
    agreement: Share | None = None


class EvalResult(Evaluation, frozen=True, kw_only=True):
    """Document that `eval` writes for a classification model.

    Attributes:
        disagreements: Number of pictures whose best class differs between routes.
        confusion_path: Path of a CSV of engine, precision, true class, predicted class, count.
        disagreements_path: Path of a CSV of picture, true class, and each route's best class.
        wrong_path: Path of a CSV in the same form of the pictures whose best class is wrong on any route;
            None in older files.
        num_classes: Number of classes of the model; None in older files.
    """

    disagreements: int
    confusion_path: str
    disagreements_path: str
    routes: tuple[RouteScore, ...]
    wrong_path: str | None = None
    num_classes: int | None = None

    @property
    def _has_top5(self) -> bool:
        """False where there are so few classes that the five best say nothing."""
        return self.num_classes is None or self.num_classes > TOP_K

    def tables(self) -> tuple[Table, ...]:
        rows = []
        for route in self.routes:
            agreement = "reference" if route.engine == "paddle" and route.agreement is None else "-"
            rows.append(
                (
                    route.engine,
                    route.artifact.kind,
                    _share(route.top1),
                    *([_share(route.top5)] if self._has_top5 else []),
                    _drop(route.top1_drop),
                    f"{100 * route.agreement.share:.2f}" if route.agreement else agreement,
                )
            )
        top5 = ["Top-5 [95 %]"] if self._has_top5 else []
        return (
            Table(
                title=self.title,
                header=("engine", "artifact", "Top-1 [95 %]", *top5, "Top-1 drop [95 %]", "same Top-1"),
                rows=tuple(rows),
                words=(0, 1),
                notes=(*self.notes, f"{self.disagreements} pictures on which Top-1 differs"),
            ),
        )

    def bars(self) -> tuple[tuple[str, tuple[Bar, ...]], ...]:
        top1 = tuple(_bar(route.name, route.top1) for route in self.routes)
        top5 = tuple(_bar(route.name, route.top5) for route in self.routes)
        return (("Top-1", top1), ("Top-5", top5)) if self._has_top5 else (("Top-1", top1),)

    def accuracies(self) -> tuple[dict[str, float | None], ...]:
        return tuple(
            {"top1": one.top1.share, "top5": one.top5.share if self._has_top5 else None}
            for one in self.routes
        )

    def beside(self) -> tuple[str, ...]:
        wrong = () if self.wrong_path is None else (self.wrong_path,)
        return self.confusion_path, self.disagreements_path, *wrong

    def confusions(self, path: Path) -> Mapping[str, Counter[tuple[int, int]]]:
        found: dict[str, Counter[tuple[int, int]]] = {one.name: Counter() for one in self.routes}
        for engine, precision, true, predicted, number in read_table(path, self.confusion_path):
            if (name := f"{engine} {precision}") in found:
                found[name][int(true), int(predicted)] += int(number)
        return {name: counts for name, counts in found.items() if counts}

    def mistakes(self, path: Path) -> tuple[tuple[str, tuple[Mistake, ...]], ...]:
        return (
            ("Wrong pictures", self._mistakes(path, self.wrong_path)),
            ("Pictures on which the answers differ", self._mistakes(path, self.disagreements_path)),
        )

    def _mistakes(self, path: Path, name: str | None) -> tuple[Mistake, ...]:
        """Return the lines of a CSV without the pictures that were not read."""
        return tuple(
            Mistake(
                picture,
                self.label(int(true)),
                tuple((self.label(int(answer)), answer == true) for answer in answers),
            )
            for picture, true, *answers, error in read_table(path, name)
            if not error
        )


class ClassTruth(Truth[FoundClasses]):
    """True classes of a list's pictures. Memory does not grow with the list.

    Args:
        task: The model's task.
        list_path: List of pictures and classes.

    Raises:
        InputError: The list cannot be read, or has classes that the model lacks.
    """

    found = FoundClasses

    def __init__(self, task: Classification, list_path: Path) -> None:
        self._task = task
        self._list_path = list_path
        self.total = count_list(list_path, task.manifest.num_classes)

    def _entries(self) -> Iterator[Labelled]:
        return read_list(self._list_path, self._task.manifest.num_classes)

    def paths(self) -> Iterable[str]:
        return (entry.path for entry in self._entries())

    def see(self, outputs: Sequence[Outputs], pictures: Sequence[Shown]) -> Iterable[FoundClasses]:
        by_route = [self._task.scores(one) for one in outputs]
        for rows in zip(*by_route, strict=True):
            yield tuple(tuple(self._task.ranked(row, TOP_K).tolist()) for row in rows)

    def conclude(
        self, base: Evaluation, routes: Routes, seen: Iterator[Seen[FoundClasses]], path: Path
    ) -> EvalResult:
        names = [route.name for route in routes.routes]
        counts = [_Counts() for _ in names]
        disagreements = 0
        disagreements_path = path.with_suffix(".disagreements.csv")
        wrong_path = path.with_suffix(".wrong.csv")
        with _table(disagreements_path) as writer, _table(wrong_path) as wrong:
            for table in (writer, wrong):
                table.writerow(["picture", "class", *names, "error"])
            for entry, each in zip(self._entries(), seen, strict=True):
                if each.found is None:
                    writer.writerow([entry.path, entry.label, *[""] * len(names), each.error])
                    continue
                differ, row = _add(counts, entry, each.found, routes.reference)
                disagreements += differ
                if differ:
                    writer.writerow(row)
                if any(best != entry.label for best in row[2:-1]):
                    wrong.writerow(row)
        confusion_path = path.with_suffix(".confusion.csv")
        _write_confusion(confusion_path, routes.routes, counts)
        return base.into(
            EvalResult,
            disagreements=disagreements,
            confusion_path=str(confusion_path),
            disagreements_path=str(disagreements_path),
            wrong_path=str(wrong_path),
            classes=self._task.labels,
            num_classes=self._task.manifest.num_classes,
            routes=tuple(
                _score(route, count, base.pictures, routes.reference not in (None, index))
                for index, (route, count) in enumerate(zip(routes.routes, counts, strict=True))
            ),
        )


class _Counts:
    """Running counts of one route against the reference."""

    def __init__(self) -> None:
        self.top1 = self.top5 = self.agreeing = 0
        self.lost = [0, 0]
        self.gained = [0, 0]
        self.confusion: Counter[tuple[int, int]] = Counter()

    def add(self, label: int, top: Sequence[int], reference: Sequence[int] | None) -> None:
        hits = (label == top[0], label in top)
        self.top1 += hits[0]
        self.top5 += hits[1]
        self.confusion[label, top[0]] += 1
        if reference is None:
            return
        self.agreeing += top[0] == reference[0]
        for index, (hit, wanted) in enumerate(
            zip(hits, (label == reference[0], label in reference), strict=True)
        ):
            self.lost[index] += wanted and not hit
            self.gained[index] += hit and not wanted


@contextlib.contextmanager
def _table(path: Path) -> Iterator[Any]:
    with atomic_file(path) as temporary, temporary.open("w", newline="") as file:
        yield csv.writer(file)


def _add(
    counts: Sequence[_Counts], entry: Labelled, found: FoundClasses, reference: int | None
) -> tuple[bool, list[object]]:
    """Count a picture; return whether its best class differs between routes, and its line for a CSV."""
    wanted = None if reference is None else found[reference]
    for count, top in zip(counts, found, strict=True):
        count.add(entry.label, top, wanted)
    best = [top[0] for top in found]
    return len(set(best)) > 1, [entry.path, entry.label, *best, ""]


def _score(route: Route, count: _Counts, pictures: int, compared: bool) -> RouteScore:
    drops = [
        paired_drop(lost, gained, pictures) for lost, gained in zip(count.lost, count.gained, strict=True)
    ]
    return RouteScore(
        **route.fields(),
        top1=wilson(count.top1, pictures),
        top5=wilson(count.top5, pictures),
        top1_drop=drops[0] if compared else None,
        top5_drop=drops[1] if compared else None,
        agreement=wilson(count.agreeing, pictures) if compared else None,
    )


def _write_confusion(path: Path, routes: Sequence[Route], counts: Sequence[_Counts]) -> None:
    with _table(path) as writer:
        writer.writerow(["engine", "precision", "class", "predicted", "pictures"])
        for route, count in zip(routes, counts, strict=True):
            for (label, predicted), number in sorted(count.confusion.items()):
                writer.writerow([route.engine, route.precision.value, label, predicted, number])


def _bar(name: str, share: Share) -> Bar:
    return Bar(name=name, share=share.share, low=share.low, high=share.high)


def _share(share: Share) -> str:
    return f"{100 * share.share:.2f} [{100 * share.low:.2f}, {100 * share.high:.2f}]"


def _drop(drop: Drop | None) -> str:
    if drop is None:
        return "-"
    return f"{100 * drop.drop:+.2f} [{100 * drop.low:+.2f}, {100 * drop.high:+.2f}]"
