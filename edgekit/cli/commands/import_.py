"""`edgekit import`."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import click

from edgekit.cli.commands.export import ExportLine
from edgekit.cli.options import NamedShape, making_options
from edgekit.cli.output import echo_artifacts, echo_json, note

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
    "shapes",
    type=NamedShape(),
    multiple=True,
    callback=lambda _context, _option, given: dict(given),
    help="Sizes that the model leaves free: 3,224,224; image=1,3,640,640 of several inputs; repeatable.",
)
@making_options(
    output="The artifact directory.  [default: models/NAME]",
    force="Import although nothing has changed, or over an export.",
    no_verify="Do not compare the artifacts with the model as it came.",
)
def command(
    no_verify: bool,
    no_install: bool,
    as_json: bool,
    **wishes: Any,
) -> None:
    """Turn your own model into the artifacts that `export` makes, and compare them with the model.

    PATH is a Paddle inference model (directory or .pdmodel), Paddle 3's inference.json, a NAME_infer.tar,
    or an ONNX file, e.g. from PyTorch.
    """
    from edgekit.api.making import import_one
    from edgekit.cli.commands.verify import show_rung
    from edgekit.convert.importing.import_model import ImportRequest

    request = ImportRequest(install=not no_install, **wishes)
    show = functools.partial(show_rung, err=True)
    made = import_one(request, verify=not no_verify, show=show, progress=note)
    for line in made.manifest.notes:
        note(f"note: {line}")
    if as_json:
        document = ExportLine(
            name=request.name,
            directory=str(made.directory),
            status="imported" if made.changed else "unchanged",
            manifest=made.manifest,
            error=None,
        )
        echo_json(document)
    else:
        echo_artifacts(made.directory, made.manifest, changed=made.changed)
    made.raise_for_failure()
