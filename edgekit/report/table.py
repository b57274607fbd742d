"""Terminal table of a result in the layout of the published tables, one row a model."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from edgekit.core.energy import energy_per_inference_j
from edgekit.core.measurement import Point, Result, Status, Verdict
from edgekit.core.stats import median
from edgekit.core.units import NS_PER_MS, format_count, format_ms
from edgekit.engines.registry import option_variant
from edgekit.report.grid import MISSING, NO_PARITY, Table
from edgekit.report.text import as_text
from edgekit.report.timings import latency_ns

Cell = Callable[[Point], str]
Key = tuple[str, str, str, int, int]

BYTES_PER_MB = 1_000_000


def latency_table(result: Result, *, width: int | None = None, file: Path | None = None) -> str:
    """Return tables of latency, cold start and peak memory of every point, with reasons for missing figures.

    Emulated targets show instruction counts only.

    Args:
        result: The result.
        width: Characters that a line may take, as in `as_text`.
        file: Path of the result file, which hints name.
    """
    tables = [Table(title=_heading(result))]
    if result.points:
        tables += [_table(result, title, cell) for title, cell in _quantities(result)]
    else:
        tables.append(Table(title="no points"))
    if notes := _notes(result.points, "FILE" if file is None else shlex.quote(str(file))):
        tables.append(Table(notes=tuple(notes)))
    return as_text(tables, width=width)


def _quantities(result: Result) -> Iterator[tuple[str, Cell]]:
    """Return the quantities that have a block of rows, with the function that fills their cells."""
    if result.target.emulated:
        yield "Instructions of one inference", _instructions
        return
    yield "Latency, ms (median)", _latency
    if any(point.processes for point in result.points):
        yield "Cold start, ms (process start to first answer)", _cold_start
        yield "Peak memory, MB", _memory
    if any(energy_per_inference_j(point) is not None for point in result.points):
        yield "Energy of an inference, mJ (whole device)", _energy
    if any(process.copy_in_ns for point in result.points for process in point.processes):
        yield "Copies to the GPU / back, ms (not in the latency)", _copies


def _heading(result: Result) -> str:
    target = result.target
    name = target.soc or target.model or target.serial
    cores = len(target.cores)
    words = [target.serial, name, f"{cores} cores" if cores else "", target.os or ""]
    marked = "EMULATED " if target.emulated else ""
    return marked + ", ".join(dict.fromkeys(word for word in words if word))


def _key(point: Point) -> Key:
    mode = "" if point.power_mode is None else point.power_mode.value
    engine = " ".join(filter(None, (point.engine, mode)))
    options = option_variant(point.engine, point.engine_options)
    return engine, options, point.precision.value, point.requested_threads, point.batch_size


def _table(result: Result, title: str, cell: Cell) -> Table:
    """Return the table of one quantity: a row a model, a column an engine and configuration."""
    keys = list(dict.fromkeys(_key(point) for point in result.points))
    numbers = _variant_numbers(result.points)
    shown = {(point.model, _key(point)): cell(point) for point in result.points}
    models = dict.fromkeys(point.model for point in result.points)
    return Table(
        title=title,
        header=(
            "Model",
            *(f"{key[0]}{numbers.get(key[1], '')}\n{_configuration(key, keys)}" for key in keys),
        ),
        rows=tuple((model, *(shown.get((model, key), MISSING) for key in keys)) for model in models),
    )


def _variant_numbers(points: Sequence[Point]) -> dict[str, str]:
    """Return a number for each set of engine options, ` (1)`, ` (2)`; the options stand below the tables."""
    variants = dict.fromkeys(options for point in points if (options := _key(point)[1]))
    return {options: f" ({number})" for number, options in enumerate(variants, start=1)}


def _configuration(key: Key, keys: Sequence[Key]) -> str:
    """Return the part of a column's heading below its engine."""
    _, _, precision, threads, batch = key
    words = [f"{threads} thread{'s' * (threads != 1)}"]
    if len({one[2] for one in keys}) > 1 or precision != "fp32":
        words.insert(0, precision)
    if len({one[4] for one in keys}) > 1 or batch != 1:
        words.append(f"bs{batch}")
    return " ".join(words)


def _state(point: Point) -> str | None:
    """Return the text in place of a missing value; None where there is a value."""
    ended = point.status in (Status.SKIPPED, Status.FAILED)
    if not ended and point.parity is not None and not point.parity.passed:
        return NO_PARITY
    return str(point.status.value) if ended or not point.processes else None


def _latency(point: Point) -> str:
    latency = latency_ns(point)
    text = MISSING if latency is None else format_ms(latency)
    return _state(point) or (f"{text}*" if _marks(point) else text)


def _cold_start(point: Point) -> str:
    start = point.cold_start_ns
    return _state(point) or (MISSING if start is None else f"{start / 1e6:.0f}")


def _energy(point: Point) -> str:
    joules = energy_per_inference_j(point)
    return MISSING if _state(point) is not None or joules is None else f"{joules * 1000:.1f}"


def _memory(point: Point) -> str:
    peak = point.peak_memory_bytes
    return _state(point) or (MISSING if peak is None else f"{peak / BYTES_PER_MB:.0f}")


def _copies(point: Point) -> str:
    there = [ns for process in point.processes for ns in process.copy_in_ns]
    back = [ns for process in point.processes for ns in process.copy_out_ns]
    shown = f"{median(there) / NS_PER_MS:.3f} / {median(back) / NS_PER_MS:.3f}" if there and back else MISSING
    return _state(point) or shown


def _instructions(point: Point) -> str:
    count = point.instruction_count
    return _state(point) or (MISSING if count is None else format_count(count.main_thread))


def _marks(point: Point, file: str = "FILE") -> list[str]:
    """Return marks that qualify the number in a cell."""
    marks = []
    if point.status is Status.INTERRUPTED and not any("interrupted" in reason for reason in point.reasons):
        marks.append(f"interrupted after {len(point.processes)} process(es)")
    if point.effective_threads is not None and point.effective_threads != point.requested_threads:
        marks.append(f"{point.requested_threads} threads asked, {point.effective_threads} took effect")
    if point.parity is not None and not point.parity.passed:
        marks.append(f"parity with {point.parity.reference} failed: {point.parity.reason}")
    if point.verdict not in (None, Verdict.VALID, Verdict.EMULATED):
        marks.append(f"{point.verdict.value}: {_in_short(point.reasons, file)}")
    elif any(process.steady is False for process in point.processes):
        marks.append("never became steady while warming up")
    return marks


def _computed_in(layers: Mapping[str, int]) -> str:
    """Return the precision that an engine reports to compute in."""
    counts = ", ".join(f"{count} in {name}" for name, count in layers.items())
    return f"of its convolutions and matrix products {counts}"


def _in_short(reasons: Sequence[str], file: str) -> str:
    """Return the decisive reason and a pointer to the others, because a table's note is one line."""
    if len(reasons) < 2:
        return "; ".join(reasons)
    return f"{reasons[0]} (and {len(reasons) - 1} more: edgekit report {file} --format md)"


def _notes(points: Sequence[Point], file: str) -> list[str]:
    numbers = _variant_numbers(points)
    lines = [f"{number.strip()} {options}" for options, number in numbers.items()]
    for point in points:
        engine, options, precision, threads, batch = _key(point)
        engine += numbers.get(options, "")
        if point.error is not None:
            lines.append(": ".join([point.status.value, *point.error.message.splitlines()[:1]]))
        elif point.processes:
            where = f"{point.model}, {engine}, {precision}, {threads} thread{'s' * (threads != 1)}, bs{batch}"
            if point.startup is not None and point.startup.left_out is not None:
                lines.append(f"{point.engine}: cold start is without {point.startup.left_out}")
            lines.extend(f"* {where}: {mark}" for mark in _marks(point, file))
            if point.layer_precisions and (len(point.layer_precisions) > 1 or precision != "fp32"):
                lines.append(f"{where}: {_computed_in(point.layer_precisions)}")
    checked = [point.parity for point in points if point.parity is not None]
    if checked:
        passed = sum(parity.passed for parity in checked)
        lines.append(f"parity with {checked[0].reference}: {passed} of {len(checked)} points passed")
    around = [one for point in points for one in (point.environment_before, point.environment_after) if one]
    unreadable = dict.fromkeys(name for one in around for name in one.unreadable)
    if unreadable:
        lines.append(f"not readable here: {', '.join(unreadable)}")
    return list(dict.fromkeys(lines))
