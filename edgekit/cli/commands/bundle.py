"""`edgekit bundle`."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import WordList, json_option
from edgekit.cli.output import echo_json, echo_table, note

ARTIFACTS = ("onnx", "onnx-int8", "nb-arm", "nb-arm-fp16", "nb-arm-int8")


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--artifacts", type=WordList(ARTIFACTS), default="onnx", show_default=True,
              help=f"Artifact of each model: {', '.join(ARTIFACTS)}.")  # fmt: skip
@click.option("--sample", "samples", multiple=True, type=click.Path(path_type=Path, dir_okay=False),
              metavar="PICTURE", help="Picture to test in the app, not its samples; repeatable.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), default=None,
              show_default="android_demo", metavar="DIR",
              help="The Android project; made if missing.")  # fmt: skip
@click.option("--zip", "archive", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write a zip instead, which the installed app imports.")  # fmt: skip
@click.option("--anyway", is_flag=True, help="Use artifacts although they failed their check (verify).")
@json_option
def command(
    names: tuple[str, ...],
    artifacts: tuple[str, ...],
    samples: tuple[Path, ...],
    output: Path | None,
    archive: Path | None,
    anyway: bool,
    as_json: bool,
) -> None:
    """Put exported models (NAMEs or artifact directories) into the Android demo app.

    Model, labels, preprocessing and expected scores come from the manifest. The app contains exactly these
    models then, and begins with the first. `--zip` leaves the project alone: the app's screen Models imports
    the file.
    """
    from edgekit.android.bundle import bundle, bundle_zip
    from edgekit.core.artifact import ArtifactKind
    from edgekit.core.units import format_bytes
    from edgekit.errors import UsageError
    from edgekit.report.grid import Table

    if archive is not None and output is not None:
        raise UsageError(
            f"bundling into {output} and into {archive}: one of them at a time", hint="leave -o or --zip out"
        )

    kinds = [ArtifactKind(word) for word in artifacts]
    if archive is not None:
        bundled = bundle_zip(names, output=archive, kinds=kinds, pictures=samples, anyway=anyway)
    else:
        project = output or Path("android_demo")
        bundled = bundle(names, project=project, kinds=kinds, pictures=samples, anyway=anyway)
    if as_json:
        echo_json(bundled)
        return
    for model in bundled:
        if model.doubt is not None:
            note(model.doubt)
    header = ("model", "artifacts", "size", "tested in the app on")
    rows = tuple(
        (model.name, ", ".join(model.artifacts), format_bytes(model.size_bytes), ", ".join(model.samples))
        for model in bundled
    )
    echo_table(Table(header=header, rows=rows, words=(0, 1, 3)))
    if archive is not None:
        note(f"next: copy {archive} to the device; the app's screen Models imports it")
    elif output is None or str(output) == "android_demo":
        note("next: edgekit apk build")
    else:
        note(f"next: edgekit apk build --project {output}")
