"""`edgekit export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from edgekit.cli.options import (
    InputShape,
    artifact_options,
    echo_json,
    json_option,
    no_install_option,
    note,
)

if TYPE_CHECKING:
    from edgekit.convert.exporting.export import ExportOutcome
    from edgekit.core.artifact import Manifest
    from edgekit.parity.ladder import Ladder


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
@click.option(
    "--num-classes", type=click.IntRange(min=1), help="Width of the last layer; a file knows its own."
)
@click.option(
    "--labels", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="One label a line."
)
@click.option("--input-shape", type=InputShape(), help="Channels, height, width.  [default: the card's]")
@artifact_options
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="The artifact directory (one MODEL).  [default: models/NAME]",
)
@click.option("--force", is_flag=True, help="Export although nothing has changed.")
@click.option("--no-verify", is_flag=True, help="Do not check the artifacts against each other.")
@no_install_option
@json_option
def command(
    models: tuple[str, ...],
    name: str | None,
    weights: str,
    num_classes: int | None,
    labels: Path | None,
    input_shape: tuple[int, int, int] | None,
    formats: tuple[str, ...],
    nb_targets: tuple[str, ...] | None,
    output: Path | None,
    force: bool,
    no_verify: bool,
    no_install: bool,
    as_json: bool,
) -> None:
    """Build a model's Paddle, ONNX and Paddle Lite artifacts, check them and tie them by a manifest."""
    if len(models) > 1 and (name or output):
        raise click.UsageError("--name and -o go with one MODEL")
    from edgekit.convert.exporting.export import export
    from edgekit.convert.exporting.plan import ExportRequest
    from edgekit.convert.manifest import DEFAULT_ROOT
    from edgekit.zoo.registry import find_model

    requests = []
    for model in dict.fromkeys(models):
        spec = find_model(model)
        requests.append(
            ExportRequest(
                spec=spec,
                directory=output or DEFAULT_ROOT / (name or spec.name),
                name=name,
                weights=weights,
                num_classes=num_classes,
                labels=labels,
                input_shape=input_shape,
                formats=formats,
                nb_targets=nb_targets,
                force=force,
                install=not no_install,
            )
        )
    outcomes = export(requests, progress=note)
    ladders = [] if no_verify else [_verify(one, weights, not no_install) for one in outcomes]
    _render(outcomes, as_json)
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    for ladder in ladders:
        if ladder is not None:
            ladder.raise_for_failure()


def _verify(outcome: ExportOutcome, weights: str, install: bool) -> Ladder | None:
    """Check a new export, and one that is unchanged but was never checked; its rungs go to stderr."""
    from edgekit.cli.commands.verify import show_rung
    from edgekit.parity.verify import verify_on_host

    manifest = outcome.manifest
    if manifest is None or (outcome.status.value == "unchanged" and manifest.parity):
        return None
    note(f"checking {outcome.name}")
    return verify_on_host(
        outcome.directory,
        manifest,
        install=install,
        show=lambda rung: show_rung(rung, err=True),
        weights=None if weights in ("pretrained", "random") else Path(weights),
    )


def _render(outcomes: list[ExportOutcome], as_json: bool) -> None:
    from edgekit.core.units import format_bytes

    if as_json:
        echo_json([_line(outcome) for outcome in outcomes])
        return
    for outcome in outcomes:
        if outcome.manifest is None:
            if len(outcomes) > 1:
                click.echo(f"{outcome.name}: failed: {outcome.error}")
            continue
        unchanged = "  (nothing has changed)" if outcome.status.value == "unchanged" else ""
        click.echo(f"{outcome.directory}{unchanged}")
        for key, artifact in outcome.manifest.artifacts.items():
            size = format_bytes(artifact.size_bytes)
            made_by = f"{artifact.tool} {artifact.tool_version}"
            click.echo(f"  {key:<12} {artifact.main_file:<24} {size:>9}  {artifact.sha256[:12]}  {made_by}")


def _line(outcome: ExportOutcome) -> ExportLine:
    return ExportLine(
        name=outcome.name,
        directory=str(outcome.directory),
        status=outcome.status.value,
        manifest=outcome.manifest,
        error=None if outcome.error is None else outcome.error.message,
    )
