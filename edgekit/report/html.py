"""One self-contained HTML page: tables, plots, verdicts, environments; nothing is fetched from elsewhere."""

from __future__ import annotations

import base64
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit.core.measurement import Environment, Result
from edgekit.errors import ToolError
from edgekit.report.rows import Row, machine_name
from edgekit.report.tables import published_tables

TEMPLATE = Path(__file__).parent / "page.html.j2"
MAX_ENVIRONMENTS = 50


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """A picture with its words; `source` is a data URI."""

    title: str
    text: str
    source: str


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a result's environment comes down to."""

    run_id: str
    machine: str
    system: str
    words: tuple[str, ...]


def as_html(results: Sequence[Result], rows: Sequence[Row], *, published: bool) -> str:
    """The page.

    Raises:
        ToolError: jinja2 or matplotlib is not installed.
    """
    for module in ("jinja2", "matplotlib"):
        if importlib.util.find_spec(module) is None:
            raise ToolError(
                f"making an HTML report: the package {module} is not installed",
                hint="pip install 'edgekit[report]'",
            )
    import jinja2

    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        TEMPLATE.read_text(encoding="utf-8")
    )
    return template.render(
        tables=published_tables(rows, published=published),
        plots=_plots(results, rows),
        rows=rows,
        surroundings=[_surroundings(result) for result in results[:MAX_ENVIRONMENTS]],
        left_out=max(0, len(results) - MAX_ENVIRONMENTS),
    )


def _plots(results: Sequence[Result], rows: Sequence[Row]) -> list[Plot]:
    from edgekit.report import plots

    limit = f"The first {plots.MAX_PANELS} points; name fewer files to see others."
    drawn = (
        ("Latency against accuracy", "Measured latency, published Top-1.", plots.accuracy_plot(rows)),
        ("Thread scaling", "Speed-up over the fewest threads measured.", plots.scaling_plot(rows)),
        (
            "Samples by process",
            f"Boxes are quartiles, whiskers p10 and p90. {limit}",
            plots.distribution_plot(results),
        ),
        (
            "Samples in order",
            f"One colour a process; right: highest MHz (dashed), °C (dotted). {limit}",
            plots.series_plot(results),
        ),
    )
    return [
        Plot(title=title, text=text, source=f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}")
        for title, text, svg in drawn
        if svg is not None
    ]


def _surroundings(result: Result) -> Surroundings:
    target = result.target
    environments = [
        one for point in result.points for one in (point.environment_before, point.environment_after) if one
    ]
    system = ", ".join(filter(None, (target.os, target.kernel, f"{len(target.cores)} cores")))
    return Surroundings(
        run_id=result.run_id,
        machine=("EMULATED " if target.emulated else "") + machine_name(target),
        system=system,
        words=tuple(_words(environments)),
    )


def _words(environments: Sequence[Environment]) -> list[str]:
    words = []
    loads = [one.load_1min for one in environments if one.load_1min is not None]
    if loads:
        words.append(f"load {min(loads):.1f} to {max(loads):.1f}")
    heat = [value for one in environments for value in one.temperatures_celsius.values()]
    if heat:
        words.append(f"{min(heat):.0f} to {max(heat):.0f} °C")
    governors = sorted({core.governor for one in environments for core in one.cores if core.governor})
    if governors:
        words.append(f"governor {', '.join(governors)}")
    busy = sorted({name for one in environments for name in one.busy_processes or ()})
    if busy:
        words.append(f"busy: {', '.join(busy)}")
    levels = [one.battery_percent for one in environments if one.battery_percent is not None]
    if levels:
        words.append(f"battery {min(levels)} to {max(levels)} %")
    unreadable = sorted({name for one in environments for name in one.unreadable})
    if unreadable:
        words.append(f"not readable: {', '.join(unreadable)}")
    return words
