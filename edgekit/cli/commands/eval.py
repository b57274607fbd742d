"""`edgekit eval`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import (
    PRECISIONS,
    WordList,
    adb_server_option,
    anyway_option,
    json_option,
    lane_options,
    no_install_option,
)
from edgekit.cli.output import echo_json, echo_table, note
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

if TYPE_CHECKING:
    from edgekit.predict.cluster import Cluster


@click.command()
@click.argument("name", required=False)
@click.option("--data", type=click.Path(path_type=Path, exists=True, file_okay=False),
              metavar="DIR", help="Directory that the list's paths are relative to.")  # fmt: skip
@click.option("--list", "list_path", type=click.Path(path_type=Path, dir_okay=False),
              metavar="FILE", help="List with a picture's path and its class number a line; for label maps "
              "their paths in the numbers' place; for several labels 0,1,0; for boxes COCO's instances "
              "(.json), or a picture and its VOC annotation a line.")  # fmt: skip
@click.option("--engine", "engines", type=WordList(), metavar="WORD,...",
              help=f"Engines, one or several: {engine_list(host=True, device=True)}.  "
              f"[default: {PREDICT_ENGINE}; on a device {DEVICE_ENGINE} where it can be had]")  # fmt: skip
@click.option("--precision", "precisions", type=WordList(PRECISIONS), default="fp32", show_default=True,
              help="Precisions to evaluate with every engine.")  # fmt: skip
@lane_options
@click.option("--restart", is_flag=True, help="Start again instead of continuing an interrupted run.")
@config_options("The result file.  [default: results/eval-NAME.json; of another list -LIST]", "FILE")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write a page of the accuracy, with the pictures whose answers are wrong.")  # fmt: skip
@one_device_option
@adb_server_option
@ray_option
@json_option
@anyway_option
@no_install_option
def command(
    name: str | None,
    data: Path | None,
    list_path: Path | None,
    config: Path | None,
    engines: tuple[str, ...] | None,
    precisions: tuple[str, ...],
    threads: int,
    batch_size: int | None,
    workers: int | None,
    restart: bool,
    outputs: tuple[str, ...],
    html: Path | None,
    device: str | None,
    adb_servers: tuple[str, ...],
    cluster: str | None,
    as_json: bool,
    no_install: bool,
) -> None:
    """Measure Top-1 and Top-5 of the exported model NAME on a labelled list, by engine and precision.

    Every picture is decoded once for all engines. The drop is relative to Paddle Inference fp32, which is
    measured too. An interrupted run continues where it stopped. Beside the result file are the confusion
    matrix and the pictures on which the answers differ, as CSV.

    Of a detection model it measures COCO's mean average precision; the boxes are beside the result file in
    COCO's result form. Of a segmentation model it measures PaddleSeg's mean intersection over union, of a
    multi-label model each label's precision, recall and average precision, and PaddleClas's figures.

    With --config a training configuration of PaddleClas names the model, its validation list and, by
    -o Global.pretrained_model=PATH, the weights that the model must have been exported from.
    """
    import msgspec

    from edgekit.core.spec import Precision
    from edgekit.evaluate.evaluate import (
        Plan,
        default_output,
        evaluate,
        fail_on_unreadable,
        hash_list,
    )

    output, changes = split_outputs(config, outputs)
    if config is not None:
        from edgekit.training.recipe.read import read_use

        use = read_use(config, changes)
        name = exported_name(use, name)
        data, list_path = data or use.data, list_path or use.list_path
    if name is None or data is None or list_path is None:
        raise click.UsageError("NAME, --data DIR and --list FILE are needed, or --config FILE")
    if cluster is not None and device is not None:
        raise click.UsageError("--ray and --device exclude each other")
    subject = find_subject(name)
    digest = None
    if output is None:
        digest = hash_list(list_path)
        output = default_output(subject.manifest.name, list_path, digest)
    plan = Plan(
        data=data,
        list_path=list_path,
        list_sha256=digest,
        output=output,
        engines=engines or (),
        precisions=tuple(Precision(precision) for precision in precisions),
        threads=threads,
        batch_size=batch_size,
        workers=1 if cluster else worker_count(workers, threads, device),
        restart=restart,
    )
    progress = PicturesProgress()
    try:
        with one_target(device, adb_servers, install=not no_install) as target:
            if not plan.engines:
                plan = msgspec.structs.replace(plan, engines=(target.default_engine,))
            with _cluster(cluster, workers, threads, not no_install) as connection:
                result = evaluate(target, subject, plan, cluster=connection, progress=progress, tell=note)
    except KeyboardInterrupt:
        progress.clear()
        note(f"the same command goes on after {progress.done} pictures")
        raise
    progress.clear()
    if as_json:
        echo_json(result)
    else:
        echo_table(*result.tables())
    beside = result.beside()
    note(f"{plan.output} written{', beside it ' if beside else ''}{', '.join(beside)}")
    if html is not None:
        from edgekit._files import write_atomic
        from edgekit.pages.accuracy import accuracy_page

        write_atomic(html, accuracy_page([(plan.output, result)]))
        note(f"{html} written")
    fail_on_unreadable(result)


def _cluster(
    address: str | None, workers: int | None, threads: int, install: bool
) -> contextlib.AbstractContextManager[Cluster | None]:
    if address is None:
        return contextlib.nullcontext()
    from edgekit.predict.cluster import connected

    return connected(address, workers=workers, threads=threads, install=install)
