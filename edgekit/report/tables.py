"""Published layouts: a row a model with its size and accuracy, a column a configuration.

With one thread count on a host the layout is that of PaddleClas's Intel CPU table, with batches of 1, 4 and 8
on a GPU that of the V100 tables, with 1, 2 and 4 threads on a device that of the Snapdragon 855 table.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.core.artifact import is_random
from edgekit.core.spec import Platform
from edgekit.report.comparisons import comparison_tables
from edgekit.report.grid import (
    FIGURES,
    MARK,
    MISSING,
    PLATFORM_NAMES,
    Table,
    cell,
    elsewhere,
    number,
    threads_words,
)
from edgekit.report.names import place
from edgekit.report.rows import ACCURACIES, MEASURED_ALONE, Row, reason

CPU_FIGURES = ("params_m", "flops_m", *ACCURACIES)
MEASURED_FIGURES = tuple(f"measured_{name}" for name in (*ACCURACIES, *MEASURED_ALONE))
GPU_FIGURES = ("crop_size", "resize_short", *CPU_FIGURES)

Configuration = tuple[str, int, int]


def published_tables(rows: Sequence[Row], *, published: bool) -> list[Table]:
    """Return a table for each engine, precision and binding; on a GPU precisions are columns of one table.

    Args:
        rows: Rows of `result_rows`.
        published: True to add the published figure beside each measured one, and the published comparisons
            in which networks of other families were measured.
    """
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        precision = None if _on_gpu(row) else row.precision
        key = (row.run_id, row.target, row.engine, precision, row.power_mode, row.cores)
        groups.setdefault(key, []).append(row)
    tables = []
    for group in groups.values():
        tables.append(_table(group, published=published))
        if copied := [row for row in group if row.copy_in_ms is not None]:
            tables.append(_copies(copied))
    return [*tables, *comparison_tables(rows)] if published else tables


def _table(rows: Sequence[Row], *, published: bool) -> Table:
    first = rows[0]
    configurations = list(dict.fromkeys(_configuration(row) for row in rows))
    found = {(row.model, _configuration(row)): row for row in rows}
    models: dict[str, list[Row]] = {}
    for one in rows:
        models.setdefault(one.model, []).append(one)
    figures = [
        name
        for name in (GPU_FIGURES if _on_gpu(first) else CPU_FIGURES)
        if any(getattr(row, name) is not None for row in rows)
    ]
    accuracies = _accuracies(rows)
    header = ["Model", *(FIGURES[name] for name in figures), *accuracies]
    printed = {_configuration(row) for row in rows if published and row.published_ms is not None}
    for configuration in configurations:
        header.append(_column(first, configuration, configurations))
        if configuration in printed:
            header.append(f"published({_platform(rows)}, ms)")
    lines: list[tuple[str, ...]] = []
    points: dict[tuple[int, int], int] = {}
    for model, own in models.items():
        line = [model, *(number(_first(own, name)) for name in figures)]
        for name, precision in accuracies.values():
            line.append(number(_first([row for row in own if row.precision == precision], name), 2))
        for configuration in configurations:
            row = found.get((model, configuration))
            if row is not None and MARK in cell(row):
                points[len(lines), len(line)] = row.number
            line.append(cell(row))
            if configuration in printed:
                line.append(MISSING if row is None else number(row.published_ms, 2))
        lines.append(tuple(line))
    return Table(
        title=_title(rows),
        header=tuple(header),
        rows=tuple(lines),
        joined=tuple(column for column, title in enumerate(header) if title.startswith("published(")),
        points=points,
        notes=_notes(rows, published),
    )


def _first(rows: Sequence[Row], name: str) -> float | None:
    """Return a model's figure from the first of its rows that has it; int8 has no published accuracy."""
    return next((value for row in rows if (value := getattr(row, name)) is not None), None)


def _accuracies(rows: Sequence[Row]) -> dict[str, tuple[str, str]]:
    """Return the columns of measured accuracy, one for each figure and precision."""
    precisions = list(dict.fromkeys(row.precision for row in rows))
    return {
        f"{FIGURES[name]}{f' {precision.upper()}' * (len(precisions) > 1)}": (name, precision)
        for precision in precisions
        for name in MEASURED_FIGURES
        if any(row.precision == precision and getattr(row, name) is not None for row in rows)
    }


def _copies(rows: Sequence[Row]) -> Table:
    """Describe the copies to and from a GPU, which the latency excludes."""
    configurations = list(dict.fromkeys(_configuration(row) for row in rows))
    found = {(row.model, _configuration(row)): row for row in rows}
    lines = []
    for model in dict.fromkeys(row.model for row in rows):
        both = [
            MISSING if row is None else f"{number(row.copy_in_ms, 3)} / {number(row.copy_out_ms, 3)}"
            for row in (found.get((model, one)) for one in configurations)
        ]
        lines.append((model, *both))
    return Table(
        title=f"Copies to the GPU / back, not in the latency: {_title(rows)}",
        header=("Model", *(_column(rows[0], one, configurations) for one in configurations)),
        rows=tuple(lines),
    )


def _on_gpu(row: Row) -> bool:
    return row.platform == Platform.V100.value


def _configuration(row: Row) -> Configuration:
    return row.precision, row.requested_threads, row.batch_size


def _column(row: Row, one: Configuration, of: Sequence[Configuration]) -> str:
    precision, threads, batch = one
    if _on_gpu(row):
        several = len({other[1] for other in of}) > 1
        return f"{precision.upper()} Batch Size={batch}{f' {threads_words(threads)}' * several} (ms)"
    words = [threads_words(threads)]
    if batch != 1 or len({other[2] for other in of}) > 1:
        words.append(f"bs{batch}")
    return f"{'Instructions' if row.emulated else 'Latency(ms)'}, {' '.join(words)}"


def _platform(rows: Sequence[Row]) -> str:
    named = [row.published_platform for row in rows if row.published_platform is not None]
    return PLATFORM_NAMES[named[0]] if named else "none"


def _title(rows: Sequence[Row]) -> str:
    # A point that did not run knows neither its GPU nor the engine's version.
    row = next((row for row in rows if row.processes), rows[0])
    words = [place(row), f"{row.engine} {row.engine_version or ''}".strip()]
    words += [] if _on_gpu(row) else [row.precision]
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
            notes.append(f"{row.status}: {reason(row)}")
        elif row.status == "interrupted":
            notes.append(f"{where}: interrupted after {row.processes} process(es)")
        elif row.verdict not in (None, "valid", "emulated"):
            notes.append(f"{MARK} {where}: {row.verdict}: {row.reasons}")
    notes += [
        f"accuracy of {row.model} {row.precision}: measured by {row.measured_source}, "
        f"{row.measured_pictures} pictures"
        for row in rows
        if row.measured_source is not None
    ]
    notes += [
        f"{row.model}: random weights, so no published accuracy is shown and a measured one means nothing"
        for row in rows
        if is_random(row.weights)
    ]
    if rows[0].emulated:
        notes.append("emulated: instructions of one inference's longest thread, no time of a phone's")
    if published:
        beside = [row for row in rows if row.published_platform is not None]
        notes += [f"published: {row.published_source}" for row in beside]
        if beside and (note := elsewhere(beside, str(beside[0].published_platform))):
            notes.append(note)
    return tuple(dict.fromkeys(notes))
