"""Figures of the HTML report's plots, written as SVG that stands inside a page.

Text stays text, so that a reader can select it and a small screen keeps it sharp; its colour is the page's.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from typing import Any

import msgspec

# In points. A phone shows the whole width in about 360 CSS pixels, where 8 points of text make 10 pixels.
WIDTH = 288
TEXT = 8
POINTS_PER_INCH = 72
# Okabe and Ito's colours, which colour-blind readers tell apart, without the yellow; on white and on black.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = {"o": "●", "s": "■", "^": "▲", "D": "◆"}
# Drawn in this colour, and shown in whatever colour the page's text has.
INK = "#010203"
FAINT = "#7f8081"

Key = tuple[str, str]
"""Colour and marker of a series."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a legend, which the page sets as text."""

    sign: str
    colour: str
    text: str


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """A picture with its words.

    Attributes:
        text: Description of the picture, also for screen readers.
        svg: An `<svg>` element.
    """

    title: str
    text: str
    svg: str
    legend: tuple[Entry, ...] = ()


def key(number: int) -> Key:
    """How the `number`th series is drawn: colours first, then other markers."""
    markers = tuple(MARKERS)
    return COLOURS[number % len(COLOURS)], markers[number // len(COLOURS) % len(markers)]


def legend(names: Iterable[str]) -> tuple[Entry, ...]:
    """Entries for series drawn with `key(0)`, `key(1)`, ..."""
    entries = []
    for number, name in enumerate(names):
        colour, marker = key(number)
        entries.append(Entry(sign=MARKERS[marker], colour=colour, text=name))
    return tuple(entries)


def new_figure(height: float) -> Any:
    """A matplotlib figure, `height` in points, without axes."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH / POINTS_PER_INCH, height / POINTS_PER_INCH))


def add_axes(figure: Any, *, left: float, right: float, bottom: float, top: float, **options: Any) -> Any:
    """Axes with margins in points, by hand: a layout engine draws all text several times over."""
    width, height = (size * POINTS_PER_INCH for size in figure.get_size_inches())
    place = (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    axes = figure.add_axes(place, **options)
    axes.tick_params(labelsize=TEXT, colors=INK, length=2, width=0.5, pad=2)
    for side, spine in axes.spines.items():
        spine.set(visible=side in ("left", "bottom"), color=FAINT, linewidth=0.6)
    return axes


def svg(figure: Any) -> str:
    """The figure as an `<svg>` element: nothing random or dated, so that equal results give equal bytes."""
    import matplotlib

    out = io.StringIO()
    settings = {"svg.fonttype": "none", "svg.hashsalt": "edgekit", "font.family": "sans-serif"}
    with matplotlib.rc_context(settings):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inline(out.getvalue())


def _inline(document: str) -> str:
    """Strip an SVG file to the part that may stand in a page, with ids and styles of its own."""
    text = document[document.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(
        r'(<svg)[^>]*?(viewBox="[^"]*")[^>]*>', r'\1 \2 xmlns:xlink="http://www.w3.org/1999/xlink">', text
    )
    text = re.sub(r" font-family: [^;\"]*;", "", text)
    used = set(re.findall(r'(?:#|href="#)([\w.-]+)', text))
    text = re.sub(r' id="([\w.-]+)"', lambda found: found[0] if found[1] in used else "", text)
    return re.sub(r">\s+<", "><", text.replace(INK, "currentColor"))
