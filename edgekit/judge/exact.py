"""Exact comparison of what does not vary between runs: instruction counts, sizes of artifacts, accuracy."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import msgspec

from edgekit.core.artifact import Manifest
from edgekit.core.measurement import Result, Status
from edgekit.core.tables import Table
from edgekit.judge.pairs import configuration_of

EXACT_SCHEMA_VERSION = 1
# Counts of one program repeat within 0.03 %.
DEFAULT_THRESHOLD = 0.005


class Kind(enum.Enum):
    """Kind of a quantity; a larger one is worse, except for accuracy."""

    INSTRUCTIONS = "instructions"
    BYTES = "bytes"
    ACCURACY = "accuracy"


class Quantity(msgspec.Struct, frozen=True, kw_only=True):
    """One exact figure.

    Attributes:
        subject: Model, and artifact or point.
        value: Instructions of the main thread of one inference, bytes, or a share from 0 to 1.
    """

    subject: str
    kind: Kind
    value: float


class Verdict(enum.Enum):
    """Change of a quantity from the old result to the new one."""

    EQUAL = "equal"
    BETTER = "better"
    WORSE = "worse"
    WITHIN = "within the threshold"
    GONE = "gone"
    NEW = "new"


class ExactChange(msgspec.Struct, frozen=True, kw_only=True):
    """A quantity before and after; None on the side that lacks it."""

    subject: str
    kind: Kind
    old: float | None
    new: float | None
    verdict: Verdict


class ExactReport(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `compare --counts --json`."""

    schema_version: int = EXACT_SCHEMA_VERSION
    threshold: float
    changes: tuple[ExactChange, ...]

    @property
    def regressions(self) -> list[ExactChange]:
        return [one for one in self.changes if one.verdict in (Verdict.WORSE, Verdict.GONE)]


def counts_of(result: Result) -> list[Quantity]:
    """Return the instruction counts of a result's points; points that failed have none."""
    return [
        Quantity(
            subject=f"{point.model}, {configuration_of(point)}, {result.target.soc or result.target.serial}",
            kind=Kind.INSTRUCTIONS,
            value=point.instruction_count.main_thread,
        )
        for point in result.points
        if point.status is Status.DONE and point.instruction_count is not None
    ]


def sizes_of(manifest: Manifest) -> list[Quantity]:
    """Return the sizes of a model's artifacts."""
    return [
        Quantity(subject=f"{manifest.name}, {name}", kind=Kind.BYTES, value=artifact.size_bytes)
        for name, artifact in manifest.artifacts.items()
    ]


def compare_exactly(old: Sequence[Quantity], new: Sequence[Quantity], threshold: float) -> ExactReport:
    """Compare quantities of one subject and kind; worse by more than the share `threshold` regresses."""
    before, after = ({(one.subject, one.kind): one.value for one in side} for side in (old, new))
    return ExactReport(
        threshold=threshold,
        changes=tuple(
            ExactChange(
                subject=key[0],
                kind=key[1],
                old=before.get(key),
                new=after.get(key),
                verdict=_verdict(key[1], before.get(key), after.get(key), threshold),
            )
            for key in dict.fromkeys([*before, *after])
        ),
    )


def _verdict(kind: Kind, old: float | None, new: float | None, threshold: float) -> Verdict:
    if old is None or new is None:
        return Verdict.NEW if old is None else Verdict.GONE
    if old == new:
        return Verdict.EQUAL
    worse = (old - new) if kind is Kind.ACCURACY else (new - old)
    if worse > threshold * old:
        return Verdict.WORSE
    return Verdict.WITHIN if worse > 0 else Verdict.BETTER


def exact_table(report: ExactReport) -> Table:
    """Return the changes as a table, what regressed first."""
    worst_first = sorted(report.changes, key=lambda one: one not in report.regressions)
    return Table(
        title="New against old",
        header=("What", "figure", "old", "new", "change", "verdict"),
        rows=tuple(
            (
                one.subject,
                one.kind.value,
                _shown(one.kind, one.old),
                _shown(one.kind, one.new),
                f"{one.new / one.old - 1:+.2%}" if one.old and one.new is not None else "-",
                one.verdict.value,
            )
            for one in worst_first
        ),
        notes=(f"worse: by more than {report.threshold:.2%}",),
        words=(0, 1, 5),
    )


def _shown(kind: Kind, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if kind is Kind.ACCURACY else f"{value:,.0f}"
