"""`edgekit bundle`."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import WordList, echo_json, echo_table, json_option, note

ARTIFACTS = ("onnx", "onnx-int8", "nb-arm", "nb-arm-fp16", "nb-arm-int8")


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--artifacts", type=WordList(ARTIFACTS), default="onnx", show_default=True,
              help=f"Artifact of each model: {', '.join(ARTIFACTS)}.")  # fmt: skip
@click.option("--sample", "samples", multiple=True, type=click.Path(path_type=Path, dir_okay=False),
              metavar="PICTURE", help="Picture to test in the app, not its samples; repeatable.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), default="android_demo",
              show_default=True, metavar="DIR", help="The Android project; made if missing.")  # fmt: skip
@click.option("--anyway", is_flag=True, help="Use artifacts although they failed their check (verify).")
@json_option
def command(
    names: tuple[str, ...],
    artifacts: tuple[str, ...],
    samples: tuple[Path, ...],
    output: Path,
    anyway: bool,
    as_json: bool,
) -> None:
    """Put exported models (NAMEs or artifact directories) into the Android demo app.

    Model, labels, preprocessing and expected scores come from the manifest. The app contains exactly these
    models then, and begins with the first.
    """
    from edgekit.android.bundle import bundle
    from edgekit.core.artifact import ArtifactKind
    from edgekit.core.units import format_bytes
    from edgekit.report.grid import Table

    kinds = [ArtifactKind(word) for word in artifacts]
    bundled = bundle(names, project=output, kinds=kinds, pictures=samples, anyway=anyway)
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
    note(f"next: edgekit apk build{'' if str(output) == 'android_demo' else f' --project {output}'}")
