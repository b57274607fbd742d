"""`edgekit export`."""

from __future__ import annotations

import contextlib
import functools
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from edgekit._text import printable
from edgekit.cli.options import Count, InputShape, making_options
from edgekit.cli.output import echo_artifacts, echo_json, note
from edgekit.cli.progress import counting_bar, is_interactive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgekit.convert.exporting.export import ExportOutcome
    from edgekit.core.artifact import Manifest


class ExportLine(msgspec.Struct, frozen=True, kw_only=True):
    """One model in `export --json`."""

    name: str
    directory: str
    status: str
    manifest: Manifest | None
    error: str | None


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--name", help="Keep a variant apart under this name (one MODEL).")
@click.option(
    "--weights",
    default="pretrained",
    show_default=True,
    metavar="pretrained|random|PATH",
    help="Official weights, seeded random ones, or a .pdparams file.",
)
@click.option("--num-classes", type=Count(min=1), help="Width of the last layer; a file knows its own.")
@click.option(
    "--labels", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="One label a line."
)
@click.option("--input-shape", type=InputShape(), help="Channels, height, width.  [default: the card's]")
@click.option(
    "--output-op",
    type=click.Choice(["none", "argmax"]),
    help="What a segmentation model gives: scores or label maps.  [default: none]",
)
@click.option(
    "--jobs",
    type=Count(min=1),
    default=1,
    show_default=True,
    help="Models made at once, each by a process of its own of about 1 GB.",
)
@making_options(
    output="The artifact directory (one MODEL).  [default: models/NAME]",
    force="Export although nothing has changed.",
    no_verify="Do not check the artifacts against each other.",
)
def command(
    models: tuple[str, ...],
    jobs: int,
    no_verify: bool,
    no_install: bool,
    as_json: bool,
    **wishes: Any,
) -> None:
    """Build a model's Paddle, ONNX and Paddle Lite artifacts, check them and list them in a manifest."""
    if len(models) > 1 and (wishes["name"] or wishes["output"]):
        raise click.UsageError("--name and -o go with one MODEL")
    from edgekit.api.making import export_all
    from edgekit.cli.commands.verify import show_rung
    from edgekit.convert.exporting.plan import ExportRequest

    requests = [
        ExportRequest(model=model, install=not no_install, **wishes) for model in dict.fromkeys(models)
    ]
    show = functools.partial(show_rung, err=True)
    with _progress(len(requests)) as (progress, finished):
        done = export_all(
            requests,
            verify=not no_verify,
            jobs=jobs,
            show=show,
            progress=progress,
            finished=finished,
        )
    _render([outcome for outcome, _ in done], as_json)
    for outcome, _ in done:
        if outcome.error is not None:
            raise outcome.error
    for outcome, ladder in done:
        if ladder is not None and outcome.manifest is not None:
            ladder.raise_for_failure(outcome.manifest, fresh=True)


@contextlib.contextmanager
def _progress(models: int) -> Iterator[tuple[Callable[[str], None], Callable[[ExportOutcome], None]]]:
    """Write a line a step, and of several models how many are done: in a bar on a terminal, else in lines."""
    if not is_interactive() or models == 1:
        done = itertools.count(1)

        def finished(outcome: ExportOutcome) -> None:
            if models > 1:
                note(f"{outcome.name}: {outcome.status.value}, {next(done)} of {models}")

        yield note, finished
        return
    with counting_bar() as bar:
        task = bar.add_task("starting", total=models)
        yield (
            lambda step: bar.update(task, description=printable(step)),
            lambda outcome: bar.update(
                task, advance=1, description=f"{outcome.name}: {outcome.status.value}"
            ),
        )


def _render(outcomes: list[ExportOutcome], as_json: bool) -> None:
    if as_json:
        echo_json([_line(outcome) for outcome in outcomes])
        return
    for outcome in outcomes:
        if outcome.manifest is None:
            if len(outcomes) > 1:
                click.echo(f"{outcome.name}: failed: {outcome.error}")
            continue
        changed = outcome.status.value != "unchanged"
        echo_artifacts(outcome.directory, outcome.manifest, changed=changed)


def _line(outcome: ExportOutcome) -> ExportLine:
    return ExportLine(
        name=outcome.name,
        directory=str(outcome.directory),
        status=outcome.status.value,
        manifest=outcome.manifest,
        error=None if outcome.error is None else outcome.error.message,
    )
