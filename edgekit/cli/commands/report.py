"""`edgekit report`."""

from __future__ import annotations

import contextlib
import gc
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.output import note, terminal_width
from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.core.measurement import Result
    from edgekit.report.accuracy import MeasuredAccuracy
    from edgekit.report.estimates import Estimated
    from edgekit.tasks.truth.evaluation import Evaluation

FORMATS = ("table", "csv", "md", "json", "html")


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE|DIR...", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True,
              help="Format of the report on stdout.")  # fmt: skip
@click.option("--published", is_flag=True, help="Show the published latencies beside the measured ones.")
@click.option("--complete", is_flag=True, help="Exit with code 3 unless every point is done or was skipped.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write the report to this file instead.")  # fmt: skip
def command(files: tuple[Path, ...], form: str, published: bool, complete: bool, output: Path | None) -> int:
    """Show result FILEs of bench in the layout of the published tables.

    Accuracy of the same artifacts in result FILEs of eval is shown beside the published one, and a phone's
    latencies beside what `estimate --json` wrote about them. A DIR means every result in it. A table wider
    than the terminal continues below.
    """
    with _uncollected():
        return _report(files, form, published=published, complete=complete, output=output)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Pause the collector of cycles, which would walk all samples of hundreds of files again and again.

    Results form no cycles: their last reference frees them. Neither does the collector walk them, or the
    drawing library, when the command has ended.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.freeze()
            gc.enable()


def _report(files: Sequence[Path], form: str, *, published: bool, complete: bool, output: Path | None) -> int:
    from edgekit._files import write_atomic

    results, evaluations, estimates = _load(files)
    if not results:
        if estimates:
            raise InputError(
                f"reading {', '.join(map(str, files))}: estimates without a result of bench to compare",
                hint="edgekit bench NAME --device PHONE --engine paddlelite",
            )
        text = _render_accuracy(evaluations, form)
    else:
        if evaluations and form == "table" and not published:
            note("accuracy is shown with --published or another --format")
        accuracies = [one for evaluation in evaluations.values() for one in _accuracies(evaluation)]
        text = _render(results, accuracies, estimates, form, published=published)
    if output is None:
        click.echo(text)
    else:
        write_atomic(output, text.encode() + b"\n")
    if complete:
        _check_complete(results)
    return 0


def _load(
    files: Sequence[Path],
) -> tuple[dict[Path, Result], dict[Path, Evaluation], list[Estimated]]:
    """Load results of bench and of eval, and estimates, from files or directories.

    Other documents of a directory are noted on stderr.
    """
    from edgekit._files import RESULT_BYTES, read_bytes
    from edgekit.bench.results import load_results
    from edgekit.report.timings import compact

    evaluations: dict[Path, Evaluation] = {}
    estimates: dict[Path, list[Estimated]] = {}

    def take(path: Path) -> bool:
        content = read_bytes(path, "the result file", most_bytes=RESULT_BYTES)
        if evaluation := _read_evaluation(content):
            evaluations[path] = evaluation
        elif found := _read_estimates(content):
            estimates[path] = found
        return path in evaluations or path in estimates

    benches = [path for path in files if not (path.is_file() and take(path))]
    found = load_results(benches, keep=compact)
    for path in found.others:
        if not take(path):
            note(f"{path} is no result of bench or eval: left out")
    if not (found.results or evaluations or estimates):
        named = ", ".join(map(str, files))
        raise InputError(f"looking for result files in {named}: none in it", hint="edgekit bench")
    _check_estimates(found.results, estimates)
    return found.results, evaluations, [one for own in estimates.values() for one in own]


def _check_estimates(results: Mapping[Path, Result], estimates: Mapping[Path, list[Estimated]]) -> None:
    """Refuse estimates where nothing says to which machine they belong."""
    socs = sorted({one.soc for own in estimates.values() for one in own})
    phones = {one.target.serial for one in results.values() if one.target.transport != "local"}
    if len(socs) > 1 or (socs and len(phones) > 1):
        raise InputError(
            f"comparing estimates for {', '.join(socs)} with results of {len(phones)} devices: "
            "which estimate belongs to which device is not known",
            hint="edgekit report RESULT ESTIMATE, of one device and of one SoC",
        )


def _render_accuracy(evaluations: Mapping[Path, Evaluation], form: str) -> str:
    """Render results of eval without results of bench."""
    from edgekit.report.text import as_markdown, as_text

    if form == "html":
        from edgekit.pages.accuracy import accuracy_page

        return accuracy_page(list(evaluations.items()))
    tables = [table for one in evaluations.values() for table in one.tables()]
    if form == "md":
        return as_markdown(tables)
    if form == "table":
        return as_text(tables, width=terminal_width())
    names = ", ".join(map(str, evaluations))
    raise InputError(
        f"reading {names}: no result of bench among them, and {form} has a row for each point of one",
        hint=f"edgekit report {shlex.join(map(str, evaluations))} --format html -o accuracy.html",
    )


def _read_evaluation(content: bytes) -> Evaluation | None:
    """Return a document of eval; None for any other document."""
    # A result of bench is large, and is read again later.
    if b'"list_sha256"' not in content:
        return None
    from edgekit.evaluate.documents import read_evaluation

    return read_evaluation(content)


def _read_estimates(content: bytes) -> list[Estimated]:
    """Return the estimates of a document of `estimate --json`; none for any other document."""
    import msgspec

    from edgekit.report.estimates import Estimated

    if b'"instructions_millions"' not in content:
        return []
    from edgekit.estimate.estimate import EstimateReport

    try:
        found = msgspec.json.decode(content, type=EstimateReport | list[EstimateReport])
    except (msgspec.DecodeError, ValueError):
        return []
    return [
        Estimated(
            soc=report.soc,
            model=report.model,
            precision=report.precision,
            threads=one.threads,
            latency_ms=one.latency_ms,
            low_ms=one.low_ms,
            high_ms=one.high_ms,
        )
        for report in ([found] if isinstance(found, EstimateReport) else found)
        for one in report.estimates
    ]


def _accuracies(result: Evaluation) -> list[MeasuredAccuracy]:
    from edgekit.report.accuracy import MeasuredAccuracy

    return [
        MeasuredAccuracy(
            model=result.model,
            engine=route.engine,
            precision=route.precision,
            artifact_sha256=route.artifact.sha256,
            pictures=result.pictures,
            list_path=result.list_path,
            figures={name: 100 * figure for name, figure in figures.items() if figure is not None},
        )
        for route, figures in zip(result.routes, result.accuracies(), strict=True)
    ]


def _render(
    results: Mapping[Path, Result],
    accuracies: Sequence[MeasuredAccuracy],
    estimates: Sequence[Estimated],
    form: str,
    *,
    published: bool,
) -> str:
    from edgekit.report.contradictions import estimate_table
    from edgekit.report.formats import as_csv, as_json
    from edgekit.report.headlines import headline_table
    from edgekit.report.leaderboard import leaderboard
    from edgekit.report.rows import result_rows
    from edgekit.report.table import latency_table
    from edgekit.report.tables import published_tables
    from edgekit.report.text import as_markdown, as_text

    if form == "table" and not published:
        width = terminal_width()
        parts = [latency_table(one, width=width, file=path) for path, one in results.items()]
        if estimates and (beside := estimate_table(result_rows(results.values(), (), estimates))):
            parts.append(as_text([beside], width=width))
        return "\n\n".join(parts)
    rows = result_rows(results.values(), accuracies, estimates)
    if form == "csv":
        return as_csv(rows)
    if form == "json":
        return as_json(rows)
    if form == "html":
        from edgekit.report.html import as_html

        return as_html(tuple(results.values()), rows, published=published)
    tables = published_tables(rows, published=published)
    if beside := estimate_table(rows):
        tables = [beside, *tables]
    if not tables:
        return "No points."
    if form == "md":
        return as_markdown([headline_table(rows), leaderboard(rows), *tables])
    return as_text(tables, width=terminal_width())


def _check_complete(results: Mapping[Path, Result]) -> None:
    from edgekit.core.measurement import Status

    for path, result in results.items():
        left = [point for point in result.points if point.status not in (Status.DONE, Status.SKIPPED)]
        if left or not result.points:
            point = f"{left[0].model} on {left[0].engine} is {left[0].status.value}" if left else "no points"
            hint = shlex.join(["edgekit", "bench", "--resume", str(path)])
            raise InputError(f"reading {path}: not complete: {point}", hint=hint)
