"""The page of `models --html`, and its chart of accuracy against latency as a picture of its own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from html import escape
from typing import Any

import msgspec

from edgekit.core.spec import CLASSIFICATION, ModelSpec, Platform, Precision, Published
from edgekit.core.stats import pareto_front
from edgekit.estimate.choose import ACCURACY
from edgekit.estimate.estimate import estimate, known_count
from edgekit.estimate.soc_model import SocModel, load_soc, shipped_socs
from edgekit.pages.document import document
from edgekit.report.canvas import COLOURS
from edgekit.zoo.registry import list_models

# The SoC with published figures of most networks.
FIRST_SOC = "sd855"
# Size of the chart, and the room around its axes, CSS pixels.
WIDTH, HEIGHT = 860, 460
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 14, 46
# Names of points on the front that would lie closer together than this are left out, CSS pixels.
LETTER, LINE = 6.1, 13


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """One network on the page.

    Attributes:
        accuracy: Published Top-1, mAP or mIoU, per cent; None where none is published.
        metric: What `accuracy` is.
        latencies: Published latencies by platform, e.g. `4.27 / 2.73 / 1.92`.
        estimates: By SoC, estimated milliseconds by number of threads.
    """

    name: str
    family: str
    task: str
    summary: str
    params_m: float | None
    flops_m: float | None
    accuracy: float | None
    metric: str
    latencies: dict[str, str]
    estimates: dict[str, dict[int, float]]


def zoo_page() -> str:
    """Render the page of all networks of the zoo.

    Raises:
        ToolError: jinja2 is not installed.
    """
    socs = [load_soc(name) for name in _socs()]
    networks = list_networks(socs)
    return document(
        "zoo",
        script="zoo",
        title=f"{len(networks)} networks for the edge",
        networks=networks,
        socs=socs,
        platforms=[(each.value, _TITLES[each]) for each in Platform],
        charts=[(soc, chart(networks, soc)) for soc in socs],
        sources=sorted({source for spec in list_models() for source in _sources(spec.published)}),
    )


def zoo_picture() -> str:
    """Return the chart of the first SoC as an SVG file that suits light and dark pages."""
    soc = load_soc(FIRST_SOC)
    return chart(list_networks([soc]), soc, alone=True) + "\n"


def _socs() -> list[str]:
    """Return the names of the SoCs, the first one first."""
    return [FIRST_SOC, *(name for name in shipped_socs() if name != FIRST_SOC)]


def list_networks(socs: Sequence[SocModel]) -> list[Network]:
    """Return every network of the zoo with its published figures and its estimates for SoCs."""
    return [_network(spec, socs) for spec in list_models()]


_TITLES = {
    Platform.INTEL_CPU: "Intel CPU",
    Platform.V100: "V100 batch 1/4/8",
    Platform.SD855: "SD855 1/2/4 threads",
    Platform.SD865: "SD865 4 threads",
}


def _network(spec: ModelSpec, socs: Sequence[SocModel]) -> Network:
    published = spec.published or Published(source="")
    figure, metric = ACCURACY.get(spec.task, ACCURACY[CLASSIFICATION])
    latencies = {
        platform.value: " / ".join(
            f"{each.latency_ms:g}" for each in published.latencies if each.platform is platform
        )
        for platform in Platform
    }
    return Network(
        name=spec.name,
        family=spec.family,
        task=spec.task,
        summary=spec.summary,
        params_m=published.params_m,
        flops_m=published.flops_m,
        accuracy=getattr(published, figure),
        metric=metric,
        latencies=latencies,
        estimates={soc.name: _estimates(spec.name, soc) for soc in socs},
    )


def _estimates(name: str, soc: SocModel) -> dict[int, float]:
    count = known_count(name, Precision.FP32)
    if count is None:
        return {}
    known = sorted({one.threads for one in soc.fits if str(one.threads) in count.millions})
    return {one.threads: one.latency_ms for one in estimate(soc, count, known).estimates}


def _sources(published: Published | None) -> set[str]:
    if published is None:
        return set()
    return {published.source, *(each.source for each in published.latencies)}


class _Point(msgspec.Struct, frozen=True, kw_only=True):
    network: Network
    ms: float
    accuracy: float


def chart(networks: Sequence[Network], soc: SocModel, *, alone: bool = False) -> str:
    """Draw accuracy against estimated latency with one thread as an `<svg>` element.

    The line joins the networks that no other beats in both.

    Args:
        networks: Networks, of which classifiers with both figures are drawn.
        soc: The SoC of the estimates.
        alone: Make a file of its own, which brings colours for light and dark pages.
    """
    points = sorted(
        (
            _Point(network=one, ms=one.estimates[soc.name][1], accuracy=one.accuracy)
            for one in networks
            if one.task == "classification" and one.accuracy is not None and 1 in one.estimates[soc.name]
        ),
        key=lambda point: (point.ms, -point.accuracy),
    )
    front = pareto_front([(point.ms, point.accuracy) for point in points])
    return _draw(points, list(itertools.compress(points, front)), soc, alone=alone)


_Box = tuple[float, float, float, float]
"""Left, top, right and bottom of a text."""


def _draw(points: Sequence[_Point], front: Sequence[_Point], soc: SocModel, *, alone: bool) -> str:
    low, high = points[0].ms / 1.15, points[-1].ms * 1.3
    bottom = 5 * math.floor(min(point.accuracy for point in points) / 5)
    top = 5 * math.ceil(max(point.accuracy for point in points) / 5)

    def x(ms: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(ms / low) / math.log(high / low)

    def y(accuracy: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (accuracy - bottom) / (top - bottom)

    families = list(dict.fromkeys(point.network.family for point in points))
    parts: list[Any] = []
    for ms in (tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if low < tick < high):
        parts.append(f'<path class="grid" d="M{x(ms):.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(_text(x(ms), HEIGHT - BOTTOM + 16, f"{ms}", "middle"))
    for accuracy in range(bottom, top + 1, 5):
        parts.append(f'<path class="grid" d="M{LEFT} {y(accuracy):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(_text(LEFT - 8, y(accuracy) + 4, f"{accuracy}", "end"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8,
                       f"estimated milliseconds, {soc.title}, 1 thread, fp32", "middle"))  # fmt: skip
    parts.append(f'<text transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" '
                 'text-anchor="middle">ImageNet Top-1, per cent</text>')  # fmt: skip
    line = "L".join(f"{x(point.ms):.1f} {y(point.accuracy):.1f}" for point in front)
    parts.append(f'<path class="front" d="M{line}"/>')
    for point in points:
        colour = COLOURS[families.index(point.network.family) % len(COLOURS)]
        shape = _shape(families.index(point.network.family) // len(COLOURS))
        words = f"{point.network.name}: Top-1 {point.accuracy:g} %, {point.ms:.1f} ms"
        place = f"translate({x(point.ms):.1f} {y(point.accuracy):.1f})"
        parts.append(
            f'<path fill="{colour}" transform="{place}" d="{shape}"><title>{escape(words)}</title></path>'
        )
    # The names keep off the points, the one that is named too.
    taken: list[_Box] = [
        (x(one.ms) - 5, y(one.accuracy) - 5, x(one.ms) + 5, y(one.accuracy) + 5) for one in points
    ]
    for point in reversed(front):
        name, left, base = point.network.name, x(point.ms), y(point.accuracy)
        # Above on the left of the rising line, else below on its right.
        for end, foot, anchor in ((left - 7, base - 6, "end"), (left + 8, base + 11, "start")):
            start = end - LETTER * len(name) if anchor == "end" else end
            box = (start, foot - LINE, start + LETTER * len(name), foot)
            if box[0] > LEFT and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                parts.append(_text(end, foot, name, anchor))
                break
    for number, family in enumerate(families):
        column, row = divmod(number, 5)
        left, at = WIDTH - RIGHT - 250 + 130 * column, HEIGHT - BOTTOM - 92 + 18 * row
        colour = COLOURS[number % len(COLOURS)]
        place = f"translate({left} {at - 4})"
        parts.append(f'<path fill="{colour}" transform="{place}" d="{_shape(number // len(COLOURS))}"/>')
        parts.append(_text(left + 10, at, family, "start"))
    style = f"<style>{_STYLE}</style>" if alone else ""
    name = f"Accuracy against latency on {soc.title}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="zoo" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(name)}">{style}{"".join(parts)}</svg>'
    )


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


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
