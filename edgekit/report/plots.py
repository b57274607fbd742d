"""Plots over all points: accuracy against cost, and what more threads gain. None where nothing is to draw."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from edgekit.core.stats import median
from edgekit.core.units import format_count
from edgekit.report.canvas import FAINT, INK, TEXT, WIDTH, Plot, add_axes, key, legend, new_figure, svg
from edgekit.report.grid import threads_words
from edgekit.report.names import series_names
from edgekit.report.rows import Row

MAX_SERIES = 12
HEIGHT = 190
LEFT, BOTTOM = 34, 30
MAX_TICKS = 6
TICK_STEPS = ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1, 1.5, 2.5, 4, 6), (1, 2, 5), (1, 3), (1,))
# Of a letter at the size TEXT, on average.
LETTER = 0.58 * TEXT


class Dot(msgspec.Struct, frozen=True, kw_only=True):
    """What one model costs in one series, and whether every figure in it is valid."""

    model: str
    cost: float
    top1: float
    valid: bool


def accuracy_plot(rows: Iterable[Row], *, emulated: bool = False) -> Plot | None:
    """Published Top-1 against what one picture costs: milliseconds, or instructions on emulated targets."""
    shown = [
        row
        for row in rows
        if row.batch_size == 1 and row.top1 is not None and _cost(row, emulated=emulated) is not None
    ]
    found: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row, name in zip(shown, series_names(shown), strict=True):
        found[f"{name}, {threads_words(row.requested_threads)}"][row.model].append(row)
    if not found:
        return None
    series = {name: _dots(models) for name, models in list(found.items())[:MAX_SERIES]}
    every = [dot for dots in series.values() for dot in dots]
    figure = new_figure(HEIGHT)
    axes = add_axes(figure, left=LEFT, right=10, bottom=BOTTOM, top=8)
    for number, dots in enumerate(series.values()):
        for dot in dots:
            _draw_dot(axes, dot.cost, dot.top1, number, valid=dot.valid)
    _draw_front(axes, [dot for dot in every if dot.valid])
    _scale(axes, [dot.cost for dot in every], emulated=emulated)
    unit = "instructions of one inference" if emulated else "latency, ms"
    axes.set_xlabel(unit, fontsize=TEXT, color=INK)
    axes.set_ylabel("published Top-1, %", fontsize=TEXT, color=INK)
    _label(axes, every)
    measured = "instructions (emulated, no time)" if emulated else "latency"
    return Plot(
        title="Instructions against accuracy, EMULATED" if emulated else "Latency against accuracy",
        text=f"Published Top-1 against measured {measured} of one picture; up and to the left is better. No "
        "valid point is both cheaper and more accurate than those on the dashed line. Hollow: the verdict is "
        "not valid." + _left_out(len(found), "series"),
        svg=svg(figure),
        legend=legend(series),
    )


def scaling_plot(rows: Iterable[Row]) -> Plot | None:
    """Speed-up over the fewest threads measured, a line a model and engine."""
    shown = [row for row in rows if row.batch_size == 1 and _cost(row, emulated=row.emulated) is not None]
    found: dict[str, dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row, series in zip(shown, series_names(shown), strict=True):
        name = f"{row.model}, {series}" + (", emulated: instructions" if row.emulated else "")
        found[name][row.requested_threads].append(row)
    scaled = {name: line for name, line in found.items() if len(line) > 1}
    if not scaled:
        return None
    lines = dict(list(scaled.items())[:MAX_SERIES])
    counts = sorted({number for line in lines.values() for number in line})
    figure = new_figure(HEIGHT)
    axes = add_axes(figure, left=LEFT, right=10, bottom=BOTTOM, top=8)
    axes.plot(counts, [number / counts[0] for number in counts], ":", color=FAINT, linewidth=0.8)
    for number, line in enumerate(lines.values()):
        threads = sorted(line)
        costs = [_median_cost(line[one]) for one in threads]
        speeds = [costs[0] / cost for cost in costs]
        axes.plot(threads, speeds, color=key(number)[0], linewidth=1)
        for one, speed in zip(threads, speeds, strict=True):
            _draw_dot(axes, one, speed, number, valid=_all_valid(line[threads[0]]) and _all_valid(line[one]))
    axes.set_xticks(counts)
    axes.grid(visible=True, color=FAINT, linewidth=0.3, alpha=0.5)
    axes.set_xlabel("threads", fontsize=TEXT, color=INK)
    axes.set_ylabel("times as fast", fontsize=TEXT, color=INK)
    return Plot(
        title="Thread scaling",
        text="How many times as fast as with the fewest threads measured. Dotted: as many times as threads. "
        "Hollow: a verdict is not valid." + _left_out(len(scaled), "lines"),
        svg=svg(figure),
        legend=legend(lines),
    )


def _cost(row: Row, *, emulated: bool) -> float | None:
    if row.emulated is not emulated or row.status in ("skipped", "failed"):
        return None
    return row.instructions if emulated else row.latency_ms


def _median_cost(rows: Sequence[Row]) -> float:
    return median([cost for row in rows if (cost := _cost(row, emulated=row.emulated)) is not None])


def _all_valid(rows: Iterable[Row]) -> bool:
    return all(row.verdict in (None, "valid", "emulated") for row in rows)


def _draw_dot(axes: Any, x: float, y: float, number: int, *, valid: bool) -> None:
    """The `number`th series' marker, hollow where not valid."""
    colour, marker = key(number)
    axes.plot(
        x,
        y,
        marker,
        color=colour,
        markersize=5,
        markeredgewidth=1,
        markerfacecolor=colour if valid else "none",
    )


def _dots(models: Mapping[str, Sequence[Row]]) -> list[Dot]:
    """A dot a model: the median over its runs."""
    dots = []
    for model, rows in models.items():
        assert rows[0].top1 is not None
        dots.append(Dot(model=model, cost=_median_cost(rows), top1=rows[0].top1, valid=_all_valid(rows)))
    return dots


def _draw_front(axes: Any, dots: Sequence[Dot]) -> None:
    front: list[Dot] = []
    for dot in sorted(dots, key=lambda dot: (dot.cost, -dot.top1)):
        if not front or dot.top1 > front[-1].top1:
            front.append(dot)
    if len(front) > 1:
        costs, shares = [dot.cost for dot in front], [dot.top1 for dot in front]
        axes.plot(costs, shares, "--", color=FAINT, linewidth=0.8, zorder=0)


def _scale(axes: Any, costs: Sequence[float], *, emulated: bool) -> None:
    """A logarithmic axis: networks of a family lie a factor apart."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = min(costs) / 1.3, max(costs) * 1.6
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(_ticks(low, high)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: format_count(value) if emulated else f"{value:g}")
    )
    axes.margins(y=0.18)
    axes.grid(visible=True, color=FAINT, linewidth=0.3, alpha=0.5)


def _ticks(low: float, high: float) -> list[float]:
    """Round figures of a logarithmic axis: as many of them as there is room for."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    ticks: list[float] = []
    for steps in TICK_STEPS:
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= MAX_TICKS:
            break
    return ticks


def _label(axes: Any, every: Sequence[Dot]) -> None:
    """Each model's name once, beside a dot of it, where it covers no other dot or name."""
    axes.autoscale_view()
    points = 72 / axes.figure.dpi
    dots: list[tuple[str, float, float]] = []
    for dot in every:
        x, y = axes.transData.transform((dot.cost, dot.top1)) * points
        dots.append((dot.model, x, y))
    taken = [(x - 3, y - 3, x + 3, y + 3) for _, x, y in dots]
    for model, x, y in {model: (model, x, y) for model, x, y in dots}.values():
        width = len(model) * LETTER
        beside = (
            (x + 5, y - 3),
            (x - 5 - width, y - 3),
            (x - 3, y + 5),
            (x - 3, y - 12),
            (x + 3 - width, y + 5),
        )
        for left, bottom in beside:
            box = (left, bottom, left + width, bottom + TEXT)
            inside = left >= LEFT and box[2] <= WIDTH and bottom >= BOTTOM and box[3] <= HEIGHT
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                axes.figure.text(left / WIDTH, bottom / HEIGHT, model, fontsize=TEXT, color=INK)
                break


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _left_out(count: int, what: str) -> str:
    if count <= MAX_SERIES:
        return ""
    return f" The first {MAX_SERIES} of {count} {what}: name fewer files for others."
