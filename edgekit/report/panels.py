"""Plot of each point's raw samples, in measured order and by process.

The runner's readings of frequency and temperature are drawn below, on the same axis.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec

from edgekit.core.measurement import Point, ProcessRun, Result
from edgekit.core.stats import rising_percentile
from edgekit.core.units import NS_PER_MS
from edgekit.report.canvas import COLOURS, FAINT, TEXT, WIDTH, Axes, Drawing, Entry, Plot, round_ticks
from edgekit.report.rows import Row
from edgekit.report.timings import ordered

# Eight models by four engines by two thread counts: an ordinary sweep is shown completely.
WHOLE_PANELS = 64
# Beyond this number of points a page of hundreds of files takes too much time and room.
FEW_PANELS = 12
MAX_DOTS = 400
HEIGHT = 138
STRIP = 50
LEFT, RIGHT, BOTTOM, TOP = 36, 26, 28, 14
# Width of the boxes, right of the samples, as a share of the samples' width.
BOXES = 1 / 3
# The axis ends above this share of a process's samples; a single interruption would flatten the rest.
SHOWN_PERCENTILE = 99
FREQUENCY_COLOUR, TEMPERATURE_COLOUR = COLOURS[0], COLOURS[1]


def sample_plots(
    results: Sequence[Result], rows: Sequence[Row], names: Sequence[str]
) -> tuple[list[Plot], int]:
    """Draw a plot for each point with a latency; return also the number of points left out of a full page.

    Points that are not valid come first.

    Args:
        results: Results to draw.
        rows: Rows of all points of the results.
        names: Names of the points, in the order of the rows.
    """
    points = [point for result in results for point in result.points]
    timed = [one for one in zip(points, rows, names, strict=True) if one[1].latency_ms is not None]
    timed.sort(key=lambda one: one[1].verdict == "valid")
    shown = timed if len(timed) <= WHOLE_PANELS else timed[:FEW_PANELS]
    return [_panel(*one) for one in shown], len(timed) - len(shown)


def _panel(point: Point, row: Row, name: str) -> Plot:
    runs = [run for run in point.processes if run.samples_ns]
    readings = _readings(runs)
    height = HEIGHT + (STRIP if readings else 0)
    drawing = Drawing(height)
    foot = BOTTOM + height - HEIGHT
    above = _draw_samples(drawing, foot, runs, ticks_below=not readings)
    drawing.text(2, height - TEXT - 1, "ms")
    legend = _draw_readings(drawing, (BOTTOM, foot - 8), runs, readings) if readings else ()
    drawing.text(LEFT, 6, "inferences in order, a colour a process")
    words = [f"{len(runs)} process{'es' * (len(runs) != 1)}, {row.samples} samples."]
    if above:
        words.append(f"Above the axis: {above}.")
    if not readings:
        words.append("Neither frequency nor temperature could be read.")
    if row.energy_mj is not None:
        words.append(f"Energy: {row.energy_mj:.1f} mJ an inference, of the whole device.")
    if row.verdict is not None:
        words.append(f"Verdict: {row.verdict}.")
    return Plot(title=name, text=" ".join(words), svg=drawing.svg(), legend=legend)


def _frame(runs: Sequence[ProcessRun]) -> tuple[int, tuple[float, float], dict[float, str]]:
    """Return the number of samples of all processes, the ends of their scale with the boxes, and ticks."""
    total = sum(len(run.samples_ns) for run in runs)
    return total, (-total / 100, total * (1 + BOXES)), {place: str(place) for place in (0, total // 2, total)}


def _draw_samples(drawing: Drawing, foot: float, runs: Sequence[ProcessRun], *, ticks_below: bool) -> int:
    """Draw the samples of all processes in sequence with a box a process; return how many exceed the axis."""
    series = [[ns / NS_PER_MS for ns in run.samples_ns] for run in runs]
    rising = [ordered(values) for values in series]
    total, ends, ticks = _frame(runs)
    bottom = min(float(values[0]) for values in rising) * 0.98
    top = max(max(rising_percentile(values, SHOWN_PERCENTILE) for values in rising) * 1.03, bottom * 1.01)
    axes = Axes(drawing, (LEFT, foot, WIDTH - RIGHT, drawing.height - TOP), ends, (bottom, top))
    axes.beside(round_ticks(bottom, top, 4))
    axes.below(ticks if ticks_below else dict.fromkeys(ticks, ""))
    axes.edges()
    axes.line([(total, bottom), (total, top)], colour=FAINT, width=0.6)
    step, start = math.ceil(total / MAX_DOTS), 0
    for number, (values, ascending) in enumerate(zip(series, rising, strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        places = range(start, start + len(values), step)
        axes.line(zip(places, values[::step], strict=True), colour=colour, width=0.6)
        start += len(values)
        beside = total * (1 + BOXES * (number + 1) / (len(runs) + 1))
        p10, q1, middle, q3, p90 = (rising_percentile(ascending, rank) for rank in (10, 25, 50, 75, 90))
        for low, high, width in ((p10, p90, 0.8), (q1, q3, 5)):
            axes.line([(beside, low), (beside, high)], colour=colour, width=width)
        x, y = axes.place(beside, middle)
        drawing.line([(x - 3.5, y), (x + 3.5, y)], colour="currentColor", width=1)
    return sum(int((values > top).sum()) for values in rising)


class _Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Frequency and temperature when inference `position` ran or was about to run."""

    process: int
    position: float
    mhz: float | None
    celsius: float | None


def _readings(runs: Sequence[ProcessRun]) -> list[_Reading]:
    """Return readings of every process, spread evenly over its inferences, without empty readings."""
    found, start = [], 0
    for number, run in enumerate(runs):
        moments = list(_moments(run))
        span = len(run.samples_ns) / max(1, len(moments) - 1)
        for index, (mhz, celsius) in enumerate(moments):
            if mhz is not None or celsius is not None:
                position = start + index * span
                found.append(_Reading(process=number, position=position, mhz=mhz, celsius=celsius))
        start += len(run.samples_ns)
    return found


def _moments(run: ProcessRun) -> Iterator[tuple[float | None, float | None]]:
    """Return frequency and temperature of the computing GPU, else of the fastest core in use."""
    if run.gpu_states:
        yield from ((state.sm_clock_mhz, state.temperature_celsius) for state in run.gpu_states)
        return
    for reading in run.readings:
        khz = [
            core.frequency_khz
            for core in reading.cores
            if core.frequency_khz is not None and (not run.cores_seen or core.core in run.cores_seen)
        ]
        yield max(khz) / 1000 if khz else None, max(reading.temperatures_celsius.values(), default=None)


def _draw_readings(
    drawing: Drawing, heights: tuple[float, float], runs: Sequence[ProcessRun], readings: Sequence[_Reading]
) -> tuple[Entry, ...]:
    """Draw frequency by the left scale and temperature by the right one, one line a process."""
    legend = []
    _, ends, ticks = _frame(runs)
    frame = (LEFT, heights[0], WIDTH - RIGHT, heights[1])
    Axes(drawing, frame, ends, (0, 1)).below(ticks)
    Axes(drawing, frame, ends, (0, 1)).edges()
    for name, text, style, right in (
        ("mhz", "frequency, MHz, on the left", (FREQUENCY_COLOUR, "●"), False),
        ("celsius", "temperature, °C, on the right", (TEMPERATURE_COLOUR, "■"), True),
    ):
        values = [(reading.process, reading.position, getattr(reading, name)) for reading in readings]
        known = [value for value in values if value[2] is not None]
        if not known:
            continue
        low, high = min(value[2] for value in known), max(value[2] for value in known)
        room = max(high - low, high * 0.02, 1) * 0.3
        axes = Axes(drawing, frame, ends, (low - room, high + room))
        axes.beside({tick: f"{tick:.0f}" for tick in ([low] if high - low < high * 0.02 else [low, high])},
                    right=right)  # fmt: skip
        for process in dict.fromkeys(value[0] for value in known):
            line = [(x, y) for number, x, y in known if number == process]
            axes.line(line, colour=style[0], width=0.8)
            for point in line:
                drawing.dot(*axes.place(*point), style, size=0.5)
        legend.append(Entry(sign=style[1], colour=style[0], text=text))
    return tuple(legend)
