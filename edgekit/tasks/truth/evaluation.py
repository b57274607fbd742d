"""Interface of truth: what `edgekit eval` asks of a task, and the document that it writes.

A task that can be evaluated returns a `Truth` from `Task.truth` and the type of its document from
`Task.evaluation`. Everything else is here: what a document says whatever its task, and how it is shown.
"""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import msgspec

from edgekit._files import LIST_BYTES, read_bytes
from edgekit._text import one_line
from edgekit.core.artifact import is_random
from edgekit.core.measurement import ArtifactRef
from edgekit.core.spec import CLASSIFICATION, Precision
from edgekit.core.tables import Table
from edgekit.errors import InputError
from edgekit.tasks.task import Outputs, Shown

Found = TypeVar("Found")
Document = TypeVar("Document", bound="Evaluation")


class Seen(msgspec.Struct, Generic[Found], frozen=True, kw_only=True, omit_defaults=True):
    """Record that an evaluation keeps of one picture, or the error for which it could not be read."""

    found: Found | None = None
    error: str | None = None


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One engine on one artifact; a task's own type adds its figures."""

    engine: str
    precision: Precision
    artifact: ArtifactRef

    @property
    def name(self) -> str:
        """Name of the route, e.g. `onnxruntime int8`."""
        return f"{self.engine} {self.precision.value}"

    def fields(self) -> dict[str, Any]:
        """Return the fields for a task's own type."""
        return {"engine": self.engine, "precision": self.precision, "artifact": self.artifact}


class Routes(NamedTuple):
    """Routes of an evaluation in order.

    Attributes:
        routes: All routes.
        reference: Place of the route below which the drops of the others are measured; None without one.
    """

    routes: tuple[Route, ...]
    reference: int | None

    def drop(self, index: int, figures: Sequence[float | None]) -> float | None:
        """Return how far a route's figure lies below the reference's.

        None without a reference, for the reference itself, and where either has no figure.
        """
        if self.reference in (None, index):
            return None
        wanted, own = figures[self.reference], figures[index]
        return None if wanted is None or own is None else wanted - own


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """Combination that an engine cannot compute."""

    engine: str
    precision: Precision
    reason: str


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """A share with its interval, for a bar; 0 to 1."""

    name: str
    share: float
    low: float
    high: float

    @classmethod
    def plain(cls, name: str, share: float) -> Bar:
        """Return a bar of a share that has no interval."""
        return cls(name=name, share=share, low=share, high=share)


class Mark(NamedTuple):
    """A box to draw on a picture.

    Attributes:
        kind: `right` or `wrong` for an answer, `found` or `missed` for the truth.
        words: Label, of an answer with its score.
        corners: x0, y0, x1, y1, pixels of the picture.
    """

    kind: str
    words: str
    corners: tuple[float, float, float, float]


class Mistake(NamedTuple):
    """A picture with an answer that deserves a look.

    Attributes:
        path: Path of the picture below the evaluation's `data`.
        truth: The true answer in words.
        answers: The answer of each route in words, and whether it is right.
        marks: True boxes, and those of the first route.
    """

    path: str
    truth: str
    answers: tuple[tuple[str, bool], ...]
    marks: tuple[Mark, ...] = ()


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Document that `eval` writes; a task's own type adds its figures.

    Attributes:
        pictures: Number of readable pictures, to which the figures refer.
        unreadable: Number of unreadable pictures.
        first_error: Error of the first unreadable picture.
        weights: Origin of the weights, e.g. `random (seed 0)`; None in older files.
        task: The model's task; older files of classifiers do not say it.
        classes: Names of the classes in order; empty without labels and in older files of classifiers.
        routes: Figures of each engine on each artifact.
    """

    version: ClassVar[int] = 1
    """Schema version of the document, which a task's own type may raise."""

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
    task: str = CLASSIFICATION
    classes: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()

    def into(self, form: type[Document], **figures: Any) -> Document:
        """Return a document of a task's own type with these fields and its figures."""
        own = {name: getattr(self, name) for name in self.__struct_fields__}
        return form(**{**own, "schema_version": form.version, **figures})

    def label(self, class_id: int) -> str:
        """Return the name of a class, or its number in words."""
        return one_line(self.classes[class_id]) if class_id < len(self.classes) else f"class {class_id}"

    def tables(self) -> tuple[Table, ...]:
        """Return the tables of the figures, for the terminal and for pages."""
        return ()

    def details(self) -> tuple[Table, ...]:
        """Return further tables, for pages alone."""
        return ()

    def bars(self) -> tuple[tuple[str, tuple[Bar, ...]], ...]:
        """Return figures to draw as bars: the name of each figure, and a bar a route."""
        return ()

    def accuracies(self) -> tuple[Mapping[str, float | None], ...]:
        """Return for each route the figures that `report` shows beside its latency, per cent, by name.

        The names in `edgekit.report.rows` have columns of their own.
        """
        return tuple({} for _ in self.routes)

    def beside(self) -> tuple[str, ...]:
        """Return the paths of the files that were written beside the document, for the user to read."""
        return ()

    def confusions(self, path: Path) -> Mapping[str, Counter[tuple[int, int]]]:
        """Return pictures by true and answered class of each route, of a document that lies at `path`."""
        return {}

    def mistakes(self, path: Path) -> tuple[tuple[str, tuple[Mistake, ...]], ...]:
        """Return headings with pictures to look at, of a document that lies at `path`."""
        return ()

    @property
    def counted(self) -> str:
        """Number of the pictures and their list."""
        return f"{self.pictures} picture{'s' * (self.pictures != 1)} of {self.list_path}"

    @property
    def title(self) -> str:
        """Title of a table of figures in per cent."""
        return f"{self.model}, {self.counted}, per cent"

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines below a table of figures."""
        return (
            *([f"weights: {self.weights}"] if is_random(self.weights) else []),
            *(f"skipped: {skipped.reason}" for skipped in self.skipped),
        )


class Truth(ABC, Generic[Found]):
    """Pictures with their truth, and the figures of answers against it.

    Attributes:
        total: Number of pictures.
    """

    found: ClassVar[Any]
    """Type of what is kept of a picture; msgspec writes it into the journal and reads it again."""

    total: int

    @abstractmethod
    def paths(self) -> Iterable[str]:
        """Return the pictures' paths below the evaluation's `data`, in order."""

    @abstractmethod
    def see(self, outputs: Sequence[Outputs], pictures: Sequence[Shown]) -> Iterable[Found]:
        """Return what is kept of each picture of a batch, in order.

        Args:
            outputs: Outputs of the batch of each route, by name.
            pictures: The batch's pictures.
        """

    @abstractmethod
    def conclude(
        self, base: Evaluation, routes: Routes, seen: Iterator[Seen[Found]], path: Path
    ) -> Evaluation:
        """Return the document of a complete evaluation.

        Args:
            base: Document without figures; `into` makes the task's own of it.
            routes: The routes in the order of `see`.
            seen: What was kept of each picture, in the order of `paths`; at least one could be read.
            path: Path of the document; further files are written beside it.

        Raises:
            OutputError: The files beside `path` cannot be written.
            InputError: The truth is of no use.
        """


def read_table(path: Path, name: str | None) -> list[list[str]]:
    """Return the lines of a CSV beside the document at `path`, without its header; none where it is gone."""
    if name is None:
        return []
    try:
        content = read_bytes(path.with_name(Path(name).name), "the table", most_bytes=LIST_BYTES)
    except InputError:
        return []
    return list(csv.reader(content.decode(errors="replace").splitlines(keepends=True)))[1:]


def per_cent(figure: float | None, form: str = ".2f") -> str:
    """Return a figure from 0 to 1 in per cent, `-` for None."""
    return "-" if figure is None else f"{100 * figure:{form}}"
