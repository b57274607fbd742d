"""Plots over all points: accuracy against cost, and speed-up by threads; None without points."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from edgekit.core.stats import median, pareto_front
from edgekit.core.units import format_count
from edgekit.report.canvas import (
    COLOURS,
    FAINT,
    SHAPES,
    TEXT,
    WIDTH,
    Axes,
    Box,
    Drawing,
    Mark,
    Plot,
    Span,
    key,
    legend,
    overlap,
    round_ticks,
)
from edgekit.report.grid import threads_words
from edgekit.report.names import series_names
from edgekit.report.rows import Row

# Number of distinguishable series styles.
MAX_SERIES = len(COLOURS) * len(SHAPES)
# More series would hide each other, because they mostly overlap.
MAX_LINES = 12
MAX_SCALING_PLOTS = 16
HEIGHT = 190
LEFT, RIGHT, BOTTOM, TOP = 38, 10, 30, 8
MAX_TICKS = 6
# Room beside the fewest and the most threads, threads.
MARGIN = 0.15
TICK_STEPS = ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1, 1.5, 2.5, 4, 6), (1, 2, 5), (1, 3), (1,))
# Average width of a letter at the size TEXT.
LETTER = 0.58 * TEXT

# Position of a name beside a dot: share of the name's width left of the dot, and offsets right and up.
CORNERS = ((0, 5, -3), (1, -5, -3), (0, -3, 5), (0, -3, -12), (1, 3, 5), (1, 3, -12))

Line = dict[int, list[Row]]
"""Rows by their number of threads."""


# The figure of accuracy of each task: the field of a row, and its name.
FIGURES = {"top1": "Top-1", "map": "mAP", "miou": "mIoU"}


class Dot(msgspec.Struct, frozen=True, kw_only=True):
    """Cost of one model in one series, whether its figures are valid, and the number of its first point.

    Attributes:
        accuracy: Published figure of accuracy, per cent.
    """

    model: str
    cost: float
    accuracy: float
    valid: bool
    point: int


def accuracy_plots(rows: Sequence[Row]) -> list[Plot]:
    """Draw a plot for each figure of accuracy that points have, those of emulated targets last."""
    drawn = (
        accuracy_plot(rows, figure, emulated=emulated) for emulated in (False, True) for figure in FIGURES
    )
    return [plot for plot in drawn if plot is not None]


def accuracy_plot(rows: Iterable[Row], figure: str = "top1", *, emulated: bool = False) -> Plot | None:
    """Draw published accuracy against the cost of one picture: milliseconds, or instructions on emulated
    targets.

    Args:
        rows: Points to draw.
        figure: Key of `FIGURES`.
        emulated: Whether to draw the points of emulated targets, or the others.
    """
    shown = [
        row
        for row in rows
        if row.batch_size == 1
        and getattr(row, figure) is not None
        and _cost(row, emulated=emulated) is not None
    ]
    found: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row, name in zip(shown, series_names(shown), strict=True):
        found[f"{name}, {threads_words(row.requested_threads)}"][row.model].append(row)
    if not found:
        return None
    series = {name: _dots(models, figure) for name, models in list(found.items())[:MAX_SERIES]}
    every = [dot for dots in series.values() for dot in dots]
    called = FIGURES[figure]
    axes = _cost_axes(every, f"published {called}, %", emulated=emulated)
    _draw_front(axes, [dot for dot in every if dot.valid])
    for number, (name, dots) in enumerate(series.items()):
        for dot in dots:
            mark = Mark(text=_accuracy_words(dot, name, called, emulated=emulated), point=dot.point)
            place = axes.place(dot.cost, dot.accuracy)
            axes.drawing.dot(*place, key(number), hollow=not dot.valid, mark=mark)
    unnamed = _label(axes, every)
    measured = "instructions (emulated, no time)" if emulated else "latency"
    words = [
        f"Published {called} against measured {measured} of one picture; up and to the left is better.",
        "No valid point is both cheaper and more accurate than those on the dashed line.",
        "Hollow: the verdict is not valid.",
    ]
    if unnamed:
        words.append(f"Without room for their names: {', '.join(unnamed)}.")
    if len(found) > MAX_SERIES:
        words.append(f"The first {MAX_SERIES} of {len(found)} series: name fewer files for others.")
    title = f"against {'accuracy' if figure == 'top1' else called}"
    return Plot(
        title=f"Instructions {title}, EMULATED" if emulated else f"Latency {title}",
        text=" ".join(words),
        svg=axes.drawing.svg(),
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
    speeds = {name: _speeds(line) for name, line in lines.items()}
    values = [speed for own in speeds.values() for speed in own.values()]
    ends, room = (min(values), max(values)), 0.05 * (max(values) - min(values)) or 0.05
    axes = _axes(
        (counts[0] - MARGIN, counts[-1] + MARGIN),
        (ends[0] - room, ends[1] + room),
        {count: str(count) for count in counts},
        below="threads",
        beside="times as fast",
    )
    # An axis long enough for the whole dotted line would flatten the others.
    last = min(counts[-1], counts[0] * axes.y[1])
    axes.line([(counts[0], 1), (last, last / counts[0])], colour=FAINT, width=0.8, dash="1 2")
    for number, (name, line) in enumerate(lines.items()):
        axes.line(speeds[name].items(), colour=key(number)[0], width=1)
        first = _all_valid(line[min(line)])
        for count, speed in speeds[name].items():
            axes.drawing.dot(
                *axes.place(count, speed),
                key(number),
                hollow=not (first and _all_valid(line[count])),
                mark=_scaling_mark(line, name, count, speed),
            )
    return Plot(
        title=title,
        text="How many times as fast as with the fewest threads measured. Dotted: as many times as threads. "
        "Hollow: a verdict is not valid.",
        svg=axes.drawing.svg(),
        legend=legend(lines),
    )


def _scaling_mark(line: Line, name: str, count: int, speed: float) -> Mark:
    words = f"{name}, {threads_words(count)}: {speed:.2f} times as fast as with {min(line)}"
    return Mark(text=words, point=line[count][0].number)


def _accuracy_words(dot: Dot, series: str, figure: str, *, emulated: bool) -> str:
    cost = f"{format_count(dot.cost)} instructions" if emulated else f"{dot.cost:.2f} ms"
    return f"{dot.model}, {series}: {cost}, {figure} {dot.accuracy:g}%{'' if dot.valid else ', not valid'}"


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


def _dots(models: Mapping[str, Sequence[Row]], figure: str) -> list[Dot]:
    """Return one dot a model, the median over its runs."""
    return [
        Dot(model=model, cost=_median_cost(rows), accuracy=getattr(rows[0], figure), valid=_all_valid(rows),
            point=rows[0].number)
        for model, rows in models.items()
    ]  # fmt: skip


def _axes(
    x: Span, y: Span, ticks: Mapping[float, str], *, below: str, beside: str, logarithmic: bool = False
) -> Axes:
    """Return the axes of a new drawing, with titles and a grid."""
    frame = (LEFT, BOTTOM, WIDTH - RIGHT, HEIGHT - TOP)
    axes = Axes(Drawing(HEIGHT), frame, x, y, logarithmic=logarithmic)
    axes.below(ticks, grid=True)
    axes.beside(round_ticks(*y, MAX_TICKS), grid=True)
    axes.edges()
    axes.drawing.text((frame[0] + frame[2]) / 2, 4, below, anchor="middle")
    axes.drawing.text(TEXT, (frame[1] + frame[3]) / 2, beside, anchor="middle", turned=True)
    return axes


def _cost_axes(dots: Sequence[Dot], beside: str, *, emulated: bool) -> Axes:
    """Return axes with a logarithmic cost, because the costs within a family differ by factors."""
    costs, shares = [dot.cost for dot in dots], [dot.accuracy for dot in dots]
    left, right = min(costs) / 1.3, max(costs) * 1.6
    room = max((max(shares) - min(shares)) * 0.18, 1.5)
    return _axes(
        (left, right),
        (min(shares) - room, max(shares) + room),
        {tick: format_count(tick) if emulated else f"{tick:g}" for tick in _cost_ticks(left, right)},
        below="instructions of one inference" if emulated else "latency, ms",
        beside=beside,
        logarithmic=True,
    )


def _draw_front(axes: Axes, dots: Sequence[Dot]) -> None:
    rising = sorted(dots, key=lambda dot: (dot.cost, -dot.accuracy))
    front = list(itertools.compress(rising, pareto_front([(dot.cost, dot.accuracy) for dot in rising])))
    if len(front) > 1:
        places = [(dot.cost, dot.accuracy) for dot in front]
        axes.line(places, colour=FAINT, width=0.8, dash="3 2")


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


def _label(axes: Axes, dots: Sequence[Dot]) -> list[str]:
    """Write each model's name once beside one of its dots, where it covers no other dot or name.

    Returns:
        Names of models for which no dot has enough room.
    """
    places: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for dot in dots:
        places[dot.model].append(axes.place(dot.cost, dot.accuracy))
    taken = [(x - 3, y - 3, x + 3, y + 3) for own in places.values() for x, y in own]
    unnamed = []
    for model, own in places.items():
        width = len(model) * LETTER
        # Try the height of the dot first: above or below it the name could seem another dot's.
        boxes = (box for corner in CORNERS for x, y in own if (box := _box(x, y, width, corner)) is not None)
        free = (box for box in boxes if not any(overlap(box, other) for other in taken))
        if (box := next(free, None)) is None:
            unnamed.append(model)
            continue
        taken.append(box)
        axes.drawing.text(box[0], box[1] + 1, model)
    return unnamed


def _box(x: float, y: float, width: float, corner: tuple[float, float, float]) -> Box | None:
    """Return the place of a name of that width beside a dot; None where it leaves the axes."""
    share, right, above = corner
    left, bottom = x + right - share * width, y + above
    inside = left >= LEFT and left + width <= WIDTH and bottom >= BOTTOM and bottom + TEXT <= HEIGHT
    return (left, bottom, left + width, bottom + TEXT) if inside else None
