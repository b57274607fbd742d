"""`edgekit choose`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import Count, Number, json_option, precision_option
from edgekit.cli.output import echo_json, echo_table, note

if TYPE_CHECKING:
    from edgekit.estimate.choose import Candidate, Choice
    from edgekit.report.grid import Table


@click.command()
@click.option("--soc", default="sd855", show_default=True, metavar="SOC",
              help="SoC of --list-socs, or a file written by `estimate --fit` or `--adapt`.")  # fmt: skip
@click.option("--threads", type=Count(min=1), default=1, show_default=True,
              help="Threads of Paddle Lite.")  # fmt: skip
@precision_option
@click.option("--task", type=click.Choice(("classification", "detection", "segmentation")),
              default="classification", show_default=True, help="Task of the networks.")  # fmt: skip
@click.option("--max-ms", type=Number(min=0, min_open=True), metavar="MS",
              help="The most accurate network that is at most so slow.")  # fmt: skip
@click.option("--max-mb", type=Number(min=0, min_open=True), metavar="MB",
              help="The most accurate network whose .nb is at most so large.")  # fmt: skip
@click.option("--min-top1", "--min-accuracy", "min_accuracy", type=Number(min=0, max=100), metavar="PERCENT",
              help="The fastest network with at least this Top-1 (mAP, mIoU).")  # fmt: skip
@click.option("--also", multiple=True, metavar="NAME=PERCENT",
              help="A network of your own, counted before, with its accuracy; repeatable.")  # fmt: skip
@click.option("--results", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
              help="Results of a phone with this SoC, taken before estimates; repeatable.")  # fmt: skip
@click.option("--all", "show_all", is_flag=True, help="All networks, not the front and what fits.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write a page of the choice, accuracy against latency, and all networks.")  # fmt: skip
@click.option("--list-socs", is_flag=True, help="List the SoCs whose latency can be estimated.")
@json_option
def command(
    soc: str,
    threads: int,
    precision: str,
    task: str,
    max_ms: float | None,
    max_mb: float | None,
    min_accuracy: float | None,
    also: tuple[str, ...],
    results: tuple[Path, ...],
    show_all: bool,
    html: Path | None,
    list_socs: bool,
    as_json: bool,
) -> int:
    """Choose a network for a phone: the most accurate that is fast enough, or the fastest of an accuracy.

    Ends with 9 where no network is within the limits.
    """
    from edgekit.api.choosing import choose
    from edgekit.errors import GateError
    from edgekit.report.grid import threads_words

    if list_socs and html is not None:
        raise click.UsageError("--html shows a choice: leave --list-socs out")
    if list_socs:
        _show_socs(as_json=as_json)
        return 0
    choice = choose(
        soc,
        threads=threads,
        precision=precision,
        task=task,
        max_ms=max_ms,
        max_mb=max_mb,
        min_accuracy=min_accuracy,
        also=dict(map(_own, also)),
        results=results,
    )
    limits = _limits(choice)
    if html is not None:
        from edgekit._files import write_atomic
        from edgekit.pages.choice import choice_page

        page = choice_page(choice, _render(choice, show_all=True), limits)
        write_atomic(html, page.encode())
        note(f"{html} written")
    if as_json:
        echo_json(choice)
    else:
        echo_table(_render(choice, show_all=show_all))
    if limits and choice.best is None:
        raise GateError(
            f"choosing for {choice.title} at {threads_words(threads)}: no network of {limits}",
            hint=f"the fastest is {choice.candidates[0].model}: edgekit choose --soc {shlex.quote(soc)} "
            f"--threads {threads} --precision {precision} --task {task} --all",
        )
    return 0


def _own(word: str) -> tuple[str, float]:
    name, _, accuracy = word.rpartition("=")
    try:
        percent = float(accuracy)
    except ValueError:
        percent = -1.0
    if not name or not 0 <= percent <= 100:
        raise click.UsageError(f"--also {word}: not NAME=PERCENT, such as mine=71.3")
    return name, percent


def _show_socs(*, as_json: bool) -> None:
    from edgekit.estimate.soc_model import load_soc, shipped_socs
    from edgekit.report.grid import Table

    socs = [load_soc(name) for name in shipped_socs()]
    if as_json:
        echo_json(socs)
        return
    rows = tuple(
        (
            one.name,
            one.title,
            ",".join(map(str, one.threads())),
            ",".join(one.precisions or ("fp32", "int8")),
            f"{max(fit.leave_one_out_error for fit in one.main_fits()):.1%}",
        )
        for one in socs
    )
    header = ("SoC", "name", "threads", "precisions", "largest error left out")
    echo_table(Table(header=header, rows=rows, words=(0, 1, 2, 3)))


def _render(choice: Choice, *, show_all: bool) -> Table:
    from edgekit.estimate.choose import ACCURACY
    from edgekit.report.grid import Table, threads_words

    def shown(one: Candidate) -> bool:
        return show_all or one.front or one.model in (choice.best, choice.surest)

    rows = tuple(
        (
            one.model,
            f"{one.accuracy:.2f}",
            f"{one.latency_ms:.2f}",
            f"{one.low_ms:.2f} to {one.high_ms:.2f}" if one.latency_is == "estimated" else "",
            one.latency_is,
            "-" if one.nb_mb is None else f"{one.nb_mb:.1f}",
            one.fits if _limits(choice) else "",
            "best" if one.model == choice.best else "front" if one.front else "",
        )
        for one in choice.candidates
        if shown(one)
    )
    notes, accuracy = [], ACCURACY[choice.task][1]
    if choice.surest not in (None, choice.best):
        notes.append(f"{choice.best}'s interval reaches beyond the limit; {choice.surest} stays within it")
    hidden = sum(not shown(one) for one in choice.candidates)
    if hidden:
        notes.append(f"{hidden} networks that another one beats in both are not shown (--all)")
    if choice.precision == "int8":
        notes.append(
            f"{accuracy} is that of the float networks: edgekit eval NAME --precision int8 measures int8's"
        )
    notes += [f"left out, {reason}: {', '.join(names)}" for reason, names in choice.left_out.items()]
    notes += dict.fromkeys(f"{one.latency_is}: {one.source}" for one in choice.candidates if shown(one))
    return Table(
        title=f"{choice.title}, Paddle Lite {choice.precision}, {threads_words(choice.threads)}: "
        f"{_verdict(choice)}",
        header=("Model", f"{accuracy}(%)", "ms", "interval", "latency is", ".nb MB", "fits", ""),
        rows=rows,
        words=(0, 4, 6, 7),
        notes=tuple(notes),
    )


def _verdict(choice: Choice) -> str:
    limits = _limits(choice)
    return f"{choice.best or 'no network'} ({limits})" if limits else "accuracy and latency"


def _limits(choice: Choice) -> str:
    limits = (
        None if choice.max_ms is None else f"at most {choice.max_ms:g} ms",
        None if choice.max_mb is None else f"at most {choice.max_mb:g} MB",
        None if choice.min_accuracy is None else f"at least {choice.min_accuracy:g} %",
    )
    return ", ".join(limit for limit in limits if limit is not None)
