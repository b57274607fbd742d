"""`edgekit estimate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import IntList, echo_json, echo_table, json_option, no_install_option, note

if TYPE_CHECKING:
    from edgekit.core.spec import Precision
    from edgekit.estimate.estimate import EstimateReport
    from edgekit.estimate.soc_model import NetworkCount, SocModel
    from edgekit.report.grid import Table


@click.command()
@click.argument("name", required=False, metavar="[NAME]")
@click.option(
    "--soc", default="sd855", show_default=True, metavar="SOC", help="sd855, or a file written by --fit."
)
@click.option("--threads", type=IntList(),
              help="Threads of the engine.  [default: all that SOC's model and the counts know]")  # fmt: skip
@click.option("--precision", type=click.Choice(("fp32", "fp16", "int8")), default="fp32", show_default=True,
              help="Precision of the artifact.")  # fmt: skip
@click.option("--count", "count_now", is_flag=True,
              help="Count the exported model's instructions now, on a virtual device.")  # fmt: skip
@click.option("--fit", "fit_files", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
              help="Fit a model to results measured on your phone; repeatable.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="File for the model of --fit, to be given to --soc.")  # fmt: skip
@click.option("--virtual-soc", metavar="SOC",
              help="Chip of `virtual socs` that resembles your phone; for --fit and --count.")  # fmt: skip
@no_install_option
@json_option
def command(
    name: str | None,
    soc: str,
    threads: tuple[int, ...] | None,
    precision: str,
    count_now: bool,
    fit_files: tuple[Path, ...],
    output: Path | None,
    virtual_soc: str | None,
    no_install: bool,
    as_json: bool,
) -> int:
    """Estimate the latency of Paddle Lite on a phone from exact instruction counts, without the phone."""
    import msgspec

    from edgekit.core.spec import Precision
    from edgekit.estimate.estimate import estimate
    from edgekit.estimate.soc_model import load_soc

    if output is not None and not fit_files:
        raise click.UsageError("-o goes with --fit")
    if name is None and (count_now or not (fit_files and output)):
        raise click.UsageError("which model? Give its NAME, or --fit FILE -o FILE alone")
    if virtual_soc is not None and not (fit_files or count_now):
        raise click.UsageError("--virtual-soc goes with --fit or --count")
    model = _fit(fit_files, output, virtual_soc) if fit_files else load_soc(soc)
    if virtual_soc is not None:
        model = msgspec.structs.replace(model, virtual_soc=virtual_soc)
    if name is None:
        return 0
    threads = threads or tuple(fit.threads for fit in model.fits)
    count = _count(name, model, Precision(precision), threads, count_now=count_now, install=not no_install)
    report = estimate(model, count, threads)
    if as_json:
        echo_json(report)
    else:
        echo_table(_render(report, model))
    return 0


def _fit(files: tuple[Path, ...], output: Path | None, virtual_soc: str | None) -> SocModel:
    import msgspec

    from edgekit._files import write_atomic
    from edgekit.bench.results import load_result
    from edgekit.estimate.fit import fit_results

    name = output.stem if output else "fitted"
    model = fit_results([load_result(path) for path in files], name, virtual_soc=virtual_soc)
    if output is not None:
        # TOML has no null.
        known = {name: value for name, value in msgspec.to_builtins(model).items() if value is not None}
        write_atomic(output, msgspec.toml.encode(known))
        note(f"model of {model.title}: {output}")
    return model


def _count(
    name: str,
    soc: SocModel,
    precision: Precision,
    threads: tuple[int, ...],
    *,
    count_now: bool,
    install: bool,
) -> NetworkCount:
    from edgekit._files import scratch_directory
    from edgekit.bench.sweep import Progress, describe
    from edgekit.errors import InputError
    from edgekit.estimate.estimate import count_network, counting_commands, exported, known_count

    subject = exported(name)
    if not count_now:
        known = known_count(subject or name, precision)
        if known is not None:
            return known
    if subject is None or not count_now:
        why = "nothing is exported here to count" if count_now else "its instructions are not known"
        raise InputError(
            f"estimating {name} at {precision.value}: {why}",
            hint=counting_commands(name, subject, precision),
        )

    def show(step: Progress) -> None:
        if step.instructions is not None:
            note(describe(step))

    with scratch_directory("count") as work:
        return count_network(
            subject,
            soc,
            precision=precision,
            threads=threads,
            work=Path(work),
            show=show,
            install=install,
        )


def _render(report: EstimateReport, soc: SocModel) -> Table:
    from edgekit.estimate.estimate import FAR
    from edgekit.report.grid import Table, threads_words

    rows = tuple(
        (
            str(one.threads),
            f"{one.latency_ms:.2f}",
            f"{one.low_ms:.2f} to {one.high_ms:.2f}",
            f"{one.instructions_millions:.2f} M",
        )
        for one in report.estimates
    )
    intervals = {one.interval: None for one in report.estimates}
    reasons = {
        **{f"interval: {interval}{_at(report, interval)}": None for interval in intervals},
        **dict.fromkeys(
            reason for one in report.estimates for reason in one.reasons if not reason.startswith(FAR)
        ),
    }
    far = [
        f"{threads_words(one.threads)} {reason.removeprefix(FAR)}"
        for one in report.estimates
        for reason in one.reasons
        if reason.startswith(FAR)
    ]
    if far:
        reasons[FAR + "; ".join(far)] = None
    title = f"{report.model} {report.precision} on {soc.title}, Paddle Lite: estimated"
    if report.network not in (None, report.model):
        reasons[f"counted on {report.network}, the same network"] = None
    notes = (*reasons, f"counted with {report.runtime}", f"fitted to {report.source}")
    header = ("Threads", "estimated ms", "interval", "instructions")
    return Table(title=title, header=header, rows=rows, notes=notes)


def _at(report: EstimateReport, interval: str) -> str:
    """Name the numbers of threads that an interval applies to, where others have another interval."""
    having = [str(one.threads) for one in report.estimates if one.interval == interval]
    return "" if len(having) == len(report.estimates) else f" (threads: {', '.join(having)})"
