"""`edgekit bench --ab A B`: the call and the display of its answer."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from edgekit.cli.output import echo_json, echo_table, note
from edgekit.cli.targets import find_subjects
from edgekit.engines.registry import bench_engine

if TYPE_CHECKING:
    from edgekit.bench.ab import AbReport
    from edgekit.core.bench_options import BenchOptions
    from edgekit.report.grid import Table


def bench_ab(options: BenchOptions, *, as_json: bool) -> int:
    """Run the comparison and show its result; options that it does not take have been refused before."""
    from edgekit.bench.ab import AbOptions, run_ab
    from edgekit.bench.bench import resolve_cores
    from edgekit.parity.reference import References
    from edgekit.targets.target import HostTarget

    if not options.host or len(options.models) != 2:
        raise click.UsageError("--ab compares two models on this machine: edgekit bench --host --ab A B")
    engines = options.engines or (bench_engine(),)
    if any(len(each) > 1 for each in (engines, options.precisions, options.threads, options.batch_sizes)):
        raise click.UsageError("--ab takes one engine, precision, number of threads and batch size")
    # With two equal names this is an A/A comparison, a control of the method.
    a, b = (find_subjects([name], anyway=options.anyway)[0] for name in options.models)
    with contextlib.closing(HostTarget(install=not options.no_install)) as target:
        asked = AbOptions(
            engine=engines[0],
            precision=options.precisions[0],
            threads=options.threads[0],
            batch_size=options.batch_sizes[0],
            cores=resolve_cores(target.info, options.cores),
            options=options.engine_options,
            trios=options.processes,
        )
        report = run_ab(target, a, b, asked, references=References(target), show=note)
    if as_json:
        echo_json(report)
    else:
        echo_table(_render(report))
    return 0


def _render(report: AbReport) -> Table:
    from edgekit.report.grid import Table

    rows = tuple(
        (name, f"{one.estimate - 1:+.2%}", f"{one.low - 1:+.2%} to {one.high - 1:+.2%}")
        for name, one in (("B over A", report.ratio), ("A over A (control)", report.control))
    )
    title = ", ".join(
        f"{name} {side.model} {side.median_ms:.2f} ms" for name, side in (("A", report.a), ("B", report.b))
    )
    notes = (f"B is {report.change.value}: {report.reason}", *report.doubts)
    return Table(title=title, header=("", "change", "95 % interval"), rows=rows, notes=notes)
