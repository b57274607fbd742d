"""The published layouts: a row a model, its size and accuracy, a column a configuration.

With one thread count on a host this is PaddleClas's Intel CPU table, with batches of 1, 4 and 8 on a GPU
the V100 table, with 1, 2 and 4 threads on a device the Snapdragon 855 table.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.report.comparisons import comparison_tables
from edgekit.report.grid import FIGURES, MARK, MISSING, PLATFORM_NAMES, Table, cell, number, threads_words
from edgekit.report.rows import Row

Configuration = tuple[int, int]


def published_tables(rows: Sequence[Row], *, published: bool) -> list[Table]:
    """A table for each run's engine, precision and binding.

    Args:
        rows: What `result_rows` made.
        published: A column of the publication's figures beside each measured one, and the comparisons of
            the publications where networks of others were measured.
    """
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        key = (row.run_id, row.target, row.engine, row.precision, row.power_mode, row.cores)
        groups.setdefault(key, []).append(row)
    tables = [_table(group, published=published) for group in groups.values()]
    return [*tables, *comparison_tables(rows)] if published else tables


def _table(rows: Sequence[Row], *, published: bool) -> Table:
    first = rows[0]
    configurations = list(dict.fromkeys(_configuration(row) for row in rows))
    found = {(row.model, _configuration(row)): row for row in rows}
    models = {row.model: row for row in rows}
    figures = [name for name in FIGURES if any(getattr(row, name) is not None for row in rows)]
    header = ["Model", *(FIGURES[name] for name in figures)]
    for configuration in configurations:
        header.append(_column(configuration, configurations, emulated=first.emulated))
        if published:
            header.append(f"published({_platform(rows)}, ms)")
    lines = []
    for model, any_row in models.items():
        line = [model, *(number(getattr(any_row, name)) for name in figures)]
        for configuration in configurations:
            row = found.get((model, configuration))
            line.append(cell(row))
            if published:
                line.append(MISSING if row is None else number(row.published_ms, 2))
        lines.append(tuple(line))
    return Table(title=_title(first), header=tuple(header), rows=tuple(lines), notes=_notes(rows, published))


def _configuration(row: Row) -> Configuration:
    return row.requested_threads, row.batch_size


def _column(one: Configuration, of: Sequence[Configuration], *, emulated: bool) -> str:
    threads, batch = one
    words = [threads_words(threads)]
    if batch != 1 or len({other[1] for other in of}) > 1:
        words.append(f"bs{batch}")
    return f"{'Instructions' if emulated else 'Latency(ms)'}, {' '.join(words)}"


def _platform(rows: Sequence[Row]) -> str:
    named = [row.published_platform for row in rows if row.published_platform is not None]
    return PLATFORM_NAMES[named[0]] if named else "none"


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
