"""Drawing of the HTML report's plots as SVG inside the page.

Text stays text, so that readers can select it and small screens show it sharply; it has the page's colour.
A drawing library would take a second to import and 80 ms a plot, in a report that takes three.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping

import msgspec

# Sizes in points. A phone shows the width in about 360 CSS pixels, where 8 points of text make 10 pixels.
WIDTH = 288
TEXT = 8
# Colours of Okabe and Ito without the yellow; colour-blind readers tell them apart on white and on black.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
# Outlines of the signs of series.
SHAPES = {
    "●": "M-2.5 0a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0z",
    "■": "M-2.3-2.3h4.6v4.6h-4.6z",
    "▲": "M0-3L2.8 2.2h-5.6z",
    "◆": "M0-3.2L3.2 0L0 3.2L-3.2 0z",
}
FAINT = "#7f8081"
TICK = 3
# Steps between round figures, within a decade.
ROUND = (1, 2, 2.5, 5, 10)

Key = tuple[str, str]
"""Colour and sign of a series."""
Box = tuple[float, float, float, float]
"""Left, bottom, right and top, points."""
Span = tuple[float, float]
"""Values at both ends of a scale."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Line of a legend, which the page sets as text."""

    sign: str
    colour: str
    text: str


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """A bar with its words.

    Attributes:
        percent: Length, per cent of the longest bar.
        colour: Colour; empty for a hollow bar.
        text: Words beside the bar.
    """

    name: str
    percent: float
    colour: str
    text: str


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A dot of a plot that readers may point at.

    Attributes:
        text: Words that the browser shows beside the pointer.
        point: Number of the point that the dot shows, whose verdict it leads to.
    """

    text: str
    point: int


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """A plot with its description.

    Attributes:
        text: Description of the picture, also for screen readers.
        svg: An `<svg>` element.
    """

    title: str
    text: str
    svg: str
    legend: tuple[Entry, ...] = ()


def key(number: int) -> Key:
    """Return the style of the `number`th series: colours vary first, then signs."""
    signs = tuple(SHAPES)
    return COLOURS[number % len(COLOURS)], signs[number // len(COLOURS) % len(signs)]


def legend(names: Iterable[str]) -> tuple[Entry, ...]:
    """Return legend entries for series drawn with `key(0)`, `key(1)`, ..."""
    entries = []
    for number, name in enumerate(names):
        colour, sign = key(number)
        entries.append(Entry(sign=sign, colour=colour, text=name))
    return tuple(entries)


class Drawing:
    """Plot as SVG; positions are points from the left and from the bottom.

    Args:
        height: Height, points; the width is `WIDTH`.
    """

    def __init__(self, height: float) -> None:
        self.height = height
        self._parts: list[str] = []

    def add(self, part: str) -> None:
        """Add an SVG element, whose positions count from the top left."""
        self._parts.append(part)

    def text(self, x: float, y: float, words: str, *, anchor: str = "start", turned: bool = False) -> None:
        """Write words with their base line at `y`; turned ones run upwards."""
        place = f'x="{x:.1f}" y="{self.height - y:.1f}"'
        if turned:
            place = f'transform="translate({x:.1f} {self.height - y:.1f}) rotate(-90)"'
        self.add(f'<text {place} text-anchor="{anchor}">{html.escape(words)}</text>')

    def line(
        self, points: Iterable[tuple[float, float]], *, colour: str, width: float, dash: str = ""
    ) -> None:
        """Join points by a line; `dash` is SVG's list of lengths."""
        path = "L".join(f"{x:.1f} {self.height - y:.1f}" for x, y in points)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.add(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dashed}/>')

    def dot(
        self, x: float, y: float, style: Key, *,
        hollow: bool = False, size: float = 1, mark: Mark | None = None,
    ) -> None:  # fmt: skip
        """Draw a series' sign. Keyboards reach the links of marks in the leaderboard."""
        colour, sign = style
        fill = "none" if hollow else colour
        place = f"translate({x:.1f} {self.height - y:.1f})" + (f" scale({size})" if size != 1 else "")
        shape = f'<path class="dot" transform="{place}" d="{SHAPES[sign]}" fill="{fill}" stroke="{colour}"/>'
        if mark is not None:
            words = f"<title>{html.escape(mark.text)}</title>"
            shape = f'<a href="#p{mark.point}" tabindex="-1">{words}{shape}</a>'
        self.add(shape)

    def svg(self) -> str:
        """Return the `<svg>` element; its text has the colour of the page's."""
        return (
            f'<svg viewBox="0 0 {WIDTH} {self.height:g}" font-size="{TEXT}" fill="currentColor">'
            f"{''.join(self._parts)}</svg>"
        )


class Axes:
    """Two scales within a drawing.

    Args:
        drawing: The drawing.
        frame: Left, bottom, right and top, points.
        x, y: Values at both ends of each scale.
        logarithmic: Whether the horizontal scale is.
    """

    def __init__(self, drawing: Drawing, frame: Box, x: Span, y: Span, *, logarithmic: bool = False) -> None:
        self.drawing, self.frame, self.x, self.y, self.logarithmic = drawing, frame, x, y, logarithmic

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return the position of a value in the drawing; values beyond the frame lie on its edge."""
        left, bottom, right, top = self.frame
        across = _share(*(map(math.log, (x, *self.x)) if self.logarithmic else (x, *self.x)))
        return left + (right - left) * across, bottom + (top - bottom) * _share(y, *self.y)

    def line(
        self, points: Iterable[tuple[float, float]], *, colour: str, width: float, dash: str = ""
    ) -> None:
        """Join values by a line."""
        self.drawing.line((self.place(*point) for point in points), colour=colour, width=width, dash=dash)

    def edges(self) -> None:
        """Draw the left and the lower edge."""
        left, bottom, right, top = self.frame
        self.drawing.line([(left, top), (left, bottom), (right, bottom)], colour=FAINT, width=0.6)

    def below(self, ticks: Mapping[float, str], *, grid: bool = False) -> None:
        """Draw ticks with their words below the lower edge, with lines across the frame for a grid."""
        _, bottom, _, top = self.frame
        for value, words in ticks.items():
            x, _ = self.place(value, self.y[0])
            self._tick((x, bottom), (x, bottom - TICK), (x, top) if grid else None)
            self.drawing.text(x, bottom - TICK - TEXT, words, anchor="middle")

    def beside(self, ticks: Mapping[float, str], *, grid: bool = False, right: bool = False) -> None:
        """Draw ticks with their words beside the left edge or the right one."""
        edge, other = (self.frame[2], self.frame[0]) if right else (self.frame[0], self.frame[2])
        out = TICK if right else -TICK
        for value, words in ticks.items():
            _, y = self.place(self.x[0], value)
            self._tick((edge, y), (edge + out, y), (other, y) if grid else None)
            anchor = "start" if right else "end"
            self.drawing.text(edge + 2 * out, y - TEXT / 3, words, anchor=anchor)

    def _tick(
        self, start: tuple[float, float], end: tuple[float, float], across: tuple[float, float] | None
    ) -> None:
        if across is not None:
            self.drawing.line([start, across], colour=FAINT, width=0.2)
        self.drawing.line([start, end], colour=FAINT, width=0.5)


def _share(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))


def overlap(one: Box, other: Box) -> bool:
    """Return whether two boxes have room in common, whichever way positions count up."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def round_ticks(low: float, high: float, most: int) -> dict[float, str]:
    """Return round figures from `low` to `high` with their words, about `most` at most."""
    decade = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(step for each in ROUND if (step := each * decade) * most >= (high - low) * (1 - 1e-9))
    # A quarter needs a digit more than its decade.
    digits = max(0, (round(step / decade, 6) == 2.5) - math.floor(math.log10(step) + 1e-9))
    numbers = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    return {number * step: f"{number * step:.{digits}f}" for number in numbers}
