"""Pages of a finished training run: its curves as a picture, and a table of confusions."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgekit._files import read_bytes, write_atomic
from edgekit.errors import InputError
from edgekit.report.canvas import COLOURS, FAINT, WIDTH, Axes, Drawing, round_ticks
from edgekit.report.grid import Table
from edgekit.report.text import as_text
from edgekit.training.logs import METRICS_FILE
from edgekit.training.settings import EpochReport, TrainReport

CURVES_FILE = "curves.svg"
# Sizes in points: height of a panel, room for the words of the lowest scale, room beside the panels.
PANEL, FOOT, LEFT, RIGHT = 120, 14, 40, 10
# Epochs of more are a line without dots.
FEW = 40
STANDALONE = (
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * WIDTH}" font-family="sans-serif" color="#1c1c1c" '
)
BACKGROUND = '<rect width="100%" height="100%" fill="#fff"/>'
# A wider table of confusions does not fit into a terminal; the pairs that are confused most stand for it.
MOST_COLUMNS = 12
MOST_PAIRS = 10


def draw_curves(output: Path) -> Path | None:
    """Draw loss, accuracy and learning rate of a run's finished epochs beside its checkpoint.

    Args:
        output: The run's directory.

    Returns:
        The picture, `curves.svg`; None where no epoch has finished.

    Raises:
        InputError: The log of the epochs cannot be read.
        OutputError: The picture cannot be written.
    """
    log = output / METRICS_FILE
    if not log.is_file():
        return None
    try:
        reports = msgspec.json.Decoder(EpochReport).decode_lines(read_bytes(log, "the log of the epochs"))
    except msgspec.DecodeError as error:
        raise InputError(f"drawing the epochs of {log}: {error}") from error
    if not reports:
        return None
    best = max((report for report in reports if report.best), key=lambda report: report.epoch, default=None)
    drawing = Drawing(3 * PANEL + FOOT)
    shares = {
        label: [100 * value for value in values if value is not None]
        for label, values in (
            ("Top-1", [report.top1 for report in reports]),
            ("Top-5", [report.top5 for report in reports]),
            ("accuracy", [report.mean_accuracy for report in reports]),
        )
        if None not in values
    }
    panels = (
        ("loss", {
            "learned": [report.loss for report in reports],
            "judged": [report.val_loss for report in reports],
        }),
        ("validation, %" if len(shares) > 1 else "mean accuracy of the labels, %", shares),
        ("learning rate", {"learning rate": [report.learning_rate for report in reports]}),
    )  # fmt: skip
    for place, (name, series) in enumerate(panels):
        _draw_panel(drawing, FOOT + (2 - place) * PANEL, name, series, best)
    drawing.text(WIDTH / 2, 2, "epoch", anchor="middle")
    svg = drawing.svg().replace("<svg ", STANDALONE, 1).replace(">", f">{BACKGROUND}", 1)
    write_atomic(output / CURVES_FILE, svg.encode())
    return output / CURVES_FILE


def _draw_panel(
    drawing: Drawing, bottom: float, name: str, series: dict[str, list[float]], best: EpochReport | None
) -> None:
    """Draw values by epoch, each series in its colour, and a dashed line at the best epoch."""
    values = [value for each in series.values() for value in each]
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    epochs = len(next(iter(series.values())))
    # One epoch alone has its place in the middle.
    span = (1.0, float(epochs)) if epochs > 1 else (0.0, 2.0)
    frame = (LEFT, bottom + 14, WIDTH - RIGHT, bottom + PANEL - 12)
    axes = Axes(drawing, frame, span, (low - room, high + room))
    axes.edges()
    axes.below({tick: words for tick, words in round_ticks(*span, 8).items() if float(tick).is_integer()})
    axes.beside(round_ticks(*axes.y, 4), grid=True)
    drawing.text(LEFT, frame[3] + 3, name)
    for number, (label, each) in enumerate(series.items()):
        points = list(enumerate(each, start=1))
        axes.line(points, colour=COLOURS[number], width=1)
        if epochs < FEW:
            for point in points:
                drawing.dot(*axes.place(*point), (COLOURS[number], "●"), size=0.6)
        if len(series) > 1:
            drawing.dot(LEFT + 65 + 40 * number, frame[3] + 6, (COLOURS[number], "●"))
            drawing.text(LEFT + 70 + 40 * number, frame[3] + 3, label)
    share = best and (best.top1 if best.mean_accuracy is None else best.mean_accuracy)
    if best is not None and share is not None and {"Top-1", "accuracy"} & series.keys():
        axes.line([(best.epoch, axes.y[0]), (best.epoch, axes.y[1])], colour=FAINT, width=0.6, dash="3 2")
        words = f"best {share:.2%}, epoch {best.epoch}"
        drawing.text(WIDTH - RIGHT, frame[3] + 3, words, anchor="end")


def training_text(report: TrainReport) -> str:
    """Return the best epoch of a run and its confusions, as lines for a terminal."""
    judge = "agreement with the teacher" if report.judged_by == "teacher" else "Top-1"
    share = report.best_top1
    if share is None:
        judge, share = "mean accuracy of the labels", report.best_mean_accuracy or 0.0
    line = f"{report.best_weights}: {judge} {share:.2%} after epoch {report.best_epoch}"
    if report.stopped_early:
        line += f"; stopped after epoch {len(report.epochs)}, as none was better"
    tables = [table for table in (_confusions(report),) if table is not None]
    return "\n\n".join([line, *([as_text(tables)] if tables else [])])


def _confusions(report: TrainReport) -> Table | None:
    matrix = report.confusion
    if not matrix:
        return None
    names = report.label_names or tuple(map(str, range(len(matrix))))
    true_class = "teacher's class" if report.judged_by == "teacher" else "true class"
    if len(matrix) <= MOST_COLUMNS:
        return Table(
            title=f"validation pictures by {true_class} (rows) and answer (columns)",
            header=(true_class, *names, "same" if report.judged_by == "teacher" else "right"),
            rows=tuple(
                (name, *map(str, row), f"{row[place] / sum(row):.1%}" if sum(row) else "-")
                for place, (name, row) in enumerate(zip(names, matrix, strict=True))
            ),
        )
    pairs = sorted(
        ((count, true, answer) for true, row in enumerate(matrix) for answer, count in enumerate(row)
         if count and true != answer),
        reverse=True,
    )  # fmt: skip
    if not pairs:
        return None
    return Table(
        title="classes that were confused most",
        header=(true_class, "answer", "pictures"),
        words=(0, 1),
        rows=tuple((names[true], names[answer], str(count)) for count, true, answer in pairs[:MOST_PAIRS]),
    )
