"""`edgekit compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import Percentage, json_option
from edgekit.cli.output import echo_json, echo_table, note
from edgekit.errors import GateError

if TYPE_CHECKING:
    from edgekit.judge.compare import Comparison
    from edgekit.report.grid import Table

MEASURE = "ms: lower quartile of a process, median over the processes; other work disturbs it least"
FAMILY = (
    "slower: in 95 of 100 comparisons of equal results no point is called so, however many there are; "
    "faster: likewise"
)
FAIL_ABOVE = 0.03
NO_DRIFT = "machine -: no fixed workload ran beside both, so its drift is not known"


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--fail-above", type=Percentage(),
              help="Slowdown from which the exit code is 9.  [default: 3%; with --counts 0.5%]")  # fmt: skip
@click.option("--counts", is_flag=True,
              help="Compare instruction counts, sizes and accuracies, which are exact.")  # fmt: skip
@click.option("--markdown", is_flag=True, help="A Markdown table, e.g. for a comment (with --counts).")
@click.option("--anyway", is_flag=True, help="Compare although model, engine or device differ.")
@json_option
def command(
    old: Path,
    new: Path,
    fail_above: float | None,
    counts: bool,
    markdown: bool,
    anyway: bool,
    as_json: bool,
) -> int:
    """Compare the result file NEW with OLD, point by point, and say what differs between them.

    With --counts each is a result file of a virtual device, a manifest.json, a document of eval, or a
    directory of such files, and what does not vary between runs is compared.
    """
    if counts:
        if anyway or (markdown and as_json):
            raise click.UsageError("--counts does not go with --anyway, nor --markdown with --json")
        return _compare_exactly(old, new, fail_above, markdown=markdown, as_json=as_json)
    if markdown:
        raise click.UsageError("--markdown is for --counts")
    fail_above = FAIL_ABOVE if fail_above is None else fail_above
    from edgekit.bench.results import load_result
    from edgekit.judge.compare import compare
    from edgekit.judge.gate import Change

    report = compare(load_result(old), load_result(new), threshold=fail_above, anyway=anyway)
    found = report.points
    if as_json:
        echo_json(report)
    else:
        echo_table(_render(found))
    for one_sided in report.not_compared:
        note(f"not compared: {one_sided}")
    noisy = [one for one in found if one.change is Change.TOO_NOISY]
    if noisy:
        note(f"{len(noisy)} of {len(found)} points: too noisy to tell")
    slower = [one for one in found if one.change is Change.SLOWER]
    if slower:
        raise GateError(
            f"comparing {new} with {old}: {len(slower)} of {len(found)} points are slower by more than "
            f"{fail_above:.1%}; {slower[0].model} by {slower[0].reason}",
            hint="edgekit profile NAME shows where the time goes",
        )
    if report.failed:
        raise GateError(
            f"comparing {new} with {old}: {len(report.failed)} of its points failed: {report.failed[0]}",
            hint=f"edgekit report {new} says why",
        )
    return 0


def _compare_exactly(old: Path, new: Path, fail_above: float | None, *, markdown: bool, as_json: bool) -> int:
    from edgekit.evaluate.exact import read_quantities
    from edgekit.judge.exact import DEFAULT_THRESHOLD, compare_exactly, exact_table

    threshold = DEFAULT_THRESHOLD if fail_above is None else fail_above
    report = compare_exactly(read_quantities(old), read_quantities(new), threshold)
    if as_json:
        echo_json(report)
    elif markdown:
        from edgekit.report.text import as_markdown

        click.echo(as_markdown([exact_table(report)]))
    else:
        echo_table(exact_table(report))
    worse = report.regressions
    if worse:
        raise GateError(
            f"comparing {new} with {old}: {len(worse)} of {len(report.changes)} figures are worse or gone: "
            f"{worse[0].subject}: {worse[0].kind.value}",
            hint="the table has both values; --fail-above allows more",
        )
    return 0


def _render(found: Sequence[Comparison]) -> Table:
    from edgekit.report.grid import Table

    rows = []
    for one in found:
        ratio = one.ratio
        interval = "-" if ratio is None else f"{ratio.low - 1:+.1%} to {ratio.high - 1:+.1%}"
        machine = "-" if one.machine_ratio is None else f"{one.machine_ratio.estimate - 1:+.1%}"
        exact = "-" if one.instruction_ratio is None else f"{one.instruction_ratio - 1:+.2%}"
        rows.append(
            (
                f"{one.model}, {one.configuration}",
                "-" if one.old_ms is None else f"{one.old_ms:.2f}",
                "-" if one.new_ms is None else f"{one.new_ms:.2f}",
                "-" if ratio is None else f"{ratio.estimate - 1:+.1%}",
                interval,
                machine,
                exact,
                f"{one.change.value} ({one.reason})",
            )
        )
    header = ("Point", "old ms", "new ms", "change", "95 % interval", "machine", "instructions", "verdict")
    notes = _differences(found)
    timed = [one for one in found if one.old_ms is not None]
    measured = (MEASURE, FAMILY) if timed else ()
    if any(one.machine_ratio is None for one in timed):
        measured = (*measured, NO_DRIFT)
    return Table(
        title="New against old",
        header=header,
        rows=tuple(rows),
        notes=(*measured, *notes),
        words=(0, len(header) - 1),
    )


def _differences(found: Sequence[Comparison]) -> list[str]:
    """Describe each difference once, with its point where the others do not share it.

    Loads differ between all points; the largest change stands for them.
    """
    points: dict[str, list[str]] = {}
    for one in found:
        for difference in one.differences:
            points.setdefault(difference, []).append(f"{one.model}, {one.configuration}")
    loads = [difference for difference in points if difference.startswith("load ")]
    notes = []
    for difference, where in points.items():
        if difference in loads and difference != max(loads, key=_change):
            continue
        named = where[0] if len(where) == 1 else f"{len(where)} points"
        notes.append(f"differs: {difference}" + (f" ({named})" if len(where) < len(found) else ""))
    return notes


def _change(load: str) -> float:
    """Return by how much a load changes, of `load 8.6 -> 10.1`."""
    _, before, _, after = load.split()
    return abs(float(after) - float(before))
