"""Each model's fastest valid configuration, and the engines side by side: what readers ask first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from edgekit.core.units import format_count
from edgekit.report.canvas import COLOURS, Bar
from edgekit.report.grid import MARK, Table, threads_words
from edgekit.report.leaderboard import interval_words, outcomes, rank
from edgekit.report.names import place
from edgekit.report.rows import Row

# More bars would hide the answer; the leaderboard has every configuration.
MAX_BARS = 8


class Headline(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one model on one machine.

    Attributes:
        machine: Name of the machine; empty where all were measured on one.
        figure: Latency of the fastest valid configuration, or `no valid point`.
        alarm: No point is valid although time was measured.
        configuration: Engine, precision, threads and batch.
        remarks: Ratio to the reference engine, or the outcomes of the points where none is valid.
        bars: Fastest point of each engine and precision, valid where one is.
    """

    model: str
    machine: str
    figure: str
    alarm: bool
    configuration: str
    remarks: tuple[str, ...]
    bars: tuple[Bar, ...]


def headlines(rows: Iterable[Row]) -> list[Headline]:
    """Return a headline for each model on each machine, in the order of the rows."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.model, place(row)), []).append(row)
    # A GPU engine that did not run knows no GPU and is named after the host; that alone makes no headline.
    ran = {model for (model, _), own in groups.items() if any(row.processes for row in own)}
    measured = {
        key: own for key, own in groups.items() if key[0] not in ran or any(row.processes for row in own)
    }
    several = len({machine for _, machine in measured}) > 1
    return [_headline(model, machine if several else "", own) for (model, machine), own in measured.items()]


def headline_table(rows: Iterable[Row]) -> Table:
    """Return the headlines as a list of sentences, one a model and machine."""
    lines = [
        f"{one.model}{f' on {one.machine}' * bool(one.machine)}: "
        + ", ".join(filter(None, (one.figure, one.configuration, *one.remarks)))
        for one in headlines(rows)
    ]
    return Table(title="Fastest valid configurations", notes=tuple(lines))


def _headline(model: str, machine: str, rows: Sequence[Row]) -> Headline:
    # A batch takes longer than a picture: only the smallest batch is compared.
    smallest = min(row.batch_size for row in rows)
    own = sorted((row for row in rows if row.batch_size == smallest), key=rank)
    best = own[0] if _counts(own[0]) else None
    if best is None:
        return Headline(
            model=model, machine=machine, figure="no valid point", alarm=True, configuration="",
            remarks=(outcomes(rows),), bars=_bars(own),
        )  # fmt: skip
    remarks = [_ratio(best, own)]
    if (most := _most_pictures(rows)) is not None and most.batch_size > smallest:
        remarks.append(f"most pictures: {most.pictures_per_s:.0f}/s with {_configuration(most)}")
    return Headline(
        model=model,
        machine=machine,
        figure=_figure(best),
        alarm=False,
        configuration=_configuration(best),
        remarks=tuple(filter(None, remarks)),
        bars=_bars(own),
    )


def _counts(row: Row) -> bool:
    """Return True for a valid latency, and for the exact count of an emulated target."""
    return rank(row)[0] == 0


def _figure(row: Row) -> str:
    if row.emulated:
        return f"{format_count(row.instructions or 0)} instructions"
    return f"{row.latency_ms:.2f} ms{interval_words(row)}"


def _configuration(row: Row) -> str:
    words = ["EMULATED"] if row.emulated else []
    words += [f"{row.engine} {row.precision}", threads_words(row.requested_threads)]
    words += [f"batch {row.batch_size}"] if row.batch_size > 1 else []
    words += [f"power mode {row.power_mode}"] if row.power_mode else []
    return ", ".join([*words, f"cores {row.cores}"] if row.cores else words)


def _ratio(best: Row, rows: Sequence[Row]) -> str:
    """Compare the best with the reference engine's best, or the reference itself with the next engine."""
    others: dict[str, Row] = {}
    for row in rows:
        if _counts(row) and row.engine != best.engine:
            others.setdefault(row.engine, row)
    reference = best.reference
    if best.engine == reference:
        if not others:
            return ""
        name, other = next(iter(others.items()))
        return f"{_times(best, other, name)}, the next; it is the reference engine itself"
    if reference is None:
        return "no reference engine"
    if reference in others:
        return f"{_times(best, others[reference], reference)}, the reference"
    ran = any(row.engine == reference for row in rows)
    return (
        f"the reference {reference} has no valid point"
        if ran
        else f"the reference {reference} was not measured"
    )


def _times(best: Row, other: Row, name: str) -> str:
    fast, slow = (row.instructions if row.emulated else row.latency_ms for row in (best, other))
    if not fast or not slow:
        return f"not comparable with {name}"
    return f"{slow / fast:.2f} times {'fewer than' if best.emulated else 'as fast as'} {name}"


def _most_pictures(rows: Iterable[Row]) -> Row | None:
    rated = [row for row in rows if row.pictures_per_s is not None and row.verdict == "valid"]
    return max(rated, key=lambda row: row.pictures_per_s or 0.0, default=None)


def _bars(rows: Sequence[Row]) -> tuple[Bar, ...]:
    """Return the bar of each engine and precision, the fastest first; hollow where none is valid."""
    best: dict[tuple[str, str], Row] = {}
    for row in rows:
        if rank(row)[0] < 2:
            best.setdefault((row.engine, row.precision), row)
    costs = {key: row.instructions if row.emulated else row.latency_ms for key, row in best.items()}
    longest = max((cost for cost in costs.values() if cost is not None), default=0)
    several = len({precision for _, precision in best}) > 1
    bars = []
    for (engine, precision), row in list(best.items())[:MAX_BARS]:
        figure = format_count(row.instructions or 0) if row.emulated else f"{row.latency_ms:.2f} ms"
        bars.append(
            Bar(
                name=f"{engine} {precision}" if several else engine,
                percent=100 * (costs[engine, precision] or 0) / longest if longest else 0,
                colour=COLOURS[0] if _counts(row) else "",
                text=f"{figure}{MARK * (not _counts(row))}, {threads_words(row.requested_threads)}",
            )
        )
    return tuple(bars)
