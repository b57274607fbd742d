"""`edgekit predict`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit._text import printable
from edgekit.cli.answers import AnswersPrinter
from edgekit.cli.options import (
    MOST,
    Count,
    Number,
    adb_server_option,
    anyway_option,
    json_option,
    lane_options,
    no_install_option,
    precision_option,
)
from edgekit.cli.output import echo_json, note
from edgekit.cli.paddleclas import config_options, exported_name, split_outputs
from edgekit.cli.progress import PicturesProgress
from edgekit.cli.targets import (
    engine_list,
    find_subject,
    one_device_option,
    one_target,
    ray_option,
    worker_count,
)
from edgekit.engines.registry import DEVICE_ENGINE, PREDICT_ENGINE
from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.core.spec import Precision
    from edgekit.pages.answers import AnswersPage
    from edgekit.predict.cluster import Cluster
    from edgekit.predict.predict import Predictor, Settings
    from edgekit.targets.target import Target
    from edgekit.vision.pictures import Picture, Unreadable


@click.command()
@click.argument("name", required=False)
@click.argument("pictures", nargs=-1, metavar="IMAGE|DIR|NPZ...")
@click.option(
    "--engine",
    help=f"Engine: {engine_list(host=True, device=True)}; auto takes the one that bench found fastest here.  "
    f"[default: {PREDICT_ENGINE}; on a device {DEVICE_ENGINE} where it can be had]",
)
@precision_option
@lane_options
@click.option(
    "--top-k",
    type=Count(1),
    help="Classes or boxes a picture.  [default: 5; multi-label, boxes: all]",
)
@click.option(
    "--threshold", type=Number(0, 1),
    help="Leave out classes and boxes that score less.  [default: multi-label, boxes: the model's own]",
)  # fmt: skip
@click.option(
    "--labels", type=click.Path(path_type=Path), metavar="FILE", help="One label a line, or CLASS_ID LABEL."
)
@click.option(
    "--draw", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Write the pictures with their boxes into DIR.",
)  # fmt: skip
@config_options(
    "Write the outputs for arrays, an .npz, into FILE; with --ray the parts into this directory.", "FILE"
)
@click.option(
    "--list", "list_path", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Pictures by a list: a path a line, relative to the list; a class number after it does not count.",
)  # fmt: skip
@click.option(
    "--reduced-decode", is_flag=True,
    help="Decode large JPEGs at a fraction of their size: faster, but some answers change.",
)  # fmt: skip
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write the pictures with their answers as a page to look at into FILE.",
)  # fmt: skip
@one_device_option
@adb_server_option
@ray_option
@json_option
@click.option("--parquet", is_flag=True, help="Write parts of Parquet instead of JSON Lines (--ray).")
@click.option("--jsonl", is_flag=True, help="Write one JSON document a line, as soon as each is ready.")
@click.option("--csv", "as_csv", is_flag=True, help="Write one line of CSV a class or box.")
@anyway_option
@no_install_option
def command(
    name: str | None,
    pictures: tuple[str, ...],
    config: Path | None,
    engine: str | None,
    precision: str,
    threads: int,
    batch_size: int | None,
    workers: int | None,
    top_k: int | None,
    threshold: float | None,
    labels: Path | None,
    draw: Path | None,
    outputs: tuple[str, ...],
    reduced_decode: bool,
    list_path: Path | None,
    html: Path | None,
    device: str | None,
    adb_servers: tuple[str, ...],
    cluster: str | None,
    as_json: bool,
    parquet: bool,
    jsonl: bool,
    as_csv: bool,
    no_install: bool,
) -> None:
    """Classify pictures, or find objects, with the exported model NAME (or the artifact directory NAME).

    --json gives boxes in the form of COCO's results: their category_id is the model's class number, their
    image_id the number in the picture's file name, else the name.

    Directories are searched recursively, in sorted order. Other files than pictures are reported and passed
    over; the exit code is 3 then.

    With --config a training configuration of PaddleClas names the model, and all arguments are pictures;
    without any, its Infer section names one.

    Of any model, the arrays of one .npz (by the names of the inputs) give another with its outputs (-o FILE).

    With --ray the answers are files in the directory of -o, each for a range of the pictures and with a row
    for every one; the same command goes on with those that are missing.
    """
    for_pictures = {
        "--html": html, "--csv": as_csv, "--jsonl": jsonl, "--draw": draw, "--labels": labels,
        "--top-k": top_k, "--threshold": threshold, "--batch-size": batch_size, "--workers": workers,
        "--reduced-decode": reduced_decode,
    }  # fmt: skip
    forms = [form for form, given in (("json", as_json), ("jsonl", jsonl), ("csv", as_csv)) if given]
    if len(forms) > 1:
        raise click.UsageError(f"--{forms[0]} and --{forms[1]} exclude each other")
    output, changes = split_outputs(config, outputs)
    if config is not None:
        from edgekit.training.recipe.read import read_use

        # The configuration names the model: every argument is a picture.
        use = read_use(config, changes)
        given = (name, *pictures) if name is not None else ()
        pictures = given or ((use.pictures,) if use.pictures else ())
        name = exported_name(use, None)
        batch_size = batch_size or use.batch_size
    if name is None or not (pictures or list_path):
        raise click.UsageError("NAME and IMAGE, DIR or NPZ are needed, or --config FILE that names them")
    if parquet and cluster is None:
        raise click.UsageError("--parquet is the form of parts: it goes with --ray ADDRESS")
    if cluster is not None:
        _refuse(
            {"--device": device, "--draw": draw, "--html": html, "--csv": as_csv},
            "does not go with it: --ray writes JSON Lines or Parquet",
        )
        if parquet and jsonl:
            raise click.UsageError("--parquet and --jsonl exclude each other")
        if output is None:
            raise click.UsageError("--ray writes its answers as parts into a directory: name it with -o DIR")
    is_arrays = len(pictures) == 1 and pictures[0].endswith(".npz") and list_path is None and cluster is None
    if cluster is None and is_arrays != (output is not None):
        raise click.UsageError(
            "-o FILE is needed for the outputs of arrays"
            if is_arrays
            else "-o FILE takes outputs of one .npz, or with --ray the parts"
        )
    from edgekit.core.spec import Precision

    if is_arrays:
        _refuse(for_pictures, "is for answers about pictures: arrays have none")
        assert output is not None
        with one_target(device, adb_servers, install=not no_install) as target:
            chosen = _engine(engine, target, name, Precision(precision), threads)
            _compute(
                target, name, Path(pictures[0]), output, chosen, Precision(precision), threads, as_json,
            )  # fmt: skip
        return
    lanes = 1 if cluster else worker_count(workers, threads, device)
    printed = AnswersPrinter(forms[0] if forms else "line")
    # With a cluster the runners are elsewhere, and auto looks for the engine first.
    first = None if cluster or engine == "auto" else engine or PREDICT_ENGINE
    with one_target(device, adb_servers, install=not no_install, engine=first, threads=threads) as target:
        from edgekit.predict.predict import Settings

        settings = Settings(
            engine=_engine(engine, target, name, Precision(precision), threads),
            precision=Precision(precision),
            threads=threads,
            batch_size=batch_size,
            workers=lanes,
            top_k=top_k,
            threshold=threshold,
            labels=labels,
            draw=draw,
            reduced_decode=reduced_decode,
        )
        if cluster is not None:
            from edgekit.predict.cluster import connected

            assert output is not None
            items = _items(pictures, list_path)
            connection = connected(cluster, workers=workers, threads=threads, install=not no_install)
            _predict_parts(connection, name, items, settings, output, parquet, as_json)
            return
        _predict(target, name, _items(pictures, list_path), settings, printed, html)
    printed.finish()


def _refuse(asked: Mapping[str, object], why: str) -> None:
    """Raise UsageError for the first of these options that was given."""
    for option, value in asked.items():
        if value is not None and value is not False:
            raise click.UsageError(f"{option} {why}")


def _items(pictures: Sequence[str], list_path: Path | None) -> list[Picture | Unreadable]:
    from edgekit.vision.pictures import find_pictures

    items = find_pictures(pictures)
    if list_path is not None:
        from edgekit.vision.lists import read_list

        lines = read_list(list_path, MOST, unlabelled=True)
        items += find_pictures([list_path.parent / line.path for line in lines])
    if not items:
        raise InputError(f"reading the list {list_path}: it is empty", hint="a path of a picture a line")
    return items


def _predict_parts(
    connection: contextlib.AbstractContextManager[Cluster],
    name: str,
    items: Sequence[Picture | Unreadable],
    settings: Settings,
    directory: Path,
    parquet: bool,
    as_json: bool,
) -> None:
    from edgekit.predict.parts import Form, write_parts

    subject = find_subject(name)
    progress = PicturesProgress()
    form = Form.PARQUET if parquet else Form.JSONL
    try:
        with connection as cluster:
            written = write_parts(cluster, subject, settings, items, directory, form, progress=progress)
    finally:
        progress.clear()
    if as_json:
        echo_json(written)
    else:
        before = f", {written.parts_before} of them there before" if written.parts_before else ""
        place, parts = printable(written.directory), f"{written.parts} parts{before}"
        click.echo(f"wrote {place}: {written.pictures} pictures in {parts}")
    if written.unreadable:
        raise InputError(
            f"predicting: {written.unreadable} of {written.pictures} could not be read, the first: "
            f"{written.first_error}",
            hint="their rows in the parts have an error in the answer's place",
        )


def _engine(asked: str | None, target: Target, name: str, precision: Precision, threads: int) -> str:
    """Return the asked engine, the target's own, or for `auto` the one that was measured to be fastest."""
    if asked != "auto":
        return asked or target.default_engine
    from edgekit.bench.fastest import fastest_engine

    return fastest_engine(target, find_subject(name), precision, threads, progress=note)


def _compute(
    target: Target, name: str, inputs: Path, output: Path, engine: str, precision: Precision, threads: int,
    as_json: bool,
) -> None:  # fmt: skip
    from edgekit.predict.arrays import compute_file, describe

    computed = compute_file(
        target, find_subject(name), inputs, output, engine=engine, precision=precision, threads=threads
    )
    if as_json:
        echo_json(computed)
        return
    for each in computed.outputs:
        click.echo(f"{printable(each.name)} {describe(each)}")
    click.echo(f"wrote {printable(str(output))} ({computed.latency_ns / 1e6:.2f} ms)")


def _predict(
    target: Target,
    name: str,
    items: Sequence[Picture | Unreadable],
    settings: Settings,
    printed: AnswersPrinter,
    html: Path | None,
) -> None:
    import msgspec

    from edgekit.predict.predict import Predictor

    subject = find_subject(name)
    if html is not None:
        from edgekit.pages.answers import thumbnail_side

        settings = msgspec.structs.replace(settings, thumbnails=thumbnail_side(len(items)))
    with (
        Predictor(target, subject, settings, count=len(items)) as predictor,
        contextlib.nullcontext() if html is None else _page(html, predictor, settings, target) as page,
    ):
        printed.expect(len(items), predictor.task)
        for answers in predictor.predict(items):
            printed.take(answers)
            if page is not None:
                page.add(answers.pictures, answers.predictions, answers.unreadable)
    if html is not None:
        note(f"{html} written")


def _page(
    path: Path, predictor: Predictor, settings: Settings, target: Target
) -> contextlib.AbstractContextManager[AnswersPage]:
    from edgekit import __version__
    from edgekit.pages.answers import open_answers

    manifest = predictor.task.manifest
    assert settings.thumbnails is not None
    return open_answers(
        path,
        predictor.task,
        settings.thumbnails,
        title=f"{manifest.name}: answers",
        subtitle=f"{settings.engine} {settings.precision.value} on {target.info.serial}, "
        f"weights: {manifest.source}, edgekit {__version__}",
    )
