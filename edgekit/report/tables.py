"""The published layouts: a row a model, its size and accuracy, a column a configuration.

With one thread count on a host this is PaddleClas's Intel CPU table, with batches of 1, 4 and 8 on a GPU
the V100 table, with 1, 2 and 4 threads on a device the Snapdragon 855 table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from edgekit.core.units import format_count
from edgekit.report.rows import Row

MISSING = "-"
MARK = "*"
PLATFORM_NAMES = {"intel-cpu": "Intel CPU", "v100": "V100", "sd855": "Snapdragon 855"}

Configuration = tuple[int, int]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Words in rows, for any renderer; the first column is text, the others are figures."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def published_tables(rows: Iterable[Row], *, published: bool) -> list[Table]:
    """A table for each run's engine, precision and binding.

    Args:
        rows: What `result_rows` made.
        published: A column of the publication's figures beside each measured one.
    """
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        key = (row.run_id, row.target, row.engine, row.precision, row.power_mode, row.cores)
        groups.setdefault(key, []).append(row)
    return [_table(group, published=published) for group in groups.values()]


def _table(rows: Sequence[Row], *, published: bool) -> Table:
    first = rows[0]
    configurations = list(dict.fromkeys(_configuration(row) for row in rows))
    found = {(row.model, _configuration(row)): row for row in rows}
    models = {row.model: row for row in rows}
    accuracy = [name for name in ("params_m", "flops_m", "top1", "top5") if _has(rows, name)]
    titles = {"params_m": "Params(M)", "flops_m": "FLOPs(M)", "top1": "Top-1 Acc(%)", "top5": "Top-5 Acc(%)"}
    header = ["Model", *(titles[name] for name in accuracy)]
    for configuration in configurations:
        header.append(_column(configuration, configurations, emulated=first.emulated))
        if published:
            header.append(f"published({_platform(rows)}, ms)")
    lines = []
    for model, any_row in models.items():
        line = [model, *(_number(getattr(any_row, name)) for name in accuracy)]
        for configuration in configurations:
            row = found.get((model, configuration))
            line.append(cell(row))
            if published:
                line.append(MISSING if row is None else _number(row.published_ms, 2))
        lines.append(tuple(line))
    return Table(title=_title(first), header=tuple(header), rows=tuple(lines), notes=_notes(rows, published))


def cell(row: Row | None) -> str:
    """A point's figure, marked where its verdict is not `valid`; or why there is none."""
    if row is None:
        return MISSING
    if row.status in ("skipped", "failed"):
        return row.status
    if row.emulated:
        return MISSING if row.instructions is None else format_count(row.instructions)
    if row.latency_ms is None:
        return MISSING
    return f"{row.latency_ms:.2f}" + (MARK if row.verdict not in (None, "valid") else "")


def _has(rows: Sequence[Row], name: str) -> bool:
    return any(getattr(row, name) is not None for row in rows)


def _configuration(row: Row) -> Configuration:
    return row.requested_threads, row.batch_size


def _column(one: Configuration, of: Sequence[Configuration], *, emulated: bool) -> str:
    threads, batch = one
    words = [f"{threads} thread{'s' * (threads != 1)}"]
    if batch != 1 or len({other[1] for other in of}) > 1:
        words.append(f"bs{batch}")
    return f"{'Instructions' if emulated else 'Latency(ms)'}, {' '.join(words)}"


def _platform(rows: Sequence[Row]) -> str:
    named = [row.published_platform for row in rows if row.published_platform is not None]
    return PLATFORM_NAMES[named[0]] if named else "none"


def _number(value: float | None, digits: int | None = None) -> str:
    if value is None:
        return MISSING
    return f"{value:g}" if digits is None else f"{value:.{digits}f}"


def _title(row: Row) -> str:
    place = row.machine if row.target in (row.machine, "host") else f"{row.target}, {row.machine}"
    words = [place, f"{row.engine} {row.engine_version or ''}".strip(), row.precision]
    if row.power_mode:
        words.append(f"power mode {row.power_mode}")
    if row.cores:
        words.append(f"cores {row.cores}")
    return ("EMULATED " if row.emulated else "") + ", ".join(words) + f" ({row.started_at[:16]})"


def _notes(rows: Sequence[Row], published: bool) -> tuple[str, ...]:
    notes = []
    for row in rows:
        where = f"{row.model}, {row.requested_threads} thread(s), bs{row.batch_size}"
        if row.status in ("skipped", "failed") and row.error:
            notes.append(f"{row.status}: {row.error.splitlines()[0]}")
        elif row.status == "interrupted":
            notes.append(f"{where}: interrupted after {row.processes} process(es)")
        elif row.verdict not in (None, "valid", "emulated"):
            notes.append(f"{MARK} {where}: {row.verdict}: {row.reasons}")
    if rows[0].emulated:
        notes.append("emulated: instructions of one inference's longest thread, no time of a phone's")
    if published:
        notes += [f"published: {row.published_source}" for row in rows if row.published_source]
    return tuple(dict.fromkeys(notes))
