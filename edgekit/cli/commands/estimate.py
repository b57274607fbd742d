"""`edgekit estimate`."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from edgekit.cli.options import IntList, WordList, json_option, no_install_option, precision_option
from edgekit.cli.output import echo_json, echo_table, note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgekit.core.spec import Precision
    from edgekit.estimate.estimate import EstimateReport
    from edgekit.estimate.soc_model import NetworkCount, SocModel
    from edgekit.report.grid import Table


@click.command()
@click.argument("names", required=False, nargs=-1, metavar="[NAME | RESULT...]")
@click.option("--soc", "socs", type=WordList(), default="sd855", show_default=True, metavar="SOC,...",
              help="SoCs of `choose --list-socs`, or files written by --fit and --adapt.")  # fmt: skip
@click.option("--threads", type=IntList(),
              help="Threads of the engine.  [default: all that SOC's model and the counts know]")  # fmt: skip
@precision_option
@click.option("--count", "count_now", is_flag=True,
              help="Count the exported model's instructions now, on a virtual device.")  # fmt: skip
@click.option("--fit", "fit_files", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
              help="Fit a model to results measured on your phone; repeatable.")  # fmt: skip
@click.option("--adapt", "base", metavar="SOC",
              help="Adapt SOC's model, or that of the nearest (auto), to the RESULT files of one to three "
              "networks measured on your phone.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="File for the model of --fit or --adapt, to be given to --soc.")  # fmt: skip
@click.option("--virtual-soc", metavar="SOC",
              help="Chip of `virtual socs` that resembles your phone; for --fit and --count.")  # fmt: skip
@no_install_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    names: tuple[str, ...],
    socs: tuple[str, ...],
    threads: tuple[int, ...] | None,
    precision: str,
    count_now: bool,
    fit_files: tuple[Path, ...],
    base: str | None,
    output: Path | None,
    virtual_soc: str | None,
    no_install: bool,
    as_json: bool,
) -> int:
    """Estimate the latency of Paddle Lite on a phone from exact instruction counts, without the phone.

    Several SoCs make one table; --json is then a list of the documents.
    """
    import msgspec

    from edgekit.core.spec import Precision
    from edgekit.estimate.estimate import estimate
    from edgekit.estimate.soc_model import load_soc

    typed = {
        name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    if base is not None:
        return _adapt(names, output, base, other=bool(typed - {"names", "base", "output"}))
    if len(names) > 1:
        raise click.UsageError(f"one NAME, not {len(names)}: {', '.join(names)}")
    name = names[0] if names else None
    if output is not None and not fit_files:
        raise click.UsageError("-o goes with --fit or --adapt")
    if name is None and (count_now or not (fit_files and output)):
        raise click.UsageError("which model? Give its NAME, or --fit FILE -o FILE alone")
    if fit_files and "socs" in typed:
        raise click.UsageError("--fit makes a model in the place of --soc's: leave one of them out")
    if name is None and typed & {"threads", "precision", "as_json"}:
        raise click.UsageError("--threads, --precision and --json are for an estimate: give a NAME too")
    if virtual_soc is not None and not (fit_files or count_now):
        raise click.UsageError("--virtual-soc goes with --fit or --count")
    models = [_fit(fit_files, output, virtual_soc)] if fit_files else [load_soc(soc) for soc in socs]
    if virtual_soc is not None:
        models = [msgspec.structs.replace(model, virtual_soc=virtual_soc) for model in models]
    if name is None:
        return 0
    if count_now and len({model.kernels(precision) or model.virtual_soc for model in models}) > 1:
        raise click.UsageError(
            "--count counts for one virtual device: SoCs that have several cannot be mixed"
        )
    for model in models:
        model.require(precision)
    asked = {model.name: threads or model.threads(precision) for model in models}
    most = tuple(dict.fromkeys(number for each in asked.values() for number in each))
    kernels = {model.kernels(precision): model for model in models}
    counts = {
        each: _count(name, model, Precision(precision), most, count_now=count_now, install=not no_install)
        for each, model in kernels.items()
    }
    reports = [estimate(model, counts[model.kernels(precision)], asked[model.name]) for model in models]
    if as_json:
        echo_json(reports if len(reports) > 1 else reports[0])
    else:
        echo_table(_render(reports, models))
    return 0


def _adapt(files: tuple[str, ...], output: Path | None, base: str, *, other: bool) -> int:
    from edgekit.bench.results import load_result
    from edgekit.estimate.fit import adapt_results
    from edgekit.estimate.soc_model import write_soc

    if other:
        raise click.UsageError("--adapt goes with RESULT files and -o alone")
    if not files or output is None:
        raise click.UsageError("--adapt SOC takes one or more RESULT files and -o FILE.toml")
    model = adapt_results([load_result(Path(file)) for file in files], output.stem, base)
    write_soc(output, model)
    note(f"model of {model.title}, adapted from {model.adapted_from}: {output}")
    return 0


def _fit(files: tuple[Path, ...], output: Path | None, virtual_soc: str | None) -> SocModel:
    from edgekit.bench.results import load_result
    from edgekit.estimate.fit import fit_results
    from edgekit.estimate.soc_model import write_soc

    name = output.stem if output else "fitted"
    model = fit_results([load_result(path) for path in files], name, virtual_soc=virtual_soc)
    if output is not None:
        write_soc(output, model)
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
    from edgekit.estimate.count import count_network
    from edgekit.estimate.estimate import counting_commands, exported, known_count

    subject = exported(name)
    if not count_now:
        known = known_count(subject or name, precision, soc.kernels(precision.value))
        if known is not None:
            return known
    if subject is None or not count_now:
        why = "nothing is exported here to count" if count_now else "its instructions are not known"
        raise InputError(
            f"estimating {name} at {precision.value}: {why}",
            hint=counting_commands(name, subject, precision, soc),
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


def _render(reports: Sequence[EstimateReport], socs: Sequence[SocModel]) -> Table:
    from edgekit.estimate.estimate import FAR
    from edgekit.report.grid import Table, threads_words

    several = len(reports) > 1
    rows, far, said = [], [], defaultdict(list)
    for report, soc in zip(reports, socs, strict=True):
        rows += [
            (
                *((soc.title,) if several else ()),
                str(one.threads),
                f"{one.latency_ms:.2f}",
                f"{one.low_ms:.2f} to {one.high_ms:.2f}",
                f"{one.instructions_millions:.2f} M",
            )
            for one in report.estimates
        ]
        for interval in {one.interval: None for one in report.estimates}:
            said[f"interval: {interval}{_at(report, interval)}"].append(soc.title)
        reasons = {(one.threads, reason): None for one in report.estimates for reason in one.reasons}
        for threads, reason in reasons:
            if reason.startswith(FAR):
                far.append(f"{threads_words(threads)} {reason.removeprefix(FAR)}")
            elif soc.title not in said[reason]:
                said[reason].append(soc.title)
    notes = [
        reason if len(titles) == len(reports) else f"{', '.join(titles)}: {reason}"
        for reason, titles in said.items()
    ]
    if far:
        notes.append(FAR + "; ".join(dict.fromkeys(far)))
    first = reports[0]
    where = "" if several else f" on {socs[0].title}"
    title = f"{first.model} {first.precision}{where}, Paddle Lite: estimated"
    if first.network not in (None, first.model):
        notes.append(f"counted on {first.network}, the same network")
    notes.append(f"counted with {first.runtime}")
    notes += dict.fromkeys(f"fitted to {report.source}" for report in reports)
    header = ("Threads", "estimated ms", "interval", "instructions")
    return Table(
        title=title, header=("SoC", *header) if several else header, rows=tuple(rows), notes=tuple(notes)
    )


def _at(report: EstimateReport, interval: str) -> str:
    """Name the numbers of threads that an interval applies to, where others have another interval."""
    having = [str(one.threads) for one in report.estimates if one.interval == interval]
    return "" if len(having) == len(report.estimates) else f" (threads: {', '.join(having)})"
