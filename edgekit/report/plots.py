"""Plots over all points: accuracy against cost, and what more threads gain. None where nothing is to draw."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edgekit.core.stats import median
from edgekit.core.units import format_count
from edgekit.report.canvas import FAINT, INK, TEXT, WIDTH, Plot, add_axes, key, legend, new_figure, svg
from edgekit.report.rows import Row

MAX_SERIES = 12
HEIGHT = 190
LEFT, BOTTOM = 34, 30
MAX_TICKS = 6
TICK_STEPS = ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1, 1.5, 2.5, 4, 6), (1, 2, 5), (1, 3), (1,))
# Of a letter at the size TEXT, on average.
LETTER = 0.58 * TEXT

Dots = dict[str, tuple[float, float, bool]]
"""Model to cost, Top-1 and whether every figure in it is valid."""


def accuracy_plot(rows: Iterable[Row], *, emulated: bool = False) -> Plot | None:
    """Published Top-1 against what one picture costs: milliseconds, or instructions on emulated targets."""
    found: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.batch_size == 1 and row.top1 is not None and _cost(row, emulated=emulated) is not None:
            found[f"{_series(row)}, {_threads(row)}"][row.model].append(row)
    if not found:
        return None
    shown = dict(list(found.items())[:MAX_SERIES])
    series = {name: _dots(models, emulated=emulated) for name, models in shown.items()}
    figure = new_figure(HEIGHT)
    axes = add_axes(figure, left=LEFT, right=10, bottom=BOTTOM, top=8)
    for number, dots in enumerate(series.values()):
        colour, marker = key(number)
        for cost, top1, valid in dots.values():
            axes.plot(
                cost, top1, marker, color=colour, markersize=5, markeredgewidth=1, linestyle="none",
                markerfacecolor=colour if valid else "none",
            )  # fmt: skip
    _draw_front(axes, [dot for dots in series.values() for dot in dots.values()])
    _scale(axes, [dot[0] for dots in series.values() for dot in dots.values()], emulated=emulated)
    unit = "instructions of one inference" if emulated else "latency, ms"
    axes.set_xlabel(unit, fontsize=TEXT, color=INK)
    axes.set_ylabel("published Top-1, %", fontsize=TEXT, color=INK)
    _label(axes, series.values())
    measured = "instructions (emulated, no time)" if emulated else "latency"
    return Plot(
        title="Instructions against accuracy, EMULATED" if emulated else "Latency against accuracy",
        text=f"Published Top-1 against measured {measured} of one picture; up and to the left is better. No "
        "point is both cheaper and more accurate than those on the dashed line. Hollow: the verdict is not "
        "valid." + _left_out(len(found), "series"),
        svg=svg(figure),
        legend=legend(series),
    )


def scaling_plot(rows: Iterable[Row]) -> Plot | None:
    """Speed-up over the fewest threads measured, a line a model and engine."""
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        cost = _cost(row, emulated=row.emulated)
        if cost is not None and row.batch_size == 1:
            name = f"{row.model}, {_series(row)}" + (", emulated: instructions" if row.emulated else "")
            found[name][row.requested_threads].append(cost)
    scaled = {name: line for name, line in found.items() if len(line) > 1}
    if not scaled:
        return None
    lines = dict(list(scaled.items())[:MAX_SERIES])
    counts = sorted({number for line in lines.values() for number in line})
    figure = new_figure(HEIGHT)
    axes = add_axes(figure, left=LEFT, right=10, bottom=BOTTOM, top=8)
    axes.plot(counts, [number / counts[0] for number in counts], ":", color=FAINT, linewidth=0.8)
    for number, line in enumerate(lines.values()):
        colour, marker = key(number)
        threads = sorted(line)
        speed = [median(line[threads[0]]) / median(line[one]) for one in threads]
        axes.plot(threads, speed, marker=marker, markersize=5, color=colour, linewidth=1)
    axes.set_xticks(counts)
    axes.grid(visible=True, color=FAINT, linewidth=0.3, alpha=0.5)
    axes.set_xlabel("threads", fontsize=TEXT, color=INK)
    axes.set_ylabel("times as fast", fontsize=TEXT, color=INK)
    return Plot(
        title="Thread scaling",
        text="How many times as fast as with the fewest threads measured. Dotted: as many times as threads."
        + _left_out(len(scaled), "lines"),
        svg=svg(figure),
        legend=legend(lines),
    )


def _cost(row: Row, *, emulated: bool) -> float | None:
    if row.emulated is not emulated or row.status in ("skipped", "failed"):
        return None
    return row.instructions if emulated else row.latency_ms


def _series(row: Row) -> str:
    return " ".join(filter(None, (row.engine, row.precision, row.power_mode, row.cores)))


def _threads(row: Row) -> str:
    return f"{row.requested_threads} thread{'s' * (row.requested_threads != 1)}"


def _dots(models: Mapping[str, Sequence[Row]], *, emulated: bool) -> Dots:
    """A dot a model: the median over its runs."""
    dots = {}
    for model, rows in models.items():
        costs = [cost for row in rows if (cost := _cost(row, emulated=emulated)) is not None]
        good = all(row.verdict in (None, "valid", "emulated") for row in rows)
        assert rows[0].top1 is not None
        dots[model] = (median(costs), rows[0].top1, good)
    return dots


def _draw_front(axes: Any, dots: Sequence[tuple[float, float, bool]]) -> None:
    front: list[tuple[float, float]] = []
    for cost, top1, _ in sorted(dots, key=lambda dot: (dot[0], -dot[1])):
        if not front or top1 > front[-1][1]:
            front.append((cost, top1))
    if len(front) > 1:
        axes.plot(*zip(*front, strict=True), "--", color=FAINT, linewidth=0.8, zorder=0)


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


def _label(axes: Any, series: Iterable[Dots]) -> None:
    """Each model's name once, beside a dot of it, where it covers no other dot or name."""
    axes.autoscale_view()
    points = 72 / axes.figure.dpi
    dots: list[tuple[str, float, float]] = []
    for one in series:
        for model, (cost, top1, _) in one.items():
            x, y = axes.transData.transform((cost, top1)) * points
            dots.append((model, x, y))
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
