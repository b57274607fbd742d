"""Plot of each point's raw samples, in measured order and by process.

The runner's readings of frequency and temperature are drawn below, on the same axis.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from edgekit.core.measurement import Point, ProcessRun, Result
from edgekit.core.stats import rising_percentile
from edgekit.core.units import NS_PER_MS
from edgekit.report.canvas import COLOURS, FAINT, INK, TEXT, WIDTH, Entry, Plot, add_axes, new_figure, svg
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
    figure = new_figure(height)
    axes = add_axes(figure, left=LEFT, right=RIGHT, bottom=BOTTOM + height - HEIGHT, top=TOP)
    above = _draw_samples(axes, runs)
    figure.text(2 / WIDTH, 1 - (TEXT + 1) / height, "ms", fontsize=TEXT, color=INK)
    legend: tuple[Entry, ...] = ()
    if readings:
        below = add_axes(figure, left=LEFT, right=RIGHT, bottom=BOTTOM, top=height - BOTTOM - STRIP + 8)
        legend = _draw_readings(below, readings)
        below.set(xlim=axes.get_xlim(), xticks=axes.get_xticks())
        axes.tick_params(labelbottom=False)
    figure.text(LEFT / WIDTH, 6 / height, "inferences in order, a colour a process", fontsize=TEXT, color=INK)
    words = [f"{len(runs)} process{'es' * (len(runs) != 1)}, {row.samples} samples."]
    if above:
        words.append(f"Above the axis: {above}.")
    if not readings:
        words.append("Neither frequency nor temperature could be read.")
    if row.energy_mj is not None:
        words.append(f"Energy: {row.energy_mj:.1f} mJ an inference, of the whole device.")
    if row.verdict is not None:
        words.append(f"Verdict: {row.verdict}.")
    return Plot(title=name, text=" ".join(words), svg=svg(figure), legend=legend)


def _draw_samples(axes: Any, runs: Sequence[ProcessRun]) -> int:
    """Draw the samples of all processes in sequence with a box a process; return how many exceed the axis."""
    series = [[ns / NS_PER_MS for ns in run.samples_ns] for run in runs]
    rising = [ordered(values) for values in series]
    total = sum(map(len, series))
    bottom = min(float(values[0]) for values in rising) * 0.98
    top = max(max(rising_percentile(values, SHOWN_PERCENTILE) for values in rising) * 1.03, bottom * 1.01)
    colours = [COLOURS[number % len(COLOURS)] for number in range(len(runs))]
    step, start = math.ceil(total / MAX_DOTS), 0
    for values, colour in zip(series, colours, strict=True):
        axes.plot(range(start, start + len(values), step), values[::step], color=colour, linewidth=0.6)
        start += len(values)
    axes.axvline(total, color=FAINT, linewidth=0.6)
    beside = [total * (1 + BOXES * (number + 1) / (len(runs) + 1)) for number in range(len(runs))]
    p10, q1, middle, q3, p90 = (
        [rising_percentile(values, rank) for values in rising] for rank in (10, 25, 50, 75, 90)
    )
    axes.vlines(beside, p10, p90, colors=colours, linewidth=0.8)
    axes.vlines(beside, q1, q3, colors=colours, linewidth=5)
    axes.plot(beside, middle, "_", color=INK, markersize=7, markeredgewidth=1)
    axes.set(xlim=(-total / 100, total * (1 + BOXES)), ylim=(bottom, top), xticks=[0, total // 2, total])
    axes.locator_params(axis="y", nbins=4)
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


def _draw_readings(axes: Any, readings: Sequence[_Reading]) -> tuple[Entry, ...]:
    """Draw frequency on the left axis and temperature on the right axis, one line a process."""
    legend = []
    right = axes.twinx()
    for spine in right.spines.values():
        spine.set_visible(False)
    for one, name, text, colour, sign in (
        (axes, "mhz", "frequency, MHz", FREQUENCY_COLOUR, "●"),
        (right, "celsius", "temperature, °C", TEMPERATURE_COLOUR, "■"),
    ):
        values = [(reading.process, reading.position, getattr(reading, name)) for reading in readings]
        known = [value for value in values if value[2] is not None]
        one.tick_params(axis="y", labelsize=TEXT, colors=colour, length=2, width=0.5, pad=2)
        if not known:
            one.set_yticks([])
            continue
        for process in dict.fromkeys(value[0] for value in known):
            line = [(x, y) for number, x, y in known if number == process]
            one.plot(*zip(*line, strict=True), marker="o" if one is axes else "s", markersize=2.5,
                     linewidth=0.8, color=colour)  # fmt: skip
        low, high = min(value[2] for value in known), max(value[2] for value in known)
        room = max(high - low, high * 0.02, 1) * 0.3
        ticks = [low] if high - low < high * 0.02 else [low, high]
        one.set(ylim=(low - room, high + room), yticks=ticks)
        one.set_yticklabels([f"{tick:.0f}" for tick in ticks])
        legend.append(Entry(sign=sign, colour=colour, text=text))
    return tuple(legend)
