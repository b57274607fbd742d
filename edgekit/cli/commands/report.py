"""`edgekit report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import note, terminal_width
from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.core.measurement import Result

FORMATS = ("table", "csv", "md", "json", "html")


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE|DIR...", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True,
              help="How it is shown, on stdout.")  # fmt: skip
@click.option("--published", is_flag=True, help="The publication's latencies beside the measured ones.")
@click.option("--complete", is_flag=True, help="Exit 3 unless every point is done or was skipped.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write it there instead.")  # fmt: skip
def command(files: tuple[Path, ...], form: str, published: bool, complete: bool, output: Path | None) -> int:
    """Show result FILEs of bench in the layout of the published tables.

    A DIR stands for every result of bench in it. A table goes on below where it is wider than the terminal.
    """
    from edgekit._files import write_atomic
    from edgekit.measure.results import load_results

    found = load_results(files)
    for path in found.others:
        note(f"{path} is no result of bench: left out")
    text = _render(tuple(found.results.values()), form, published=published)
    if output is None:
        click.echo(text)
    else:
        write_atomic(output, text.encode() + b"\n")
    if complete:
        _check_complete(found.results)
    return 0


def _render(results: Sequence[Result], form: str, *, published: bool) -> str:
    from edgekit.report.formats import as_csv, as_json, as_markdown, as_text
    from edgekit.report.rows import result_rows
    from edgekit.report.table import latency_table
    from edgekit.report.tables import published_tables

    if form == "table" and not published:
        return "\n\n".join(latency_table(result, width=terminal_width()) for result in results)
    rows = result_rows(results)
    if form == "csv":
        return as_csv(rows)
    if form == "json":
        return as_json(rows)
    if form == "html":
        from edgekit.report.html import as_html

        return as_html(results, rows, published=published)
    tables = published_tables(rows, published=published)
    if not tables:
        return "No points."
    return as_markdown(tables) if form == "md" else as_text(tables, width=terminal_width())


def _check_complete(results: Mapping[Path, Result]) -> None:
    from edgekit.core.measurement import Status

    for path, result in results.items():
        left = [point for point in result.points if point.status not in (Status.DONE, Status.SKIPPED)]
        if left or not result.points:
            point = f"{left[0].model} on {left[0].engine} is {left[0].status.value}" if left else "no points"
            raise InputError(f"reading {path}: not complete: {point}", hint=f"edgekit bench --resume {path}")
