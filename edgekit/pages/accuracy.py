"""The page of `eval --html` and `report eval.json`: figures, confusions, labels, and wrong pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit._text import one_line
from edgekit.core.artifact import is_random
from edgekit.core.tables import Table
from edgekit.errors import InputError
from edgekit.pages.document import document, jpeg_address
from edgekit.tasks.truth.evaluation import Bar, Evaluation, Mark, Mistake
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
# Boxes need larger pictures.
BOXES_SIDE = 320

Counts = Counter[tuple[int, int]]
"""Number of pictures by true and predicted class."""


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
        return max(92, 14 + 6 * min(MOST_LETTERS, max(map(len, self.labels))))

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
    """A picture with its true label and each route's answer.

    Attributes:
        address: JPEG of the picture; None where it cannot be read.
        size: Width and height of the picture itself, pixels, in which the marks are.
        marks: Boxes to draw.
    """

    name: str
    address: str | None
    size: tuple[int, int]
    marks: tuple[Mark, ...]
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


def accuracy_page(evaluations: Sequence[tuple[Path, Evaluation]]) -> str:
    """Render the page of evaluations, each with the path of its document.

    The tables of confusions and of wrong pictures are read beside the document, the pictures where the
    evaluation read them; what is gone is left out, which the page says.

    Raises:
        InputError: A file beside a document is damaged.
        ToolError: jinja2 is not installed.
    """
    views = [_view(path, result) for path, result in evaluations]
    names = list(dict.fromkeys(result.model for _, result in evaluations))
    return document("accuracy", title=f"{', '.join(names)}: accuracy", views=views)


def _view(path: Path, result: Evaluation) -> View:
    warnings = []
    if is_random(result.weights):
        warnings.append(f"weights: {result.weights}: this accuracy means nothing")
    if result.unreadable:
        warnings.append(f"{result.unreadable} pictures could not be read; first: {result.first_error}")
    names = [Path(each).name for each in result.beside()]
    gone = [name for name in names if not path.with_name(name).is_file()]
    if gone:
        warnings.append(f"not beside {path.name}, so left out: {', '.join(gone)}")
    try:
        confusions, mistakes = result.confusions(path), result.mistakes(path)
    except (ValueError, msgspec.MsgspecError) as error:
        raise InputError(
            f"reading the files beside {path}: damaged: {error}",
            hint="edgekit eval NAME --data DIR --list FILE writes them anew",
        ) from error
    galleries = ((title, len(rows), _gallery(result, rows)) for title, rows in mistakes)
    return View(
        title=result.model,
        facts=f"{result.counted} (SHA-256 {result.list_sha256[:12]}), "
        f"on {result.target}, {result.ended_at[:16].replace('T', ' ')}, "
        f"weights: {result.weights or 'unknown'}, edgekit {result.edgekit_version}",
        warnings=tuple(map(one_line, warnings)),
        bars=result.bars(),
        tables=(*result.tables(), *result.details()),
        routes=tuple(_route(result, name, counts) for name, counts in confusions.items()),
        galleries=tuple(
            (title, f"{len(shown)} of {total:,}", shown) for title, total, shown in galleries if shown
        ),
    )


def _route(result: Evaluation, name: str, counts: Counts) -> RouteView:
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
            (result.label(true), result.label(predicted), str(number), f"{number / truth[true]:.1%}")
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
            result.label(one),
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


def _heat(result: Evaluation, classes: Sequence[int], counts: Counts, truth: Counter[int]) -> Heat:
    place = {one: index for index, one in enumerate(classes)}
    cells = [
        Cell(
            x=place[predicted],
            y=place[true],
            share=number / truth[true],
            count=number,
            title=f"{result.label(true)}: {number} of {truth[true]} answered as {result.label(predicted)}",
        )
        for (true, predicted), number in sorted(counts.items())
    ]
    return Heat(labels=tuple(result.label(one) for one in classes), cells=tuple(cells))


def _gallery(result: Evaluation, rows: Sequence[Mistake]) -> tuple[WrongPicture, ...]:
    """Return pictures of as many mistakes as possible."""
    seen: Counter[tuple[object, ...]] = Counter()
    chosen: list[Mistake] = []
    spare: list[Mistake] = []
    for row in rows:
        pair = (row.truth, row.answers)
        seen[pair] += 1
        if seen[pair] <= MOST_ALIKE and len(chosen) < MOST_SHOWN:
            chosen.append(row)
        elif len(spare) < MOST_SHOWN:
            spare.append(row)
    chosen += spare[: MOST_SHOWN - len(chosen)]
    shown = []
    for path, truth, answers, marks in chosen:
        words = tuple((one.name, *answer) for one, answer in zip(result.routes, answers, strict=True))
        if len({label for _, label, _ in words}) == 1:
            words = (("every engine" if len(words) > 1 else words[0][0], *words[0][1:]),)
        address, size = _address(Path(result.data) / path, BOXES_SIDE if marks else SIDE)
        shown.append(
            WrongPicture(
                name=one_line(path), address=address, size=size, marks=marks, truth=truth, answers=words
            )
        )
    return tuple(shown)


def _address(path: Path, side: int) -> tuple[str | None, tuple[int, int]]:
    """Return the picture's thumbnail as an address, and the picture's width and height, pixels."""
    try:
        # Boxes are in pixels of the whole picture.
        shrink_to = side if side == SIDE else None
        pixels = read_picture(Picture(name=str(path), source=path), shrink_to=shrink_to)
    except InputError:
        return None, (0, 0)
    height, width = pixels.shape[:2]
    return jpeg_address(thumbnail(pixels, side)), (width, height)
