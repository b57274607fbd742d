"""Tables of what `edgekit eval` measured, for the terminal and for pages."""

from __future__ import annotations

from edgekit.core.accuracy import Drop, Share
from edgekit.core.artifact import is_random
from edgekit.evaluate.boxes import BoxEvalResult
from edgekit.evaluate.documents import EvalDocument
from edgekit.evaluate.label_maps import LabelMapEvalResult
from edgekit.evaluate.tally import EvalResult, Evaluation
from edgekit.report.grid import Table


def accuracy_tables(result: EvalDocument) -> tuple[Table, ...]:
    """Return the tables of an evaluation: its figures by route, and of label maps those by class."""
    if isinstance(result, BoxEvalResult):
        return (_boxes(result),)
    if isinstance(result, LabelMapEvalResult):
        return _label_maps(result)
    return (_classes(result),)


def _classes(result: EvalResult) -> Table:
    """Return the accuracy by route; where there are few classes, the five best say nothing."""
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
    return Table(
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


def _boxes(result: BoxEvalResult) -> Table:
    """Return COCO's figures by route."""

    def shown(figure: float | None, form: str = ".2f") -> str:
        return "-" if figure is None else f"{100 * figure:{form}}"

    rows = []
    for route in result.routes:
        figures = route.figures
        columns = (figures.ap, figures.ap50, figures.ap75, figures.ap_small, figures.ap_medium,
                   figures.ap_large, figures.recall)  # fmt: skip
        drop = shown(route.ap_drop, "+.2f")
        rows.append((route.engine, route.artifact.kind, *map(shown, columns), drop))
    return Table(
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


def _label_maps(result: LabelMapEvalResult) -> tuple[Table, ...]:
    """Return PaddleSeg's figures by route, then the intersection over union of each class."""

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
    whole = Table(title=title, header=header, rows=tuple(rows), words=(0, 1), notes=_notes(result))
    names = result.classes or tuple(map(str, range(len(result.routes[0].figures.class_iou))))
    by_class = zip(names, *(route.figures.class_iou for route in result.routes), strict=True)
    classes = Table(
        title="IoU by class, per cent; - for a class that occurs nowhere",
        header=("class", *(f"{route.engine} {route.artifact.kind}" for route in result.routes)),
        rows=tuple((name, *map(shown, ious)) for name, *ious in by_class),
        words=(0,),
    )
    return whole, classes


def _notes(result: Evaluation) -> tuple[str, ...]:
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
