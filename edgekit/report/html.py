"""HTML page of results: headlines, leaderboard, plots, verdicts, samples, tables and environments."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import msgspec

from edgekit.core.measurement import Result
from edgekit.report.canvas import Plot
from edgekit.report.contradictions import estimate_table
from edgekit.report.grid import MARK, Table
from edgekit.report.headlines import headlines
from edgekit.report.leaderboard import MAX_ROWS, UNDOUBTED, leaderboard, outcome, outcomes
from edgekit.report.names import place, point_names
from edgekit.report.panels import sample_plots
from edgekit.report.plots import accuracy_plots, scaling_plots
from edgekit.report.rows import Row, reason
from edgekit.report.surroundings import artifacts, surroundings
from edgekit.report.tables import published_tables
from edgekit.report.template import SORTING, load_template

TEMPLATE = Path(__file__).parent / "page.html.j2"
MAX_ENVIRONMENTS = 50
MAX_VERDICTS = 1000
MAX_HEADLINES = 60
# More names than these in the page's heading are counted.
MAX_NAMED = 3


def as_html(results: Sequence[Result], rows: Sequence[Row], *, published: bool) -> str:
    """Render the page; with `published` the tables in the published layout are unfolded.

    Raises:
        ToolError: jinja2 is not installed.
    """
    template = load_template(TEMPLATE, script=SORTING)
    names = point_names(rows)
    listed = sorted(zip(rows, names, strict=True), key=lambda one: outcome(one[0]) in UNDOUBTED)
    listed = listed[:MAX_VERDICTS]
    anchors = {row.number for row, _ in listed}
    undoubted = [one for one in listed if outcome(one[0]) in UNDOUBTED]
    samples, samples_left_out = sample_plots(results, rows, names)
    scaling, scaling_left_out = scaling_plots(rows)
    heads = headlines(rows)
    return template.render(
        heading=_heading(rows, results),
        summary=_summary(results, rows),
        anchors=anchors,
        headlines=heads[:MAX_HEADLINES],
        headlines_left_out=max(0, len(heads) - MAX_HEADLINES),
        leaderboard=leaderboard(rows, limit=MAX_ROWS),
        estimates=estimate_table(rows),
        plots=[_with_links(plot, anchors) for plot in (*accuracy_plots(rows), *scaling)],
        plots_left_out=scaling_left_out,
        samples=samples,
        samples_left_out=samples_left_out,
        doubtful=_groups(listed[: len(listed) - len(undoubted)]),
        undoubted=_groups(undoubted),
        undoubted_count=outcomes(row for row, _ in undoubted),
        verdicts_left_out=max(0, len(rows) - MAX_VERDICTS),
        tables=[_briefly(table) for table in published_tables(rows, published=published)],
        tables_open=published,
        surroundings=[surroundings(result) for result in results[:MAX_ENVIRONMENTS]],
        environments_left_out=max(0, len(results) - MAX_ENVIRONMENTS),
        artifacts=artifacts(results),
    )


class _Group(msgspec.Struct, frozen=True, kw_only=True):
    """Points with one verdict for the same reasons, by number and name."""

    word: str
    reasons: str
    points: tuple[tuple[int, str], ...]


def _groups(listed: Iterable[tuple[Row, str]]) -> list[_Group]:
    found: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for row, name in listed:
        found.setdefault((outcome(row), row.reasons or reason(row)), []).append((row.number, name))
    return [
        _Group(word=word, reasons=reasons, points=tuple(points)) for (word, reasons), points in found.items()
    ]


def _with_links(plot: Plot, anchors: Collection[int]) -> Plot:
    """Remove the links to points that are not among the page's verdicts."""

    def kept(found: re.Match[str]) -> str:
        return found[0] if int(found[1]) in anchors else f"<g>{found[2]}</g>"

    svg = re.sub(r'<a href="#p(\d+)"[^>]*>(.*?)</a>', kept, plot.svg)
    return msgspec.structs.replace(plot, svg=svg)


def _briefly(table: Table) -> Table:
    """Replace table notes that the page's verdicts repeat in full by one note."""
    notes = [note for note in table.notes if not note.startswith((MARK, "skipped:", "failed:"))]
    if len(notes) < len(table.notes):
        notes.insert(0, "the reasons for what is not valid, skipped or failed stand under Verdicts")
    return msgspec.structs.replace(table, notes=tuple(notes))


def _heading(rows: Sequence[Row], results: Sequence[Result]) -> str:
    """Return `PPLCNet_x1_0 on SM8150`; more than a few names are counted."""
    models = _named((row.model for row in rows), "models")
    # A point of a GPU engine that did not run knows no GPU.
    known = [row for row in rows if row.processes] or rows
    machines = _named(
        (f"EMULATED {place(row)}" if row.emulated else place(row) for row in known), "machines"
    ) or _named((one.target.soc or one.target.serial for one in results), "machines")
    return f"{models or 'No points'} on {machines}" if machines else models or "No points"


def _named(names: Iterable[str], many: str) -> str:
    distinct = list(dict.fromkeys(names))
    return ", ".join(distinct) if len(distinct) <= MAX_NAMED else f"{len(distinct)} {many}"


def _summary(results: Sequence[Result], rows: Sequence[Row]) -> str:
    """Summarise the page as `2 result files, 5 points: 3 valid, 1 unstable, 1 skipped`."""
    counts, points = outcomes(rows), len(rows)
    text = f"{len(results)} result file{'s' * (len(results) != 1)}, {points} point{'s' * (points != 1)}"
    return f"{text}: {counts}" if counts else text
