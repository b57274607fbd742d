"""`edgekit import`."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.commands.export import ExportLine
from edgekit.cli.options import (
    InputShape,
    artifact_options,
    echo_json,
    json_option,
    no_install_option,
    note,
)

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="PATH")
@click.option("--name", required=True, help="What the model is called from now on.")
@click.option("--labels", type=FILE, help="One label a line.  [default: those of inference.yml beside PATH]")
@click.option("--preprocess", type=FILE, help="TOML, or PaddleClas's inference.yml.  [default: that one]")
@click.option("--input-shape", type=InputShape(), help="Where the model leaves it free: 3,224,224.")
@artifact_options
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="The artifact directory.  [default: models/NAME]",
)
@click.option("--force", is_flag=True, help="Import although nothing has changed, or over an export.")
@click.option("--no-verify", is_flag=True, help="Do not compare the artifacts with the model as it came.")
@no_install_option
@json_option
def command(
    path: Path,
    name: str,
    labels: Path | None,
    preprocess: Path | None,
    input_shape: tuple[int, int, int] | None,
    formats: tuple[str, ...],
    nb_targets: tuple[str, ...] | None,
    output: Path | None,
    force: bool,
    no_verify: bool,
    no_install: bool,
    as_json: bool,
) -> None:
    """Turn your own classifier into the artifacts that `export` makes, checked against the model as it came.

    PATH is a Paddle inference model (directory or .pdmodel), Paddle 3's inference.json, a NAME_infer.tar,
    or an ONNX file, e.g. from PyTorch.
    """
    from edgekit.cli.commands.verify import show_rung
    from edgekit.convert.importing.import_model import ImportRequest, import_model
    from edgekit.convert.importing.source import open_source
    from edgekit.convert.manifest import DEFAULT_ROOT
    from edgekit.parity.verify import verify_on_host

    request = ImportRequest(
        path=path,
        name=name,
        directory=output or DEFAULT_ROOT / name,
        labels=labels,
        preprocess=preprocess,
        input_shape=input_shape,
        formats=formats,
        nb_targets=nb_targets,
        force=force,
        install=not no_install,
    )
    ladder = None
    with open_source(path) as source:
        imported = import_model(request, source, progress=note)
        manifest = imported.manifest
        if not no_verify and (imported.changed or not manifest.parity):
            note(f"checking {name}")
            ladder = verify_on_host(
                imported.directory,
                manifest,
                install=not no_install,
                show=lambda rung: show_rung(rung, err=True),
                source=source,
            )
    for line in manifest.notes:
        note(f"note: {line}")
    if as_json:
        document = ExportLine(
            name=name,
            directory=str(imported.directory),
            status="imported" if imported.changed else "unchanged",
            manifest=manifest,
            error=None,
        )
        echo_json(document)
    else:
        _show(imported.directory, imported.changed, manifest)
    if ladder is not None:
        ladder.raise_for_failure()


def _show(directory: Path, changed: bool, manifest: object) -> None:
    from edgekit.core.artifact import Manifest
    from edgekit.core.units import format_bytes

    assert isinstance(manifest, Manifest)
    click.echo(f"{directory}{'' if changed else '  (nothing has changed)'}")
    for key, artifact in manifest.artifacts.items():
        size = format_bytes(artifact.size_bytes)
        made_by = f"{artifact.tool} {artifact.tool_version}"
        click.echo(f"  {key:<12} {artifact.main_file:<24} {size:>9}  {artifact.sha256[:12]}  {made_by}")
