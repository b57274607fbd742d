"""Drawing of the HTML report's plots as SVG inside the page.

Text stays text, so that readers can select it and small screens show it sharply; it has the page's colour.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

# Sizes in points. A phone shows the width in about 360 CSS pixels, where 8 points of text make 10 pixels.
WIDTH = 288
TEXT = 8
POINTS_PER_INCH = 72
# Colours of Okabe and Ito without the yellow; colour-blind readers tell them apart on white and on black.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = {"o": "●", "s": "■", "^": "▲", "D": "◆"}
# Placeholder colour, which the page replaces by the colour of its text.
INK = "#010203"
FAINT = "#7f8081"

Key = tuple[str, str]
"""Colour and marker of a series."""


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
    """Return the style of the `number`th series: colours vary first, then markers."""
    markers = tuple(MARKERS)
    return COLOURS[number % len(COLOURS)], markers[number // len(COLOURS) % len(markers)]


def legend(names: Iterable[str]) -> tuple[Entry, ...]:
    """Return legend entries for series drawn with `key(0)`, `key(1)`, ..."""
    entries = []
    for number, name in enumerate(names):
        colour, marker = key(number)
        entries.append(Entry(sign=MARKERS[marker], colour=colour, text=name))
    return tuple(entries)


def new_figure(height: float) -> Any:
    """Return a matplotlib figure, `height` points high, without axes."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH / POINTS_PER_INCH, height / POINTS_PER_INCH))


def add_axes(figure: Any, *, left: float, right: float, bottom: float, top: float, **options: Any) -> Any:
    """Add axes with margins in points; a layout engine would draw all text several times."""
    width, height = (size * POINTS_PER_INCH for size in figure.get_size_inches())
    place = (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    axes = figure.add_axes(place, **options)
    axes.tick_params(labelsize=TEXT, colors=INK, length=2, width=0.5, pad=2)
    for side, spine in axes.spines.items():
        spine.set(visible=side in ("left", "bottom"), color=FAINT, linewidth=0.6)
    return axes


def svg(figure: Any, marks: Mapping[str, Sequence[Mark]] | None = None) -> str:
    """Return the figure as an `<svg>` element; equal results give equal bytes.

    Args:
        figure: A matplotlib figure.
        marks: The dots of each line that has this `gid`, in their order.
    """
    import matplotlib

    out = io.StringIO()
    settings = {"svg.fonttype": "none", "svg.hashsalt": "edgekit", "font.family": "sans-serif"}
    with matplotlib.rc_context(settings):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    document = out.getvalue()
    for gid, dots in (marks or {}).items():
        document = _mark(document, gid, dots)
    return _inline(document)


def _mark(document: str, gid: str, dots: Iterable[Mark]) -> str:
    """Give each dot of a line its words and its link. Keyboards reach the same links in the leaderboard."""
    head, start, rest = document.partition(f'<g id="{gid}">')
    line, end, tail = rest.partition('<g id="')
    remaining = iter(dots)

    def linked(found: re.Match[str]) -> str:
        dot = next(remaining)
        words = f"<title>{html.escape(dot.text)}</title>"
        return f'<a href="#p{dot.point}" tabindex="-1">{words}{found[0]}</a>'

    return head + start + re.sub(r"<use [^>]*/>", linked, line) + end + tail


def _inline(document: str) -> str:
    """Reduce an SVG file to the part that may be embedded in a page, with ids and styles of its own."""
    text = document[document.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(
        r'(<svg)[^>]*?(viewBox="[^"]*")[^>]*>', r'\1 \2 xmlns:xlink="http://www.w3.org/1999/xlink">', text
    )
    text = re.sub(r" font-family: [^;\"]*;", "", text)
    used = set(re.findall(r'(?:#|href="#)([\w.-]+)', text))
    text = re.sub(r' id="([\w.-]+)"', lambda found: found[0] if found[1] in used else "", text)
    return re.sub(r">\s+<", "><", text.replace(INK, "currentColor"))
