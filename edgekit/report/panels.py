"""A picture of each point's raw samples: in the order they were taken, and by process.

What the runner read of frequency and temperature stands below, on the same axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from edgekit.core.energy import energy_per_inference_j
from edgekit.core.measurement import Point, ProcessRun, Result, Status
from edgekit.core.stats import percentile
from edgekit.core.units import NS_PER_MS
from edgekit.report.canvas import COLOURS, FAINT, INK, TEXT, WIDTH, Entry, Plot, add_axes, new_figure, svg

MAX_PANELS = 12
MAX_DOTS = 400
HEIGHT = 138
STRIP = 50
LEFT, RIGHT, BOTTOM, TOP = 36, 26, 28, 14
# Above this share of a process's samples the axis ends: a single interruption would flatten all the rest.
SHOWN_PERCENTILE = 99
FREQUENCY_COLOUR, TEMPERATURE_COLOUR = COLOURS[0], COLOURS[1]


def sample_plots(results: Sequence[Result], names: Sequence[str]) -> list[Plot]:
    """A plot a measured point, the first `MAX_PANELS`.

    None of emulated targets, whose time means nothing, nor of points that compute something else.

    Args:
        results: What was measured.
        names: Of all their points.
    """
    return [_panel(point, name) for point, name in _points(results, names)[:MAX_PANELS]]


def count_panels(results: Sequence[Result]) -> int:
    """How many points there would be a plot of."""
    return sum(_is_timed(result, point) for result in results for point in result.points)


def _points(results: Sequence[Result], names: Sequence[str]) -> list[tuple[Point, str]]:
    every = [(result, point) for result in results for point in result.points]
    return [
        (point, name) for (result, point), name in zip(every, names, strict=True) if _is_timed(result, point)
    ]


def _is_timed(result: Result, point: Point) -> bool:
    ended = point.status in (Status.DONE, Status.INTERRUPTED)
    same = point.parity is None or point.parity.passed
    return not result.target.emulated and ended and same and any(run.samples_ns for run in point.processes)


def _panel(point: Point, name: str) -> Plot:
    runs = [run for run in point.processes if run.samples_ns]
    readings = _readings(runs)
    height = HEIGHT + (STRIP if readings else 0)
    figure = new_figure(height)
    axes = add_axes(figure, left=LEFT, right=RIGHT, bottom=BOTTOM + (STRIP if readings else 0), top=TOP)
    total, above = _draw_samples(axes, runs)
    figure.text(2 / WIDTH, 1 - (TEXT + 1) / height, "ms", fontsize=TEXT, color=INK)
    legend: tuple[Entry, ...] = ()
    lowest = axes
    if readings:
        lowest = add_axes(figure, left=LEFT, right=RIGHT, bottom=BOTTOM, top=height - BOTTOM - STRIP + 8)
        legend = _draw_readings(lowest, readings)
        lowest.set(xlim=axes.get_xlim(), xticks=axes.get_xticks())
        axes.tick_params(labelbottom=False)
    lowest.set_xlabel("inferences in order, a colour a process", fontsize=TEXT, color=INK, loc="left")
    words = [f"{len(runs)} process{'es' * (len(runs) != 1)}, {total} samples."]
    if above:
        words.append(f"Above the axis: {above}.")
    if not readings:
        words.append("Neither frequency nor temperature could be read.")
    joules = energy_per_inference_j(point)
    if joules is not None:
        words.append(f"Energy: {joules * 1000:.1f} mJ an inference, of the whole device.")
    if point.verdict is not None:
        words.append(f"Verdict: {point.verdict.value}.")
    return Plot(title=name, text=" ".join(words), svg=svg(figure), legend=legend)


def _draw_samples(axes: Any, runs: Sequence[ProcessRun]) -> tuple[int, int]:
    """Every process's samples one after the other, its box beside them; samples, and those above the axis."""
    total = sum(len(run.samples_ns) for run in runs)
    ordered = [sorted(run.samples_ns) for run in runs]
    top = max(percentile(samples, SHOWN_PERCENTILE) for samples in ordered) * 1.03 / NS_PER_MS
    bottom = min(samples[0] for samples in ordered) * 0.98 / NS_PER_MS
    step, start = max(1, total // MAX_DOTS), 0
    gap = total / 3 / (len(runs) + 1)
    for number, (run, samples) in enumerate(zip(runs, ordered, strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        stop = start + len(run.samples_ns)
        values = [ns / NS_PER_MS for ns in run.samples_ns[::step]]
        axes.plot(range(start, stop, step), values, linewidth=0.6, color=colour)
        x = total + gap * (number + 1)
        low, q1, middle, q3, high = (percentile(samples, rank) / NS_PER_MS for rank in (10, 25, 50, 75, 90))
        axes.plot((x, x), (low, high), color=colour, linewidth=0.8)
        axes.plot((x, x), (q1, q3), color=colour, linewidth=5, solid_capstyle="butt")
        axes.plot(x, middle, "_", color=INK, markersize=7, markeredgewidth=1)
        start = stop
    axes.axvline(total, color=FAINT, linewidth=0.6)
    axes.set_xlim(-total / 100, total * 4 / 3)
    axes.set_ylim(bottom, max(top, bottom * 1.01))
    axes.locator_params(axis="y", nbins=4)
    axes.set_xticks([0, total // 2, total])
    return total, sum(ns / NS_PER_MS > top for run in runs for ns in run.samples_ns)


class _Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What was read while inference `position` ran or was about to."""

    process: int
    position: float
    mhz: float | None
    celsius: float | None


def _readings(runs: Sequence[ProcessRun]) -> list[_Reading]:
    """Of every process, spread evenly over its inferences; those of which nothing could be read left out."""
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
    """Frequency and temperature of what computed: the GPU, else the fastest of the cores in use."""
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
    """Frequency on the left axis, temperature on the right one, a line a process."""
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
        room = max(high - low, high * 0.02) * 0.3
        one.set_ylim(low - room, high + room)
        one.set_yticks([low] if high - low < high * 0.02 else [low, high])
        one.set_yticklabels([f"{tick:.0f}" for tick in one.get_yticks()])
        legend.append(Entry(sign=sign, colour=colour, text=text))
    return tuple(legend)
