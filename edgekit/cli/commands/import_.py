"""`edgekit import`."""

from __future__ import annotations

import functools
from pathlib import Path

import click

from edgekit.cli.commands.export import ExportLine
from edgekit.cli.options import (
    NamedShape,
    artifact_options,
    echo_artifacts,
    echo_json,
    json_option,
    keep_failed_option,
    no_install_option,
    note,
)

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="PATH")
@click.option("--name", required=True, help="Name of the model from now on.")
@click.option(
    "--labels", type=FILE, help="One label a line.  [default: those of the configuration beside PATH]"
)
@click.option(
    "--preprocess",
    type=FILE,
    help="TOML, or a configuration of Paddle's toolkits.  [default: inference.yml, model.yml beside PATH]",
)
@click.option(
    "--input-shape",
    "input_shapes",
    type=NamedShape(),
    multiple=True,
    help="Sizes that the model leaves free: 3,224,224; image=1,3,640,640 of several inputs; repeatable.",
)
@artifact_options
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="The artifact directory.  [default: models/NAME]",
)
@click.option("--force", is_flag=True, help="Import although nothing has changed, or over an export.")
@keep_failed_option
@click.option("--no-verify", is_flag=True, help="Do not compare the artifacts with the model as it came.")
@no_install_option
@json_option
def command(
    path: Path,
    name: str,
    labels: Path | None,
    preprocess: Path | None,
    input_shapes: tuple[tuple[str, tuple[int, ...]], ...],
    formats: tuple[str, ...],
    nb_targets: tuple[str, ...] | None,
    output: Path | None,
    force: bool,
    keep_failed: bool,
    no_verify: bool,
    no_install: bool,
    as_json: bool,
) -> None:
    """Turn your own model into the artifacts that `export` makes, and compare them with the model.

    PATH is a Paddle inference model (directory or .pdmodel), Paddle 3's inference.json, a NAME_infer.tar,
    or an ONNX file, e.g. from PyTorch.
    """
    from edgekit.api.making import import_one, request_import
    from edgekit.cli.commands.verify import show_rung

    request = request_import(
        path,
        name,
        labels=labels,
        preprocess=preprocess,
        shapes=dict(input_shapes),
        formats=formats,
        nb_targets=nb_targets,
        output=output,
        force=force,
        keep_failed=keep_failed,
        install=not no_install,
    )
    show = functools.partial(show_rung, err=True)
    made = import_one(request, verify=not no_verify, show=show, progress=note)
    for line in made.manifest.notes:
        note(f"note: {line}")
    if as_json:
        document = ExportLine(
            name=name,
            directory=str(made.directory),
            status="imported" if made.changed else "unchanged",
            manifest=made.manifest,
            error=None,
        )
        echo_json(document)
    else:
        echo_artifacts(made.directory, made.manifest, changed=made.changed)
    made.raise_for_failure()
