"""`edgekit eval`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import (
    WordList,
    adb_server_option,
    anyway_option,
    echo_json,
    echo_table,
    is_interactive,
    json_option,
    lane_options,
    no_install_option,
    note,
)
from edgekit.cli.targets import (
    engine_list,
    find_subject,
    one_device_option,
    one_target,
    worker_count,
)
from edgekit.engines.registry import DEVICE_ENGINE, PREDICT_ENGINE

if TYPE_CHECKING:
    from edgekit.core.accuracy import Drop, Share
    from edgekit.evaluate.boxes import BoxEvalResult
    from edgekit.evaluate.label_maps import LabelMapEvalResult
    from edgekit.evaluate.tally import EvalResult, Evaluation

PRECISIONS = ("fp32", "fp16", "int8")
PROGRESS_INTERVAL_S = 0.5
LINE_INTERVAL_S = 30.0


@click.command()
@click.argument("name")
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False),
              metavar="DIR", help="Directory that the list's paths are relative to.")  # fmt: skip
@click.option("--list", "list_path", required=True, type=click.Path(path_type=Path, dir_okay=False),
              metavar="FILE", help="List with a picture's path and its class number a line; for label maps "
              "their paths in the numbers' place; for boxes COCO's instances (.json), or a picture and its "
              "VOC annotation a line.")  # fmt: skip
@click.option("--engine", "engines", type=WordList(), metavar="WORD,...",
              help=f"Engines, one or several: {engine_list(host=True, device=True)}.  "
              f"[default: {PREDICT_ENGINE}; on a device {DEVICE_ENGINE} where it can be had]")  # fmt: skip
@click.option("--precision", "precisions", type=WordList(PRECISIONS), default="fp32", show_default=True,
              help="Precisions to evaluate with every engine.")  # fmt: skip
@lane_options
@click.option("--restart", is_flag=True, help="Start again instead of continuing an interrupted run.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="The result file.  [default: results/eval-NAME.json; of another list -LIST]")  # fmt: skip
@one_device_option
@adb_server_option
@json_option
@anyway_option
@no_install_option
def command(
    name: str,
    data: Path,
    list_path: Path,
    engines: tuple[str, ...] | None,
    precisions: tuple[str, ...],
    threads: int,
    batch_size: int | None,
    workers: int | None,
    restart: bool,
    output: Path | None,
    device: str | None,
    adb_servers: tuple[str, ...],
    as_json: bool,
    no_install: bool,
) -> None:
    """Measure Top-1 and Top-5 of the exported model NAME on a labelled list, by engine and precision.

    Every picture is decoded once for all engines. The drop is relative to Paddle Inference fp32, which is
    measured too. An interrupted run continues where it stopped. Beside the result file are the confusion
    matrix and the pictures on which the answers differ, as CSV.

    Of a detection model it measures COCO's mean average precision; the boxes are beside the result file in
    COCO's result form. Of a segmentation model it measures PaddleSeg's mean intersection over union.
    """
    import msgspec

    from edgekit.core.spec import Precision
    from edgekit.evaluate.boxes import BoxEvalResult
    from edgekit.evaluate.evaluate import (
        Plan,
        default_output,
        evaluate,
        fail_on_unreadable,
        hash_list,
    )
    from edgekit.evaluate.label_maps import LabelMapEvalResult

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
        workers=worker_count(workers, threads, device),
        restart=restart,
    )
    progress = _Progress()
    try:
        with one_target(device, adb_servers, install=not no_install) as target:
            if not plan.engines:
                plan = msgspec.structs.replace(plan, engines=(target.default_engine,))
            result = evaluate(target, subject, plan, progress=progress, tell=note)
    except KeyboardInterrupt:
        progress.clear()
        note(f"the same command goes on after {progress.done} pictures")
        raise
    progress.clear()
    if as_json:
        echo_json(result)
    if isinstance(result, LabelMapEvalResult):
        if not as_json:
            _render_label_maps(result)
        beside = []
    elif isinstance(result, BoxEvalResult):
        if not as_json:
            _render_boxes(result)
        beside = [route.results_path for route in result.routes]
    else:
        if not as_json:
            _render(result)
        beside = [result.confusion_path, result.disagreements_path]
    note(f"{plan.output} written{', beside it ' if beside else ''}{' and '.join(beside)}")
    fail_on_unreadable(result)


class _Progress:
    """Display of finished pictures: one changing line on a terminal, occasional lines elsewhere."""

    def __init__(self) -> None:
        self.done = 0
        self._interactive = is_interactive()
        self._shown = time.monotonic()
        self._drawn = False

    def __call__(self, done: int, total: int) -> None:
        self.done = done
        interval = PROGRESS_INTERVAL_S if self._interactive else LINE_INTERVAL_S
        if time.monotonic() - self._shown < interval or done == total:
            return
        self._shown = time.monotonic()
        if self._interactive:
            self._drawn = True
            click.echo(f"\r{done} of {total} pictures", nl=False, err=True)
        else:
            note(f"{done} of {total} pictures")

    def clear(self) -> None:
        if self._drawn:
            click.echo("\r\x1b[2K", nl=False, err=True)


def _render(result: EvalResult) -> None:
    """Show the accuracy by route; where there are few classes, the five best say nothing."""
    from edgekit.core.artifact import is_random
    from edgekit.report.grid import Table

    has_top5 = result.num_classes is None or result.num_classes > 5
    rows = []
    for route in result.routes:
        agreement = "reference" if route.engine == "paddle" and route.agreement is None else "-"
        rows.append(
            (
                route.engine,
                route.artifact.kind,
                _share(route.top1),
                *([_share(route.top5)] if has_top5 else []),
                _drop(route.top1_drop),
                f"{100 * route.agreement.share:.2f}" if route.agreement else agreement,
            )
        )
    table = Table(
        title=f"{result.model}, {result.pictures} pictures of {result.list_path}, per cent",
        header=(
            "engine",
            "artifact",
            "Top-1 [95 %]",
            *(["Top-5 [95 %]"] if has_top5 else []),
            "Top-1 drop [95 %]",
            "same Top-1",
        ),
        rows=tuple(rows),
        words=(0, 1),
        notes=(
            *([f"weights: {result.weights}"] if is_random(result.weights) else []),
            f"{result.disagreements} pictures on which Top-1 differs",
            *(f"skipped: {skipped.reason}" for skipped in result.skipped),
        ),
    )
    echo_table(table)


def _render_boxes(result: BoxEvalResult) -> None:
    """Show COCO's figures by route."""
    from edgekit.report.grid import Table

    def shown(figure: float | None, form: str = ".2f") -> str:
        return "-" if figure is None else f"{100 * figure:{form}}"

    rows = []
    for route in result.routes:
        figures = route.figures
        columns = (figures.ap, figures.ap50, figures.ap75, figures.ap_small, figures.ap_medium,
                   figures.ap_large, figures.recall)  # fmt: skip
        drop = shown(route.ap_drop, "+.2f")
        rows.append((route.engine, route.artifact.kind, *map(shown, columns), drop))
    table = Table(
        title=f"{result.model}, {result.pictures} pictures of {result.list_path}, per cent",
        header=(
            "engine",
            "artifact",
            "mAP",
            "AP50",
            "AP75",
            "small",
            "medium",
            "large",
            "recall",
            "mAP drop",
        ),
        rows=tuple(rows),
        words=(0, 1),
        notes=_notes(result),
    )
    echo_table(table)


def _render_label_maps(result: LabelMapEvalResult) -> None:
    """Show PaddleSeg's figures by route, then the intersection over union of each class."""
    from edgekit.report.grid import Table

    def shown(figure: float | None, form: str = ".2f") -> str:
        return "-" if figure is None else f"{100 * figure:{form}}"

    title = f"{result.model}, {result.pictures} pictures of {result.list_path}, per cent"
    rows = [
        (
            route.engine,
            route.artifact.kind,
            shown(route.figures.mean_iou),
            shown(route.figures.accuracy),
            shown(route.figures.kappa),
            shown(route.mean_iou_drop, "+.2f"),
        )
        for route in result.routes
    ]
    header = ("engine", "artifact", "mIoU", "accuracy", "kappa", "mIoU drop")
    echo_table(Table(title=title, header=header, rows=tuple(rows), words=(0, 1), notes=_notes(result)))
    names = result.classes or tuple(map(str, range(len(result.routes[0].figures.class_iou))))
    by_class = zip(names, *(route.figures.class_iou for route in result.routes), strict=True)
    echo_table(
        Table(
            title="IoU by class, per cent; - for a class that occurs nowhere",
            header=("class", *(f"{route.engine} {route.artifact.kind}" for route in result.routes)),
            rows=tuple((name, *map(shown, ious)) for name, *ious in by_class),
            words=(0,),
        )
    )


def _notes(result: Evaluation) -> tuple[str, ...]:
    from edgekit.core.artifact import is_random

    return (
        *([f"weights: {result.weights}"] if is_random(result.weights) else []),
        *(f"skipped: {skipped.reason}" for skipped in result.skipped),
    )


def _share(share: Share) -> str:
    return f"{100 * share.share:.2f} [{100 * share.low:.2f}, {100 * share.high:.2f}]"


def _drop(drop: Drop | None) -> str:
    if drop is None:
        return "-"
    return f"{100 * drop.drop:+.2f} [{100 * drop.low:+.2f}, {100 * drop.high:+.2f}]"
