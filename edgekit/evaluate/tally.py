"""Counting of a journal into the result, the confusion matrix and the disagreements of an evaluation."""

from __future__ import annotations

import contextlib
import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgekit._files import atomic_file, write_atomic
from edgekit.core.accuracy import Drop, Share, paired_drop, wilson
from edgekit.core.artifact import ArtifactKind, Manifest
from edgekit.core.measurement import ArtifactRef
from edgekit.core.spec import Precision
from edgekit.errors import InputError
from edgekit.evaluate.journal import Journal, Seen
from edgekit.parity.reference import reference_engine
from edgekit.predict.lanes import Route
from edgekit.targets.target import Subject
from edgekit.vision.lists import Labelled, read_list

EVAL_SCHEMA_VERSION = 1


class RouteScore(msgspec.Struct, frozen=True, kw_only=True):
    """Accuracy of one engine on one artifact.

    Attributes:
        top1: Share of pictures whose best class is right, 0 to 1.
        top5: Share of pictures whose class is among the five best, 0 to 1.
        top1_drop: Drop of top1 below the Paddle fp32 reference on the same pictures; None without a reference
            and for the reference itself.
        top5_drop: Drop of top5 below the reference.
        agreement: Share of pictures whose best class is the reference's.
    """

    engine: str
    precision: Precision
    artifact: ArtifactRef
    top1: Share
    top5: Share
    top1_drop: Drop | None = None
    top5_drop: Drop | None = None
    agreement: Share | None = None


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """Combination that an engine cannot compute."""

    engine: str
    precision: Precision
    reason: str


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Fields of the documents that `eval` writes, whatever the model's task.

    Attributes:
        pictures: Number of readable pictures, to which the figures refer.
        unreadable: Number of unreadable pictures.
        first_error: Error of the first unreadable picture.
        weights: Origin of the weights, e.g. `random (seed 0)`; None in older files.
    """

    schema_version: int
    edgekit_version: str
    started_at: str
    ended_at: str
    model: str
    target: str
    list_path: str
    list_sha256: str
    data: str
    threads: int
    batch_size: int
    skipped: tuple[Skipped, ...]
    pictures: int
    unreadable: int
    first_error: str | None
    weights: str | None = None


class EvalResult(Evaluation, frozen=True, kw_only=True):
    """Document that `eval` writes for a classification model.

    Attributes:
        disagreements: Number of pictures whose best class differs between routes.
        confusion_path: Path of a CSV of engine, precision, true class, predicted class, count.
        disagreements_path: Path of a CSV of picture, true class, and each route's best class.
        wrong_path: Path of a CSV in the same form of the pictures whose best class is wrong on any route;
            None in older files.
        classes: Names of the classes in order; empty without labels and in older files.
        num_classes: Number of classes of the model; None in older files.
    """

    disagreements: int
    confusion_path: str
    disagreements_path: str
    routes: tuple[RouteScore, ...]
    wrong_path: str | None = None
    classes: tuple[str, ...] = ()
    num_classes: int | None = None


class NothingReadError(InputError):
    """None of the pictures of a list could be read."""


def readable(pictures: int, unreadable: int, first_error: str | None) -> dict[str, Any]:
    """Return the fields of `Evaluation` about readable pictures. Raises NothingReadError without any."""
    if not pictures:
        raise NothingReadError(
            f"evaluating: none of {unreadable} pictures could be read; the first: {first_error}",
            hint="the pictures' paths are relative to --data",
        )
    return {"pictures": pictures, "unreadable": unreadable, "first_error": first_error}


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


def is_reference(route: Route, manifest: Manifest) -> bool:
    """True where the drop of other routes is measured against this route."""
    kind = route.artifact.kind
    is_float = kind in (ArtifactKind.PADDLE, ArtifactKind.ONNX)
    return is_float and route.engine == reference_engine(manifest) and manifest.failure(kind) is None


def reference_index(routes: Sequence[Route], manifest: Manifest) -> int | None:
    """Return the place of the route that the drop of others is measured against; None without one."""
    return next((index for index, route in enumerate(routes) if is_reference(route, manifest)), None)


def tally(
    journal: Journal[Seen], routes: Sequence[Route], list_path: Path, subject: Subject, output: Path
) -> dict[str, Any]:
    """Return the fields of `EvalResult` that follow from a complete journal.

    Memory grows with the classes, not with the pictures.

    Raises:
        NothingReadError: No picture could be read.
        OutputError: The files beside `output` cannot be written.
    """
    names = [route.name for route in routes]
    reference = reference_index(routes, subject.manifest)
    counts = [_Counts() for _ in routes]
    pictures = unreadable = disagreements = 0
    first_error: str | None = None
    disagreements_path = output.with_suffix(".disagreements.csv")
    wrong_path = output.with_suffix(".wrong.csv")
    with _table(disagreements_path) as writer, _table(wrong_path) as wrong:
        for table in (writer, wrong):
            table.writerow(["picture", "class", *names, "error"])
        entries = read_list(list_path, subject.manifest.num_classes)
        for entry, seen in zip(entries, journal.read(), strict=True):
            if seen.error is not None:
                unreadable += 1
                first_error = first_error or seen.error
                writer.writerow([entry.path, entry.label, *[""] * len(names), seen.error])
                continue
            pictures += 1
            differ, row = _add(counts, entry, seen, reference)
            disagreements += differ
            if differ:
                writer.writerow(row)
            if any(best != entry.label for best in row[2:-1]):
                wrong.writerow(row)
    read = readable(pictures, unreadable, first_error)
    confusion_path = output.with_suffix(".confusion.csv")
    _write_confusion(confusion_path, routes, counts)
    return {
        **read,
        "disagreements": disagreements,
        "confusion_path": str(confusion_path),
        "disagreements_path": str(disagreements_path),
        "wrong_path": str(wrong_path),
        "classes": tuple(subject.labels),
        "routes": tuple(
            _score(route, subject.manifest, count, pictures, reference is not None and index != reference)
            for index, (route, count) in enumerate(zip(routes, counts, strict=True))
        ),
    }


@contextlib.contextmanager
def _table(path: Path) -> Iterator[Any]:
    with atomic_file(path) as temporary, temporary.open("w", newline="") as file:
        yield csv.writer(file)


def _add(
    counts: Sequence[_Counts], entry: Labelled, seen: Seen, reference: int | None
) -> tuple[bool, list[object]]:
    """Count a picture; return whether its best class differs between routes, and its line for a CSV."""
    wanted = None if reference is None else seen.top[reference]
    for count, top in zip(counts, seen.top, strict=True):
        count.add(entry.label, top, wanted)
    best = [top[0] for top in seen.top]
    return len(set(best)) > 1, [entry.path, entry.label, *best, ""]


def _score(route: Route, manifest: Manifest, count: _Counts, pictures: int, compared: bool) -> RouteScore:
    drops = [
        paired_drop(lost, gained, pictures) for lost, gained in zip(count.lost, count.gained, strict=True)
    ]
    return RouteScore(
        engine=route.engine,
        precision=route.precision,
        artifact=ArtifactRef.to(route.artifact, manifest),
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


def write_result(result: msgspec.Struct, path: Path) -> None:
    """Write the result document completely or not at all."""
    write_atomic(path, msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
