"""The terminal's table of a result, in the layout of the published ones: a row a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from edgekit.core.energy import energy_per_inference_j
from edgekit.core.measurement import Point, Result, Status, Verdict
from edgekit.core.units import format_count, format_ms
from edgekit.runners.engines import option_variant

Cell = Callable[[Point], str]
Key = tuple[str, str, int, int]

MISSING = "-"
# What computes something else has no latency worth showing.
NO_PARITY = "no parity"
GAP = "  "
BYTES_PER_MB = 1_000_000


def latency_table(result: Result) -> str:
    """Latency, cold start and peak memory of every point, and why a point has none.

    Emulated targets show instruction counts instead of milliseconds, and neither of the others.
    """
    blocks = [_heading(result)]
    measured = any(point.processes for point in result.points)
    if result.target.emulated:
        blocks.append(_block(result, "Instructions of one inference", _instructions))
    else:
        blocks.append(_block(result, "Latency, ms (median)", _latency))
        if measured:
            blocks.append(_block(result, "Cold start, ms (process start to first answer)", _cold_start))
            blocks.append(_block(result, "Peak memory, MB", _memory))
        if any(energy_per_inference_j(point) is not None for point in result.points):
            blocks.append(_block(result, "Energy of an inference, mJ (whole device)", _energy))
    notes = _notes(result.points)
    if notes:
        blocks.append("\n".join(notes))
    return "\n\n".join(blocks)


def _heading(result: Result) -> str:
    target = result.target
    name = target.soc or target.model or target.serial
    cores = len(target.cores)
    words = [target.serial, name, f"{cores} cores" if cores else "", target.os or ""]
    marked = "EMULATED " if target.emulated else ""
    return marked + ", ".join(dict.fromkeys(word for word in words if word))


def _key(point: Point) -> Key:
    mode = "" if point.power_mode is None else point.power_mode.value
    engine = " ".join(filter(None, (point.engine, option_variant(point.engine, point.engine_options), mode)))
    return engine, point.precision.value, point.requested_threads, point.batch_size


def _block(result: Result, title: str, cell: Cell) -> str:
    """One value of every point: rows are models, columns engines and their configurations."""
    keys = list(dict.fromkeys(_key(point) for point in result.points))
    models = list(dict.fromkeys(point.model for point in result.points))
    shown = {(point.model, _key(point)): cell(point) for point in result.points}
    lines = [["Model", *(_configuration(key, keys) for key in keys)]]
    lines += [[model, *(shown.get((model, key), MISSING) for key in keys)] for model in models]
    widths = [max(len(line[column]) for line in lines) for column in range(len(keys) + 1)]
    widths[1:] = _widened(widths[1:], [key[0] for key in keys])
    engines = " " * widths[0] + "".join(
        GAP + name.ljust(width) for name, width in _groups(widths[1:], [key[0] for key in keys])
    )
    rule = GAP.join("-" * width for width in widths)
    return "\n".join(
        [title, engines.rstrip(), _row(lines[0], widths), rule, *(_row(line, widths) for line in lines[1:])]
    )


def _configuration(key: Key, keys: Sequence[Key]) -> str:
    """What distinguishes a column below its engine."""
    _, precision, threads, batch = key
    words = [f"{threads} thread{'s' * (threads != 1)}"]
    if len({one[1] for one in keys}) > 1 or precision != "fp32":
        words.insert(0, precision)
    if len({one[3] for one in keys}) > 1 or batch != 1:
        words.append(f"bs{batch}")
    return " ".join(words)


def _groups(widths: Sequence[int], engines: Sequence[str]) -> list[tuple[str, int]]:
    """Neighbouring columns of one engine under one heading: its name and the width of all of them."""
    groups: list[tuple[str, int]] = []
    for name, width in zip(engines, widths, strict=True):
        if groups and groups[-1][0] == name:
            groups[-1] = (name, groups[-1][1] + len(GAP) + width)
        else:
            groups.append((name, width))
    return groups


def _widened(widths: Sequence[int], engines: Sequence[str]) -> list[int]:
    """Column widths of which each engine's together hold its name: the first of them gives way."""
    wider = list(widths)
    for name, width in _groups(widths, engines):
        wider[engines.index(name)] += max(0, len(name) - width)
    return wider


def _row(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = [line[0].ljust(widths[0])]
    cells += [text.rjust(width) for text, width in zip(line[1:], widths[1:], strict=True)]
    return GAP.join(cells).rstrip()


def _state(point: Point) -> str | None:
    """What stands in the place of a value; None where there is one."""
    ended = point.status in (Status.SKIPPED, Status.FAILED)
    if not ended and point.parity is not None and not point.parity.passed:
        return NO_PARITY
    return str(point.status.value) if ended or not point.processes else None


def _latency(point: Point) -> str:
    latency = point.latency_ns
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


def _instructions(point: Point) -> str:
    count = point.instruction_count
    return _state(point) or (MISSING if count is None else format_count(count.main_thread))


def _marks(point: Point) -> list[str]:
    """What a reader must know beside the number."""
    marks = []
    if point.status is Status.INTERRUPTED:
        marks.append(f"interrupted after {len(point.processes)} process(es)")
    if point.effective_threads is not None and point.effective_threads != point.requested_threads:
        marks.append(f"{point.requested_threads} threads asked, {point.effective_threads} took effect")
    if point.parity is not None and not point.parity.passed:
        marks.append(f"parity with {point.parity.reference} failed: {point.parity.reason}")
    if point.verdict not in (None, Verdict.VALID, Verdict.EMULATED):
        marks.append(f"{point.verdict.value}: {_in_short(point.reasons)}")
    elif any(process.steady is False for process in point.processes):
        marks.append("never became steady while warming up")
    return marks


def _computed_in(layers: Mapping[str, int]) -> str:
    """What an engine says that it computes in."""
    counts = ", ".join(f"{count} in {name}" for name, count in layers.items())
    return f"of its convolutions and matrix products {counts}"


def _in_short(reasons: Sequence[str]) -> str:
    """The decisive reason, and where the others are: a table's note is one line."""
    if len(reasons) < 2:
        return "; ".join(reasons)
    return f"{reasons[0]} (and {len(reasons) - 1} more: edgekit report --format md)"


def _notes(points: Sequence[Point]) -> list[str]:
    lines = []
    for point in points:
        engine, precision, threads, batch = _key(point)
        if point.error is not None:
            lines.append(f"{point.status.value}: {point.error.message.splitlines()[0]}")
        elif point.processes:
            where = f"{point.model}, {engine}, {precision}, {threads} thread{'s' * (threads != 1)}, bs{batch}"
            lines.extend(f"* {where}: {mark}" for mark in _marks(point))
            if point.layer_precisions and (len(point.layer_precisions) > 1 or precision != "fp32"):
                lines.append(f"{where}: {_computed_in(point.layer_precisions)}")
    checked = [point.parity for point in points if point.parity is not None]
    if checked:
        passed = sum(parity.passed for parity in checked)
        lines.append(f"parity with {checked[0].reference}: {passed} of {len(checked)} points passed")
    return list(dict.fromkeys(lines))
