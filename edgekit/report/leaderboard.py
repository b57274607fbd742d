"""All points in one table with every figure: each model's fastest valid configuration first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec

from edgekit.report.grid import MISSING, Table, cell, number
from edgekit.report.names import place
from edgekit.report.rows import Row

# A page with more rows would be slow to sort and to send.
MAX_ROWS = 1000
INSTRUCTIONS = "Instructions"
# Outcomes that need no reason.
UNDOUBTED = ("valid", "emulated")


class _Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column and its cell of a row.

    Attributes:
        choice: Readers of a page may filter by the column's values.
        needed: Field without which in any row the table has no such column; empty for a column that it
            always has.
    """

    title: str
    text: Callable[[Row], str]
    word: bool = False
    choice: bool = False
    needed: str = ""


def leaderboard(rows: Sequence[Row], *, limit: int | None = None) -> Table:
    """Return a row a point, with every figure that any point has; the best of each model first.

    Of the columns that say what was measured, those that are the same in every row stand last.

    Args:
        rows: Rows of `result_rows`.
        limit: Largest number of rows; None for all.
    """
    models = {model: position for position, model in enumerate(dict.fromkeys(row.model for row in rows))}
    ranked = sorted(rows, key=lambda row: (models[row.model], rank(row)))
    shown = ranked[:limit]
    settings = _known(SETTINGS, rows)
    telling = [one for one in settings if len({one.text(row) for row in rows}) > 1]
    same = [one for one in settings if one not in telling]
    columns = [*telling, *_known(FIGURES, rows), *same]
    if len({place(row) for row in rows}) > 1:
        columns.append(MACHINE)
    header = ("Model", *(one.title for one in columns))
    linked = [position for position, one in enumerate(columns, start=1) if one.title in LINKED]
    left = len(rows) - len(shown)
    lines = tuple((row.model, *(one.text(row) for one in columns)) for row in shown)
    return Table(
        title="Leaderboard",
        header=header,
        rows=lines,
        words=(0, *(position for position, one in enumerate(columns, start=1) if one.word)),
        filters=(0, *(position for position, one in enumerate(columns, start=1) if one.choice)),
        points={
            (line, column): row.number
            for line, row in enumerate(shown)
            if outcome(row) not in UNDOUBTED
            for column in linked
            if lines[line][column] != MISSING
        },
        notes=(f"{left} more points: name fewer files to see them",) if left else (),
    )


def _known(columns: Sequence[_Column], rows: Sequence[Row]) -> list[_Column]:
    """Return the columns that have a value in any row."""
    return [
        one for one in columns if not one.needed or any(getattr(row, one.needed) is not None for row in rows)
    ]


def rank(row: Row) -> tuple[int, float]:
    """Return the order within a model: valid points, others, points without a figure; the cheapest first."""
    cost = row.instructions if row.emulated else row.latency_ms
    if cost is None:
        return 2, 0.0
    return int(row.verdict not in UNDOUBTED), cost


def interval_words(row: Row) -> str:
    """Return half the interval's width relative to the latency, ` ±0.4%`; empty without an interval."""
    if row.latency_ms is None or row.latency_low_ms is None or row.latency_high_ms is None:
        return ""
    share = 100 * (row.latency_high_ms - row.latency_low_ms) / 2 / row.latency_ms
    return f" ±{share:.0f}%" if share >= 10 else f" ±{share:.1f}%"


def _latency(row: Row) -> str:
    return MISSING if row.instructions is not None else cell(row) + interval_words(row)


def _instructions(row: Row) -> str:
    return cell(row) if row.emulated else MISSING


def _threads(row: Row) -> str:
    took = row.effective_threads
    return f"{row.requested_threads}" + (f" ({took})" if took not in (None, row.requested_threads) else "")


def _copies(row: Row) -> str:
    return f"{number(row.copy_in_ms, 3)} / {number(row.copy_out_ms, 3)}"


def outcome(row: Row) -> str:
    """Return the word for a point's outcome: its verdict, or why it has none."""
    return row.status if row.status in ("skipped", "failed") else row.verdict or row.status


def outcomes(rows: Iterable[Row]) -> str:
    """Count the outcomes of points as `3 valid, 1 unstable, 1 skipped`."""
    return ", ".join(f"{count} {word}" for word, count in Counter(map(outcome, rows)).most_common())


SETTINGS = (
    _Column(title="Engine", text=lambda row: row.engine, word=True, choice=True),
    _Column(title="Precision", text=lambda row: row.precision, word=True, choice=True),
    _Column(title="Threads", text=_threads, choice=True),
    _Column(title="Batch", text=lambda row: str(row.batch_size), choice=True),
    _Column(title="Power mode", text=lambda row: row.power_mode or MISSING, word=True, needed="power_mode"),
    _Column(title="Cores", text=lambda row: row.cores or MISSING, word=True, needed="cores"),
)
FIGURES = (
    _Column(title="Median, ms", text=_latency, needed="latency_ms"),
    _Column(title=INSTRUCTIONS, text=_instructions, needed="instructions"),
    _Column(title="p90, ms", text=lambda row: number(row.p90_ms, 2), needed="latency_ms"),
    _Column(title="Pictures/s", text=lambda row: number(row.pictures_per_s, 1), needed="latency_ms"),
    _Column(title="Cold start, ms", text=lambda row: number(row.cold_start_ms, 0), needed="latency_ms"),
    _Column(title="Peak memory, MB", text=lambda row: number(row.peak_memory_mb, 0)),
    _Column(title="Energy, mJ", text=lambda row: number(row.energy_mj, 1), needed="energy_mj"),
    _Column(title="Copies to the GPU / back, ms", text=_copies, needed="copy_in_ms"),
    _Column(title="Parity", text=lambda row: row.parity or MISSING, word=True),
    _Column(title="Verdict", text=outcome, word=True, choice=True),
)
LINKED = ("Median, ms", INSTRUCTIONS, "Verdict")
MACHINE = _Column(title="Machine", text=place, word=True, choice=True)
