"""Plots over all points: accuracy against cost, and speed-up by threads; None without points."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from edgekit.core.stats import median, pareto_front
from edgekit.core.units import format_count
from edgekit.report.canvas import (
    COLOURS,
    FAINT,
    INK,
    MARKERS,
    POINTS_PER_INCH,
    TEXT,
    WIDTH,
    Mark,
    Plot,
    add_axes,
    key,
    legend,
    new_figure,
    svg,
)
from edgekit.report.grid import threads_words
from edgekit.report.names import series_names
from edgekit.report.rows import Row

# Number of distinguishable series styles.
MAX_SERIES = len(COLOURS) * len(MARKERS)
# More series would hide each other, because they mostly overlap.
MAX_LINES = 12
# Drawing one plot takes about 30 ms.
MAX_SCALING_PLOTS = 16
HEIGHT = 190
LEFT, RIGHT, BOTTOM, TOP = 38, 10, 30, 8
MAX_TICKS = 6
TICK_STEPS = ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1, 1.5, 2.5, 4, 6), (1, 2, 5), (1, 3), (1,))
# Average width of a letter at the size TEXT.
LETTER = 0.58 * TEXT

# Position of a name beside a dot: share of the name's width left of the dot, and offsets right and up.
CORNERS = ((0, 5, -3), (1, -5, -3), (0, -3, 5), (0, -3, -12), (1, 3, 5), (1, 3, -12))

Box = tuple[float, float, float, float]
"""Left, bottom, right and top."""
Line = dict[int, list[Row]]
"""Rows by their number of threads."""


Marks = dict[str, list[Mark]]
"""Dots of each line of a plot, by the line's `gid`."""


class Dot(msgspec.Struct, frozen=True, kw_only=True):
    """Cost of one model in one series, whether its figures are valid, and the number of its first point."""

    model: str
    cost: float
    top1: float
    valid: bool
    point: int


def accuracy_plot(rows: Iterable[Row], *, emulated: bool = False) -> Plot | None:
    """Draw published Top-1 against the cost of one picture: milliseconds, or instructions on emulated
    targets.
    """
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
    unit = "instructions of one inference" if emulated else "latency, ms"
    axes = _axes(below=unit, beside="published Top-1, %")
    _scale(axes, every, emulated=emulated)
    _draw_front(axes, [dot for dot in every if dot.valid])
    marks: Marks = {}
    for number, (name, dots) in enumerate(series.items()):
        drawn = [
            (dot.cost, dot.top1, dot.valid, Mark(text=_accuracy_words(dot, name, emulated), point=dot.point))
            for dot in dots
        ]
        _draw_dots(axes, drawn, number, marks)
    unnamed = _label(axes, every)
    measured = "instructions (emulated, no time)" if emulated else "latency"
    words = [
        f"Published Top-1 against measured {measured} of one picture; up and to the left is better.",
        "No valid point is both cheaper and more accurate than those on the dashed line.",
        "Hollow: the verdict is not valid.",
    ]
    if unnamed:
        words.append(f"Without room for their names: {', '.join(unnamed)}.")
    if len(found) > MAX_SERIES:
        words.append(f"The first {MAX_SERIES} of {len(found)} series: name fewer files for others.")
    return Plot(
        title="Instructions against accuracy, EMULATED" if emulated else "Latency against accuracy",
        text=" ".join(words),
        svg=svg(axes.figure, marks),
        legend=legend(series),
    )


def scaling_plots(rows: Iterable[Row]) -> tuple[list[Plot], int]:
    """Draw the speed-up over the fewest measured threads, one line a model; many lines give a plot an engine.

    Returns:
        Plots, and the number of plots left out of a full page.
    """
    usable = [row for row in rows if row.batch_size == 1 and _cost(row, emulated=row.emulated) is not None]
    found: dict[str, dict[str, Line]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for row, name in zip(usable, series_names(usable), strict=True):
        series = name + (", emulated: instructions" if row.emulated else "")
        found[series][row.model][row.requested_threads].append(row)
    scaled = {
        series: {model: line for model, line in models.items() if len(line) > 1}
        for series, models in found.items()
    }
    together = {
        f"{model}, {series}": line for series, models in scaled.items() for model, line in models.items()
    }
    if len(together) <= MAX_LINES:
        return [_scaling_plot("Thread scaling", together)] if together else [], 0
    parts = [
        (f"Thread scaling, {series}", dict(part))
        for series, models in scaled.items()
        for part in _parts(list(models.items()))
    ]
    shown = parts[:MAX_SCALING_PLOTS]
    return [_scaling_plot(*part) for part in shown], len(parts) - len(shown)


def _parts(lines: Sequence[tuple[str, Line]]) -> list[Sequence[tuple[str, Line]]]:
    """Split lines into parts of about equal size, at most `MAX_LINES` in each."""
    count = math.ceil(len(lines) / MAX_LINES)
    size = math.ceil(len(lines) / max(1, count))
    return [lines[number * size : (number + 1) * size] for number in range(count)]


def _scaling_plot(title: str, lines: Mapping[str, Line]) -> Plot:
    counts = sorted({number for line in lines.values() for number in line})
    axes = _axes(below="threads", beside="times as fast")
    axes.set_xticks(counts)
    marks: Marks = {}
    for number, (name, line) in enumerate(lines.items()):
        speeds = _speeds(line)
        axes.plot(*zip(*speeds.items(), strict=True), color=key(number)[0], linewidth=1)
        first = _all_valid(line[min(line)])
        dots = [
            (count, speed, first and _all_valid(line[count]), _scaling_mark(line, name, count, speed))
            for count, speed in speeds.items()
        ]
        _draw_dots(axes, dots, number, marks)
    # An axis long enough for the whole dotted line would flatten the others.
    axes.set_ylim(axes.get_ylim())
    ideal = [count / counts[0] for count in counts]
    axes.plot(counts, ideal, ":", color=FAINT, linewidth=0.8, zorder=1)
    return Plot(
        title=title,
        text="How many times as fast as with the fewest threads measured. Dotted: as many times as threads. "
        "Hollow: a verdict is not valid.",
        svg=svg(axes.figure, marks),
        legend=legend(lines),
    )


def _scaling_mark(line: Line, name: str, count: int, speed: float) -> Mark:
    words = f"{name}, {threads_words(count)}: {speed:.2f} times as fast as with {min(line)}"
    return Mark(text=words, point=line[count][0].number)


def _accuracy_words(dot: Dot, series: str, emulated: bool) -> str:
    cost = f"{format_count(dot.cost)} instructions" if emulated else f"{dot.cost:.2f} ms"
    return f"{dot.model}, {series}: {cost}, Top-1 {dot.top1:g}%{'' if dot.valid else ', not valid'}"


def _speeds(line: Line) -> dict[int, float]:
    """Return the speed-up by number of threads, in ascending order."""
    costs = {count: _median_cost(line[count]) for count in sorted(line)}
    return {count: costs[min(costs)] / cost for count, cost in costs.items()}


def _cost(row: Row, *, emulated: bool) -> float | None:
    if row.emulated is not emulated or row.status in ("skipped", "failed"):
        return None
    return row.instructions if emulated else row.latency_ms


def _median_cost(rows: Sequence[Row]) -> float:
    return median([cost for row in rows if (cost := _cost(row, emulated=row.emulated)) is not None])


def _all_valid(rows: Iterable[Row]) -> bool:
    return all(row.verdict in (None, "valid", "emulated") for row in rows)


def _dots(models: Mapping[str, Sequence[Row]]) -> list[Dot]:
    """Return one dot a model, the median over its runs."""
    dots = []
    for model, rows in models.items():
        assert rows[0].top1 is not None
        dots.append(Dot(model=model, cost=_median_cost(rows), top1=rows[0].top1, valid=_all_valid(rows),
                        point=rows[0].number))  # fmt: skip
    return dots


def _axes(*, below: str, beside: str) -> Any:
    """Return the axes of a new figure, with titles and a grid."""
    axes = add_axes(new_figure(HEIGHT), left=LEFT, right=RIGHT, bottom=BOTTOM, top=TOP)
    axes.grid(visible=True, color=FAINT, linewidth=0.3, alpha=0.5)
    axes.locator_params(axis="y", nbins=MAX_TICKS)
    axes.set_xlabel(below, fontsize=TEXT, color=INK)
    axes.set_ylabel(beside, fontsize=TEXT, color=INK)
    return axes


def _scale(axes: Any, dots: Sequence[Dot], *, emulated: bool) -> None:
    """Make the cost axis logarithmic, because the costs within a family differ by factors."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    costs, shares = [dot.cost for dot in dots], [dot.top1 for dot in dots]
    left, right = min(costs) / 1.3, max(costs) * 1.6
    room = max((max(shares) - min(shares)) * 0.18, 1.5)
    axes.set(xscale="log", xlim=(left, right), ylim=(min(shares) - room, max(shares) + room))
    axes.xaxis.set_major_locator(FixedLocator(_cost_ticks(left, right)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: format_count(value) if emulated else f"{value:g}")
    )


def _draw_dots(axes: Any, dots: Sequence[tuple[float, float, bool, Mark]], number: int, marks: Marks) -> None:
    """Draw the `number`th series' markers, hollow where not valid; add the dots to `marks`."""
    colour, marker = key(number)
    for valid in (True, False):
        if own := [dot for dot in dots if dot[2] is valid]:
            gid = f"dots-{len(marks)}"
            marks[gid] = [dot[3] for dot in own]
            axes.plot(
                [dot[0] for dot in own],
                [dot[1] for dot in own],
                marker,
                gid=gid,
                color=colour,
                markersize=5,
                markeredgewidth=1,
                markerfacecolor=colour if valid else "none",
            )


def _draw_front(axes: Any, dots: Sequence[Dot]) -> None:
    rising = sorted(dots, key=lambda dot: (dot.cost, -dot.top1))
    front = list(itertools.compress(rising, pareto_front([(dot.cost, dot.top1) for dot in rising])))
    if len(front) > 1:
        costs, shares = [dot.cost for dot in front], [dot.top1 for dot in front]
        axes.plot(costs, shares, "--", color=FAINT, linewidth=0.8)


def _cost_ticks(low: float, high: float) -> list[float]:
    """Return round figures of a logarithmic axis, as many as fit."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    found: list[float] = []
    for steps in TICK_STEPS:
        found = [step * 10.0**decade for decade in decades for step in steps]
        found = [tick for tick in found if low <= tick <= high]
        if len(found) <= MAX_TICKS:
            break
    return found


def _label(axes: Any, dots: Sequence[Dot]) -> list[str]:
    """Write each model's name once beside one of its dots, where it covers no other dot or name.

    Returns:
        Names of models for which no dot has enough room.
    """
    pixels = axes.transData.transform([(dot.cost, dot.top1) for dot in dots])
    places: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for dot, (x, y) in zip(dots, pixels * (POINTS_PER_INCH / axes.figure.dpi), strict=True):
        places[dot.model].append((x, y))
    taken = [(x - 3, y - 3, x + 3, y + 3) for own in places.values() for x, y in own]
    unnamed = []
    for model, own in places.items():
        width = len(model) * LETTER
        # Try the height of the dot first: above or below it the name could seem another dot's.
        boxes = (box for corner in CORNERS for x, y in own if (box := _box(x, y, width, corner)) is not None)
        free = (box for box in boxes if not any(_overlap(box, other) for other in taken))
        if (box := next(free, None)) is None:
            unnamed.append(model)
            continue
        taken.append(box)
        axes.figure.text(box[0] / WIDTH, (box[1] + 1) / HEIGHT, model, fontsize=TEXT, color=INK)
    return unnamed


def _box(x: float, y: float, width: float, corner: tuple[float, float, float]) -> Box | None:
    """Return the place of a name of that width beside a dot; None where it leaves the axes."""
    share, right, above = corner
    left, bottom = x + right - share * width, y + above
    inside = left >= LEFT and left + width <= WIDTH and bottom >= BOTTOM and bottom + TEXT <= HEIGHT
    return (left, bottom, left + width, bottom + TEXT) if inside else None


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
