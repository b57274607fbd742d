"""Truth of multi-label models: zeros and ones of each picture, figures by label and PaddleClas's."""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgekit._files import atomic_file
from edgekit.core.accuracy import Share, wilson
from edgekit.core.tables import Table
from edgekit.errors import InputError, RunnerError
from edgekit.tasks.task import Outputs, Shown
from edgekit.tasks.truth.attributes import ATTRIBUTE_THRESHOLD, AttributeFigures, attribute_figures
from edgekit.tasks.truth.evaluation import (
    Bar,
    Evaluation,
    Mistake,
    Route,
    Routes,
    Seen,
    Truth,
    per_cent,
    read_table,
)
from edgekit.vision.lines import read_lines
from edgekit.vision.lists import check_list

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.tasks.multilabel import Multilabel

HINT = "one picture a line: its path below --data, a tab, and for each class 1, 0, or -1 for unknown: 0,1,0"
_ENTRY = re.compile(r"(.*[^ \t])[ \t]+(-?[0-9]{1,2}(?:,-?[0-9]{1,2})*)", re.DOTALL)

FoundScores = tuple[tuple[float, ...], ...]
"""By route the score of each class of a picture."""


class LabelledSeveral(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a list: the picture's path as written, and for each class 1, 0, or -1 for unknown."""

    path: str
    labels: tuple[int, ...]


def read_label_list(path: Path, num_classes: int) -> Iterator[LabelledSeveral]:
    """Yield the lines of a list in the form of PaddleClas's MultiLabelDataset; blank lines are skipped.

    Raises:
        InputError: The list cannot be read, or a line has no label for each class of the model.
    """
    for number, line in enumerate(read_lines(path, "the list", HINT), start=1):
        if not (line := line.strip(" \t")):
            continue
        match = _ENTRY.fullmatch(line)
        labels = tuple(map(int, match[2].split(","))) if match else ()
        where = f"reading the list {path}, line {number}"
        if match is None or set(labels) - {0, 1, -1}:
            raise InputError(f"{where}: {line[:80]!r} does not end in labels of 0, 1 and -1", hint=HINT)
        if len(labels) != num_classes:
            raise InputError(
                f"{where}: {len(labels)} label(s), but the model has {num_classes} classes",
                hint="a label for each class, in order; is this the list for this model?",
            )
        yield LabelledSeveral(path=match[1], labels=labels)


class LabelFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one label at its threshold, 0 to 1; pictures where it is unknown do not count.

    Attributes:
        positives: Number of pictures that have the label.
        precision: Share of the pictures answered with it that have it; None where none is.
        recall: Share of the pictures that have it that are answered with it; None where none has it.
        f1: Harmonic mean of both; None where no picture has it and none is answered with it.
        average_precision: Area under precision over recall at all scores; None where no picture has it.
    """

    positives: int
    precision: float | None
    recall: float | None
    f1: float | None
    average_precision: float | None


class LabelRoute(Route, frozen=True, kw_only=True):
    """Accuracy of one engine on one artifact.

    Attributes:
        mean_average_precision: Mean of the labels' average precisions; None where no picture has a label.
        mean_average_precision_drop: How far that lies below the reference's; None without a reference and
            for the reference itself.
        right: Share of pictures whose known labels are all answered right.
        agreement: Share of pictures with the reference's answered labels.
        attributes: PaddleClas's figures at the score 0.5.
        labels: Figures of each label, in order of class.
    """

    mean_average_precision: float | None
    mean_average_precision_drop: float | None
    right: Share
    agreement: Share | None
    attributes: AttributeFigures
    labels: tuple[LabelFigures, ...]


class LabelEvalResult(Evaluation, frozen=True, kw_only=True):
    """Document that `eval` writes for a multi-label model.

    Attributes:
        disagreements: Number of pictures whose answered labels differ between routes.
        disagreements_path: Path of a CSV of picture, true labels, and each route's labels.
        wrong_path: Path of a CSV in the same form of the pictures that any route answers wrongly.
        thresholds: Score from which each label is answered, in order of class; empty in older files.
    """

    task: str
    disagreements: int
    disagreements_path: str
    wrong_path: str
    routes: tuple[LabelRoute, ...]
    thresholds: tuple[float, ...] = ()

    def tables(self) -> tuple[Table, ...]:
        whole = Table(
            title=self.title,
            header=(
                "engine",
                "artifact",
                "mAP",
                "all right [95 %]",
                "mA",
                "label F1",
                "instance F1",
                "mAP drop",
                "same labels",
            ),
            rows=tuple(
                (
                    route.engine,
                    route.artifact.kind,
                    per_cent(route.mean_average_precision),
                    f"{per_cent(route.right.share)} [{per_cent(route.right.low)}, "
                    f"{per_cent(route.right.high)}]",
                    per_cent(route.attributes.ma),
                    per_cent(route.attributes.label_f1),
                    per_cent(route.attributes.instance_f1),
                    per_cent(route.mean_average_precision_drop, "+.2f"),
                    per_cent(None if route.agreement is None else route.agreement.share),
                )
                for route in self.routes
            ),
            words=(0, 1),
            notes=(
                *self.notes,
                f"mA, label F1 and instance F1 at the score {ATTRIBUTE_THRESHOLD}, as PaddleClas counts them",
                f"{self.disagreements} pictures on which the labels differ",
            ),
        )
        threshold = ["threshold"] if self.thresholds else []
        by_label = [
            Table(
                title=f"Labels by {route.name} at their thresholds, per cent; - where there is none to count",
                header=("label", *threshold, "pictures", "precision", "recall", "F1", "AP"),
                rows=tuple(
                    (
                        self.label(number),
                        *(f"{each[number]:g}" for each in [self.thresholds] if each),
                        str(one.positives),
                        *map(per_cent, (one.precision, one.recall, one.f1, one.average_precision)),
                    )
                    for number, one in enumerate(route.labels)
                ),
            )
            for route in self.routes
        ]
        return whole, *by_label

    def bars(self) -> tuple[tuple[str, tuple[Bar, ...]], ...]:
        right = [
            Bar(name=one.name, share=one.right.share, low=one.right.low, high=one.right.high)
            for one in self.routes
        ]
        means = [Bar.plain(one.name, one.mean_average_precision or 0.0) for one in self.routes]
        return ("all labels right", tuple(right)), ("mAP", tuple(means))

    def accuracies(self) -> tuple[dict[str, float | None], ...]:
        return tuple(
            {
                "label_map": one.mean_average_precision,
                "ma": one.attributes.ma,
                "label_f1": one.attributes.label_f1,
                "instance_f1": one.attributes.instance_f1,
            }
            for one in self.routes
        )

    def beside(self) -> tuple[str, ...]:
        return self.wrong_path, self.disagreements_path

    def mistakes(self, path: Path) -> tuple[tuple[str, tuple[Mistake, ...]], ...]:
        return (
            ("Wrong pictures", self._mistakes(path, self.wrong_path)),
            ("Pictures on which the answers differ", self._mistakes(path, self.disagreements_path)),
        )

    def _mistakes(self, path: Path, name: str) -> tuple[Mistake, ...]:
        return tuple(
            Mistake(
                picture,
                ", ".join(self._names(true, "1")) or "none",
                tuple((self._words(answer, true), _is_right(answer, true)) for answer in answers),
            )
            for picture, true, *answers in read_table(path, name)
        )

    def _words(self, answer: str, true: str) -> str:
        """Return what an answer lacks and has too much, or its labels where it is right."""
        pairs = list(enumerate(zip(answer.split(","), true.split(","), strict=True)))
        missed = [self.label(number) for number, pair in pairs if pair == ("0", "1")]
        wrong = [self.label(number) for number, pair in pairs if pair == ("1", "0")]
        said = [f"missed {', '.join(missed)}"] * bool(missed) + [f"wrong {', '.join(wrong)}"] * bool(wrong)
        return "; ".join(said) or ", ".join(self._names(answer, "1")) or "none"

    def _names(self, labels: str, state: str) -> list[str]:
        return [self.label(number) for number, each in enumerate(labels.split(",")) if each == state]


class LabelTruth(Truth[FoundScores]):
    """True labels of a list's pictures.

    Args:
        task: The model's task.
        list_path: PaddleClas's list.

    Raises:
        InputError: The list cannot be read, is empty, or is of another number of classes.
    """

    found = FoundScores

    def __init__(self, task: Multilabel, list_path: Path) -> None:
        check_list(list_path)
        self._task = task
        self._entries = list(read_label_list(list_path, task.manifest.num_classes))
        self.total = len(self._entries)
        if not self._entries:
            raise InputError(f"reading the list {list_path}: it is empty", hint=HINT)

    def paths(self) -> Iterable[str]:
        return (entry.path for entry in self._entries)

    def see(self, outputs: Sequence[Outputs], pictures: Sequence[Shown]) -> Iterable[FoundScores]:
        """Keep the scores. Raises RunnerError where one is not finite."""
        import numpy as np

        for picture, *rows in zip(pictures, *map(self._task.scores, outputs), strict=True):
            if not all(np.isfinite(row).all() for row in rows):
                raise RunnerError(f"evaluating {picture.name}: a score is not finite")
            yield tuple(tuple(row.tolist()) for row in rows)

    def conclude(
        self, base: Evaluation, routes: Routes, seen: Iterator[Seen[FoundScores]], path: Path
    ) -> LabelEvalResult:
        import numpy as np

        pairs = [
            (entry, each.found)
            for entry, each in zip(self._entries, seen, strict=True)
            if each.found is not None
        ]
        truth = np.array([entry.labels for entry, _ in pairs], np.int8)
        scores = np.array([found for _, found in pairs], np.float32)
        answers = self._task.passing(scores)
        names = [entry.path for entry, _ in pairs]
        wrong_path = path.with_suffix(".wrong.csv")
        disagreements_path = path.with_suffix(".disagreements.csv")
        right = ((answers == (truth[:, None] == 1)) | (truth[:, None] == -1)).all(axis=2)
        differing = (answers != answers[:, :1]).any(axis=(1, 2))
        header = ["picture", "labels", *(route.name for route in routes.routes)]
        _write(wrong_path, header, names, truth, answers, ~right.all(axis=1))
        _write(disagreements_path, header, names, truth, answers, differing)
        labels = [_by_label(truth, scores[:, one], answers[:, one]) for one in range(len(routes.routes))]
        means = [_mean([each.average_precision for each in one]) for one in labels]
        same = (
            None
            if routes.reference is None
            else (answers == answers[:, routes.reference][:, None]).all(axis=2).sum(axis=0)
        )
        return base.into(
            LabelEvalResult,
            classes=self._task.labels,
            disagreements=int(differing.sum()),
            disagreements_path=str(disagreements_path),
            wrong_path=str(wrong_path),
            thresholds=tuple(np.broadcast_to(self._task.rule.thresholds, truth.shape[1]).tolist()),
            routes=tuple(
                LabelRoute(
                    **route.fields(),
                    mean_average_precision=means[index],
                    mean_average_precision_drop=routes.drop(index, means),
                    right=wilson(int(right[:, index].sum()), len(pairs)),
                    agreement=None
                    if same is None or index == routes.reference
                    else wilson(int(same[index]), len(pairs)),
                    attributes=attribute_figures(truth, scores[:, index] > ATTRIBUTE_THRESHOLD),
                    labels=labels[index],
                )
                for index, route in enumerate(routes.routes)
            ),
        )


def average_precision(truth: NDArray[np.bool_], scores: NDArray[np.float32]) -> float | None:
    """Return the area under precision over recall of one label; None where no picture has it.

    Precision is taken where recall rises; pictures of equal scores count together, in whichever order.
    """
    import numpy as np

    if not truth.any():
        return None
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order])
    last = np.append(np.diff(scores[order]) != 0, True)  # the last picture of each score
    precision = (hits / np.arange(1, len(hits) + 1))[last]
    recall = (hits / hits[-1])[last]
    return float((precision * np.diff(recall, prepend=0.0)).sum())


def _by_label(
    truth: NDArray[np.int8], scores: NDArray[np.float32], answers: NDArray[np.bool_]
) -> tuple[LabelFigures, ...]:
    figures = []
    for column, score, answered in zip(truth.T, scores.T, answers.T, strict=True):
        known = column != -1
        true, found = column[known] == 1, answered[known]
        hits, positives, given = int((true & found).sum()), int(true.sum()), int(found.sum())
        figures.append(
            LabelFigures(
                positives=positives,
                precision=hits / given if given else None,
                recall=hits / positives if positives else None,
                f1=2 * hits / (given + positives) if given + positives else None,
                average_precision=average_precision(true, score[known]),
            )
        )
    return tuple(figures)


def _mean(figures: Sequence[float | None]) -> float | None:
    known = [one for one in figures if one is not None]
    return sum(known) / len(known) if known else None


def _is_right(answer: str, truth: str) -> bool:
    pairs = zip(answer.split(","), truth.split(","), strict=True)
    return all(true in ("-1", given) for given, true in pairs)


def _write(
    path: Path,
    header: Sequence[str],
    names: Sequence[str],
    truth: NDArray[np.int8],
    answers: NDArray[np.bool_],
    chosen: NDArray[np.bool_],
) -> None:
    """Write the chosen pictures with their true and answered labels."""
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(stack.enter_context(atomic_file(path)).open("w", newline=""))
        writer = csv.writer(file)
        writer.writerow(header)
        for name, true, given, picked in zip(names, truth, answers, chosen, strict=True):
            if picked:
                rows = [true.tolist(), *given.astype(int).tolist()]
                writer.writerow([name, *(",".join(map(str, row)) for row in rows)])
