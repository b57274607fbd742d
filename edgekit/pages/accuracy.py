"""The page of `eval --html` and `report eval.json`: figures, confusions, labels, and wrong pictures."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from edgekit._files import LIST_BYTES, read_bytes
from edgekit._text import one_line
from edgekit.core.accuracy import Share
from edgekit.core.artifact import is_random
from edgekit.errors import InputError
from edgekit.evaluate.boxes import BoxEvalResult
from edgekit.evaluate.documents import EvalDocument
from edgekit.evaluate.label_maps import LabelMapEvalResult
from edgekit.evaluate.tally import EvalResult
from edgekit.pages.accuracy_tables import accuracy_tables
from edgekit.pages.document import document, jpeg_address
from edgekit.report.grid import Table
from edgekit.vision.pictures import Picture, read_picture
from edgekit.vision.thumbnails import thumbnail

# A heat map of more classes cannot be read; the pairs that are confused most stand for it.
MOST_HEAT_CLASSES = 50
MOST_LETTERS = 18
MOST_PAIRS = 30
MOST_LABELS = 30
MOST_SHOWN = 60
# Wrong pictures of one pair of classes beyond these make room for those of others.
MOST_ALIKE = 3
SIDE = 128

Counts = Counter[tuple[int, int]]
"""Number of pictures by true and predicted class."""


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """A share with its interval, for a bar; per cent."""

    name: str
    share: float
    low: float
    high: float


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A cell of a heat map: its place, how full it is from 0 to 1, and its words."""

    x: int
    y: int
    share: float
    count: int
    title: str


class Heat(msgspec.Struct, frozen=True, kw_only=True):
    """A confusion matrix: true classes downwards, predicted ones to the right."""

    labels: tuple[str, ...]
    cells: tuple[Cell, ...]

    @property
    def side(self) -> int:
        """Side of a cell, CSS pixels."""
        return max(14, min(40, 640 // len(self.labels)))

    @property
    def margin(self) -> int:
        """Room for the labels at the left and the top, CSS pixels."""
        return max(76, 14 + 6 * min(MOST_LETTERS, max(map(len, self.labels))))

    @property
    def short_labels(self) -> list[str]:
        """The labels, cut to what the margin holds."""
        return [
            label if len(label) <= MOST_LETTERS else f"{label[: MOST_LETTERS - 1]}…" for label in self.labels
        ]


class RouteView(msgspec.Struct, frozen=True, kw_only=True):
    """The confusions and labels of one engine at one precision."""

    name: str
    heat: Heat | None
    pairs: Table
    worst: Table
    others: Table | None


class WrongPicture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture with its true label and each route's answer; `address` is None where it cannot be read."""

    name: str
    address: str | None
    truth: str
    answers: tuple[tuple[str, str, bool], ...]


class View(msgspec.Struct, frozen=True, kw_only=True):
    """One evaluation on the page."""

    title: str
    facts: str
    warnings: tuple[str, ...]
    bars: tuple[tuple[str, tuple[Bar, ...]], ...]
    tables: tuple[Table, ...]
    routes: tuple[RouteView, ...] = ()
    galleries: tuple[tuple[str, str, tuple[WrongPicture, ...]], ...] = ()


def accuracy_page(evaluations: Sequence[tuple[Path, EvalDocument]]) -> str:
    """Render the page of evaluations, each with the path of its document.

    The tables of confusions and of wrong pictures are read beside the document, the pictures where the
    evaluation read them; what is gone is left out.

    Raises:
        ToolError: jinja2 is not installed.
    """
    views = [_view(path, result) for path, result in evaluations]
    names = list(dict.fromkeys(result.model for _, result in evaluations))
    return document("accuracy", title=f"{', '.join(names)}: accuracy", views=views)


def _view(path: Path, result: EvalDocument) -> View:
    warnings = []
    if is_random(result.weights):
        warnings.append(f"weights: {result.weights}: this accuracy means nothing")
    if result.unreadable:
        warnings.append(f"{result.unreadable} pictures could not be read; first: {result.first_error}")
    view = View(
        title=result.model,
        facts=f"{result.pictures:,} pictures of {result.list_path} (SHA-256 {result.list_sha256[:12]}), "
        f"on {result.target}, {result.ended_at}, weights: {result.weights or 'unknown'}, "
        f"edgekit {result.edgekit_version}",
        warnings=tuple(map(one_line, warnings)),
        bars=_bars(result),
        tables=accuracy_tables(result),
    )
    if not isinstance(result, EvalResult):
        return view if isinstance(result, LabelMapEvalResult) else _with_classes(view, result)
    confusions = _read_confusions(path, result)
    wrong = _read_rows(path, result.wrong_path)
    return msgspec.structs.replace(
        view,
        routes=tuple(
            _route(result, f"{engine} {precision}", counts)
            for (engine, precision), counts in confusions.items()
        ),
        galleries=tuple(
            (title, f"{len(shown)} of {total:,}", shown)
            for title, (shown, total) in (
                ("Wrong pictures", _gallery(result, wrong)),
                (
                    "Pictures on which the answers differ",
                    _gallery(result, _read_rows(path, result.disagreements_path)),
                ),
            )
            if shown
        ),
    )


def _bars(result: EvalDocument) -> tuple[tuple[str, tuple[Bar, ...]], ...]:
    if isinstance(result, BoxEvalResult):
        aps = [(f"{one.engine} {one.precision.value}", one.figures.ap) for one in result.routes]
        return (("mAP", tuple(_plain(name, 0.0 if ap is None else ap) for name, ap in aps)),)
    if isinstance(result, LabelMapEvalResult):
        ious = [(f"{one.engine} {one.precision.value}", one.figures.mean_iou) for one in result.routes]
        return (("mIoU", tuple(_plain(name, iou) for name, iou in ious)),)
    few = result.num_classes is not None and result.num_classes <= 5
    named = [(f"{one.engine} {one.precision.value}", one) for one in result.routes]
    top1 = tuple(_interval(name, one.top1) for name, one in named)
    top5 = tuple(_interval(name, one.top5) for name, one in named)
    return (("Top-1", top1),) if few else (("Top-1", top1), ("Top-5", top5))


def _interval(name: str, share: Share) -> Bar:
    return Bar(name=name, share=100 * share.share, low=100 * share.low, high=100 * share.high)


def _plain(name: str, share: float) -> Bar:
    return Bar(name=name, share=100 * share, low=100 * share, high=100 * share)


def _with_classes(view: View, result: BoxEvalResult) -> View:
    """Add the average precision by class."""
    by_class = zip(result.classes, *(one.figures.by_class for one in result.routes), strict=True)
    table = Table(
        title="AP by class, per cent; - for a class without objects",
        header=("class", *(f"{one.engine} {one.precision.value}" for one in result.routes)),
        rows=tuple(
            (name, *("-" if ap is None else f"{100 * ap:.2f}" for ap in aps)) for name, *aps in by_class
        ),
    )
    return msgspec.structs.replace(view, tables=(*view.tables, table))


def _route(result: EvalResult, name: str, counts: Counts) -> RouteView:
    classes = sorted({one for pair in counts for one in pair})
    truth: Counter[int] = Counter()
    answered: Counter[int] = Counter()
    for (true, predicted), number in counts.items():
        truth[true] += number
        answered[predicted] += number
    wrong = [(pair, number) for pair, number in counts.most_common() if pair[0] != pair[1]]
    pairs = Table(
        title="Confused most often",
        header=("true", "answered", "pictures", "of the true ones"),
        rows=tuple(
            (_label(result, true), _label(result, predicted), str(number), f"{number / truth[true]:.1%}")
            for (true, predicted), number in wrong[:MOST_PAIRS]
        ),
        words=(0, 1),
        notes=(f"{len(wrong) - MOST_PAIRS} more pairs",) if len(wrong) > MOST_PAIRS else (),
    )
    lines = sorted(
        (counts[one, one] / truth[one] if truth[one] else 2.0, -truth[one], one) for one in classes
    )
    rows = tuple(
        (
            _label(result, one),
            str(truth[one]),
            f"{counts[one, one] / answered[one]:.1%}" if answered[one] else "-",
            f"{counts[one, one] / truth[one]:.1%}" if truth[one] else "-",
        )
        for _, _, one in lines
    )
    header = ("label", "pictures", "precision", "recall")
    title = "Labels, the worst recall first"
    return RouteView(
        name=name,
        heat=_heat(result, classes, counts, truth) if len(classes) <= MOST_HEAT_CLASSES else None,
        pairs=pairs,
        worst=Table(title=title, header=header, rows=rows[:MOST_LABELS]),
        others=Table(header=header, rows=rows[MOST_LABELS:]) if len(rows) > MOST_LABELS else None,
    )


def _heat(result: EvalResult, classes: Sequence[int], counts: Counts, truth: Counter[int]) -> Heat:
    place = {one: index for index, one in enumerate(classes)}
    cells = [
        Cell(
            x=place[predicted],
            y=place[true],
            share=number / truth[true],
            count=number,
            title=f"{_label(result, true)}: {number} of {truth[true]} "
            f"answered as {_label(result, predicted)}",
        )
        for (true, predicted), number in sorted(counts.items())
    ]
    return Heat(labels=tuple(_label(result, one) for one in classes), cells=tuple(cells))


def _gallery(result: EvalResult, rows: Iterable[Sequence[str]]) -> tuple[tuple[WrongPicture, ...], int]:
    """Return pictures of as many pairs of classes as possible, and the number of all pictures."""
    seen: Counter[tuple[str, ...]] = Counter()
    chosen: list[Sequence[str]] = []
    spare: list[Sequence[str]] = []
    total = 0
    for row in rows:
        total += 1
        pair = tuple(row[1:])
        seen[pair] += 1
        if seen[pair] <= MOST_ALIKE and len(chosen) < MOST_SHOWN:
            chosen.append(row)
        elif len(spare) < MOST_SHOWN:
            spare.append(row)
    chosen += spare[: MOST_SHOWN - len(chosen)]
    names = [f"{one.engine} {one.precision.value}" for one in result.routes]
    shown = []
    for path, true, *answers in chosen:
        words = tuple(
            (name, _label(result, int(answer)), answer == true)
            for name, answer in zip(names, answers, strict=True)
        )
        if len({label for _, label, _ in words}) == 1:
            words = (("every engine" if len(words) > 1 else words[0][0], *words[0][1:]),)
        address = _address(Path(result.data) / path)
        shown.append(
            WrongPicture(name=one_line(path), address=address, truth=_label(result, int(true)), answers=words)
        )
    return tuple(shown), total


def _address(path: Path) -> str | None:
    try:
        pixels = read_picture(Picture(name=str(path), source=path), shrink_to=SIDE)
    except InputError:
        return None
    return jpeg_address(thumbnail(pixels, SIDE))


def _label(result: EvalResult, class_id: int) -> str:
    return one_line(result.classes[class_id]) if class_id < len(result.classes) else f"class {class_id}"


def _read_confusions(path: Path, result: EvalResult) -> dict[tuple[str, str], Counts]:
    confusions: dict[tuple[str, str], Counts] = {
        (one.engine, one.precision.value): Counter() for one in result.routes
    }
    for engine, precision, true, predicted, number in _read_csv(path, result.confusion_path):
        if (engine, precision) in confusions:
            confusions[engine, precision][int(true), int(predicted)] += int(number)
    return {route: counts for route, counts in confusions.items() if counts}


def _read_rows(path: Path, name: str | None) -> list[list[str]]:
    """Return picture, true class and each route's class from a CSV, without pictures that were not read."""
    return [row[:-1] for row in _read_csv(path, name) if not row[-1]]


def _read_csv(path: Path, name: str | None) -> list[list[str]]:
    """Return the lines of a CSV beside the document, without its header; none where it is gone."""
    if name is None:
        return []
    try:
        content = read_bytes(path.with_name(Path(name).name), "the table", most_bytes=LIST_BYTES)
    except InputError:
        return []
    return list(csv.reader(content.decode(errors="replace").splitlines(keepends=True)))[1:]
