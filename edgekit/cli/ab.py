"""`edgekit bench --ab A B`: what of bench's options it takes, and how its answer is shown."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from edgekit.cli.options import echo_json, note
from edgekit.cli.targets import find_subjects, parse_engine_options

if TYPE_CHECKING:
    from edgekit.bench.ab import AbReport

TAKEN = (
    "names", "ab", "host", "engines", "precisions", "threads", "batch_sizes", "cores", "processes",
    "engine_options", "no_install", "as_json",
)  # fmt: skip


def bench_ab(ctx: click.Context) -> int:
    """Run it with the parameters that bench was called with; refuse those that it would ignore."""
    from edgekit.bench.ab import AbOptions, run_ab
    from edgekit.bench.bench import resolve_cores
    from edgekit.core.spec import Precision
    from edgekit.parity.reference import References
    from edgekit.targets.target import HostTarget

    asked = ctx.params
    for name in asked:
        if name not in TAKEN and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--ab does not go with --{name.replace('_', '-')}")
    if not asked["host"] or len(asked["names"]) != 2:
        raise click.UsageError("--ab compares two models on this machine: edgekit bench --host --ab A B")
    engines = asked["engines"] or ("paddle",)
    if max(len(asked[name] or ()) for name in ("engines", "precisions", "threads", "batch_sizes")) > 1:
        raise click.UsageError("--ab takes one engine, precision, number of threads and batch size")
    # Two equal names are A against A, the control of the control.
    a, b = (find_subjects([name])[0] for name in asked["names"])
    with contextlib.closing(HostTarget(install=not asked["no_install"])) as target:
        options = AbOptions(
            engine=engines[0],
            precision=Precision(asked["precisions"][0]),
            threads=asked["threads"][0],
            batch_size=asked["batch_sizes"][0],
            cores=resolve_cores(target.info, asked["cores"]),
            options=parse_engine_options(asked["engine_options"]),
            trios=asked["processes"],
        )
        report = run_ab(target, a, b, options, references=References(target), show=note)
    if asked["as_json"]:
        echo_json(report)
    else:
        click.echo(_render(report))
    return 0


def _render(report: AbReport) -> str:
    from edgekit.report.formats import as_text
    from edgekit.report.grid import Table

    rows = tuple(
        (name, f"{one.estimate - 1:+.2%}", f"{one.low - 1:+.2%} to {one.high - 1:+.2%}")
        for name, one in (("B over A", report.ratio), ("A over A (control)", report.control))
    )
    title = ", ".join(
        f"{name} {side.model} {side.median_ms:.2f} ms" for name, side in (("A", report.a), ("B", report.b))
    )
    notes = (f"B is {report.change.value}: {report.reason}", *report.doubts)
    return as_text([Table(title=title, header=("", "change", "95 % interval"), rows=rows, notes=notes)])
