"""Self-contained HTML page of tables, plots, verdicts and environments; it loads nothing from elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from edgekit.core.measurement import Result
from edgekit.report.grid import MARK, Table
from edgekit.report.names import point_names
from edgekit.report.panels import sample_plots
from edgekit.report.plots import accuracy_plot, scaling_plots
from edgekit.report.rows import Row
from edgekit.report.surroundings import surroundings
from edgekit.report.tables import published_tables
from edgekit.report.template import load_template

TEMPLATE = Path(__file__).parent / "page.html.j2"
MAX_ENVIRONMENTS = 50
MAX_VERDICTS = 1000


def as_html(results: Sequence[Result], rows: Sequence[Row], *, published: bool) -> str:
    """Render the page.

    Raises:
        ToolError: jinja2 or matplotlib is not installed.
    """
    template = load_template(TEMPLATE, "matplotlib")
    names = point_names(rows)
    samples, samples_left_out = sample_plots(results, rows, names)
    scaling, scaling_left_out = scaling_plots(rows)
    accuracy = (accuracy_plot(rows), accuracy_plot(rows, emulated=True))
    return template.render(
        summary=_summary(results, rows),
        tables=[_briefly(table) for table in published_tables(rows, published=published)],
        plots=[*(plot for plot in accuracy if plot is not None), *scaling],
        plots_left_out=scaling_left_out,
        samples=samples,
        samples_left_out=samples_left_out,
        verdicts=_verdicts(rows, names),
        verdicts_left_out=max(0, len(rows) - MAX_VERDICTS),
        surroundings=[surroundings(result) for result in results[:MAX_ENVIRONMENTS]],
        environments_left_out=max(0, len(results) - MAX_ENVIRONMENTS),
    )


def _briefly(table: Table) -> Table:
    """Replace table notes that the page's verdicts repeat in full by one note."""
    notes = [note for note in table.notes if not note.startswith(MARK)]
    if len(notes) < len(table.notes):
        notes.insert(0, f"{MARK} not valid: the reasons stand under Verdicts")
    return msgspec.structs.replace(table, notes=tuple(notes))


def _verdicts(rows: Sequence[Row], names: Sequence[str]) -> list[tuple[str, Row]]:
    """List the verdicts in their order; where there are too many, put the doubtful ones first."""
    named = list(zip(names, rows, strict=True))
    if len(named) > MAX_VERDICTS:
        named.sort(key=lambda one: _word(one[1]) in ("valid", "emulated"))
    return named[:MAX_VERDICTS]


def _summary(results: Sequence[Result], rows: Iterable[Row]) -> str:
    """Summarise the page as `2 result files, 5 points: 3 valid, 1 unstable, 1 skipped`."""
    words = Counter(_word(row) for row in rows)
    files, points = len(results), sum(words.values())
    text = f"{files} result file{'s' * (files != 1)}, {points} point{'s' * (points != 1)}"
    counts = ", ".join(f"{count} {word}" for word, count in words.most_common())
    return f"{text}: {counts}" if counts else text


def _word(row: Row) -> str:
    """Return the word for a point in the verdicts' table."""
    return row.status if row.status in ("skipped", "failed") else row.verdict or row.status
