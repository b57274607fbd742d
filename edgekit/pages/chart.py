"""The chart of accuracy against latency of the pages of the zoo and of a choice."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from html import escape

import msgspec

from edgekit.core.stats import pareto_front
from edgekit.report.canvas import COLOURS, Box, overlap

# Size of the chart, and the room around its axes, CSS pixels.
WIDTH, HEIGHT = 860, 460
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 14, 46
# Names of points on the front that would lie closer together than this are left out, CSS pixels.
LETTER, LINE = 6.1, 13


class Dot(msgspec.Struct, frozen=True, kw_only=True):
    """A network in the chart.

    Attributes:
        group: Networks of one group have one colour.
        ms: Latency, milliseconds.
        accuracy: Accuracy, per cent.
        low_ms, high_ms: Interval of the latency; None for none.
    """

    name: str
    group: str
    ms: float
    accuracy: float
    low_ms: float | None = None
    high_ms: float | None = None


def draw_chart(
    dots: Sequence[Dot],
    *,
    name: str,
    below: str,
    figure: str,
    max_ms: float | None = None,
    min_accuracy: float | None = None,
    alone: bool = False,
) -> str:
    """Draw accuracy against latency as an `<svg>` element.

    The line joins the networks that no other beats in both.

    Args:
        dots: Networks, at least one.
        name: What the chart shows, for screen readers.
        below: Title of the axis of latency.
        figure: Name of the accuracy, e.g. `Top-1`.
        max_ms, min_accuracy: Limits, each of which gets a line.
        alone: Make a file of its own, which brings colours for light and dark pages.
    """
    points = sorted(dots, key=lambda point: (point.ms, -point.accuracy))
    front = list(itertools.compress(points, pareto_front([(point.ms, point.accuracy) for point in points])))
    low, high = points[0].ms / 1.15, points[-1].ms * 1.3
    bottom = 5 * math.floor(min(point.accuracy for point in points) / 5)
    top = max(5 * math.ceil(max(point.accuracy for point in points) / 5), bottom + 5)

    def x(ms: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(ms / low) / math.log(high / low)

    def y(accuracy: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (accuracy - bottom) / (top - bottom)

    groups = list(dict.fromkeys(point.group for point in points))
    parts: list[str] = []
    for ms in (tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if low < tick < high):
        parts.append(f'<path class="grid" d="M{x(ms):.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(_text(x(ms), HEIGHT - BOTTOM + 16, f"{ms}", "middle"))
    for accuracy in range(bottom, top + 1, 5):
        parts.append(f'<path class="grid" d="M{LEFT} {y(accuracy):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(_text(LEFT - 8, y(accuracy) + 4, f"{accuracy}", "end"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8,
                       below, "middle"))  # fmt: skip
    parts.append(f'<text transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" '
                 f'text-anchor="middle">{escape(figure)}, per cent</text>')  # fmt: skip
    if max_ms is not None and low < max_ms < high:
        parts.append(f'<path class="limit" d="M{x(max_ms):.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
    if min_accuracy is not None and bottom < min_accuracy < top:
        parts.append(f'<path class="limit" d="M{LEFT} {y(min_accuracy):.1f}H{WIDTH - RIGHT}"/>')
    for point in points:
        if point.low_ms is not None and point.high_ms is not None:
            ends = (x(max(point.low_ms, low)), x(min(point.high_ms, high)))
            parts.append(f'<path class="interval" d="M{ends[0]:.1f} {y(point.accuracy):.1f}H{ends[1]:.1f}"/>')
    line = "L".join(f"{x(point.ms):.1f} {y(point.accuracy):.1f}" for point in front)
    parts.append(f'<path class="front" d="M{line}"/>')
    for point in points:
        colour = COLOURS[groups.index(point.group) % len(COLOURS)]
        shape = _shape(groups.index(point.group) // len(COLOURS))
        words = f"{point.name}: {figure.split()[-1]} {point.accuracy:g} %, {point.ms:.1f} ms"
        place = f"translate({x(point.ms):.1f} {y(point.accuracy):.1f})"
        parts.append(
            f'<path fill="{colour}" transform="{place}" d="{shape}"><title>{escape(words)}</title></path>'
        )
    # The names keep off the points, the one that is named too.
    taken: list[Box] = [
        (x(one.ms) - 5, y(one.accuracy) - 5, x(one.ms) + 5, y(one.accuracy) + 5) for one in points
    ]
    for point in reversed(front):
        left, base = x(point.ms), y(point.accuracy)
        # Above on the left of the rising line, else below on its right.
        for end, foot, anchor in ((left - 7, base - 6, "end"), (left + 8, base + 11, "start")):
            start = end - LETTER * len(point.name) if anchor == "end" else end
            box = (start, foot - LINE, start + LETTER * len(point.name), foot)
            if box[0] > LEFT and not any(overlap(box, other) for other in taken):
                taken.append(box)
                parts.append(_text(end, foot, point.name, anchor))
                break
    for number, group in enumerate(groups):
        column, row = divmod(number, 5)
        left, at = WIDTH - RIGHT - 250 + 130 * column, HEIGHT - BOTTOM - 92 + 18 * row
        colour = COLOURS[number % len(COLOURS)]
        place = f"translate({left} {at - 4})"
        parts.append(f'<path fill="{colour}" transform="{place}" d="{_shape(number // len(COLOURS))}"/>')
        parts.append(_text(left + 10, at, group, "start"))
    style = f"<style>{_STYLE}</style>" if alone else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="zoo" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(name)}">{style}{"".join(parts)}</svg>'
    )


_STYLE = (
    ".zoo{font:12px system-ui,sans-serif;fill:#1f2328}.grid{stroke:#8884}"
    ".front{fill:none;stroke:#888;stroke-width:1.5;stroke-dasharray:4 3}"
    "@media(prefers-color-scheme:dark){.zoo{fill:#e6edf3}}"
)


def _shape(number: int) -> str:
    """Return the outline of a mark: a dot, then a square, then a triangle."""
    return ("M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0", "M-4-4h8v8h-8z", "M0-5L5 4H-5z")[number % 3]


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
