"""The page of `predict --html`: thumbnails with their answers, filtered by label, file name and score.

The page is written while the pictures are predicted. They lie in it as JSON in parts, and their thumbnails
in parts beside them, of which the browser reads only those that are looked at, so that a page of 10,000
pictures opens at once.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import msgspec

from edgekit._files import atomic_file
from edgekit._text import printable
from edgekit.errors import OutputError
from edgekit.pages.document import document
from edgekit.tasks.task import Answer, Shown, Task
from edgekit.vision.label_maps import MOST_CLASSES, palette
from edgekit.vision.pictures import Unreadable

PART = 500
MOST_THUMBNAILS = 10_000
# Boxes of a picture beyond the best ones are counted, and neither drawn nor listed.
MOST_FINDINGS = 30
_PARTS = "<!-- parts -->"
_FACTS = "<!-- facts -->"


def thumbnail_side(pictures: int) -> int:
    """Return the long side of thumbnails with which a page of so many pictures stays under 20 MB, pixels."""
    return 192 if pictures <= 1_000 else 112 if pictures <= 4_000 else 72


class AnswersPage:
    """A page that is open for writing; `open_answers` makes it."""

    def __init__(self, file: TextIO, task: Task, side: int) -> None:
        self._file = file
        self._task = task
        self._side = side
        self._part: list[Any] = []
        self._looks: list[tuple[str, str]] = []
        self._labels: dict[int, str] = {}
        self._unreadable: list[str] = []
        self._thumbnails = 0

    def add(
        self, pictures: Sequence[Shown], answers: Sequence[Answer], unreadable: Sequence[Unreadable]
    ) -> None:
        """Add a batch: pictures with their answers, and items that are not pictures."""
        for picture, answer in zip(pictures, answers, strict=True):
            self._part.append(self._picture(picture, answer))
        self._unreadable += [printable(each.error.message) for each in unreadable]
        if len(self._part) >= PART:
            self.flush()

    def flush(self) -> None:
        """Write the part that is being collected."""
        if self._part:
            for name, values in (("part", self._part), ("looks", self._looks)):
                self._file.write(
                    f'<script type="application/json" class="{name}">{_inline(values)}</script>\n'
                )
            self._part, self._looks = [], []

    def facts(self) -> str:
        """Return what the script needs beside the pictures, as JSON to stand in a script element."""
        task, labels = self._task, self._labels
        areas = task.score_name == "area"
        return _inline(
            {
                "labels": labels,
                "unreadable": self._unreadable,
                "side": self._side,
                "zoom": 1 if self._side > 100 else 1.25,
                "best": task.one_class,
                "tall": task.draws,
                "rows": 5,
                "percent": areas,
                "palette": {number: palette(MOST_CLASSES)[number].tolist() for number in labels}
                if areas
                else {},
                "none": "nothing found",
            }
        )

    def _picture(self, picture: Shown, answer: Answer) -> list[Any]:
        found = []
        findings = self._task.findings(answer)
        for one in findings[:MOST_FINDINGS]:
            if one.label is not None:
                self._labels[one.class_id] = printable(one.label)
            box = () if one.box is None else map(round, one.box)
            found.append([one.class_id, round(one.score, 4), *box])
        thumbnail = mask = ""
        if picture.thumbnail is not None and self._thumbnails < MOST_THUMBNAILS:
            self._thumbnails += 1
            thumbnail = base64.b64encode(picture.thumbnail).decode()
            mask = base64.b64encode(self._task.mask(answer, self._side) or b"").decode()
        self._looks.append((thumbnail, mask))
        record = [printable(picture.name), picture.width, picture.height, found]
        if not findings and not self._task.draws:
            record.append(answer.line())
        return record


@contextlib.contextmanager
def open_answers(path: Path, task: Task, side: int, *, title: str, subtitle: str) -> Iterator[AnswersPage]:
    """Open a page; it is there, whole, once the block has ended without an error.

    Args:
        path: Path of the page.
        task: The model's task.
        side: Long side of the thumbnails, pixels.
        title: Heading of the page.
        subtitle: Line below the heading.

    Raises:
        ToolError: jinja2 is not installed.
        OutputError: The page cannot be written.
    """
    doubt = task.manifest.doubt
    text = document(
        "answers",
        script="answers",
        title=title,
        subtitle=subtitle,
        warnings=() if doubt is None else (doubt,),
        score_name=task.score_name,
        side=side,
        parts=_PARTS,
        facts=_FACTS,
    )
    head, middle, tail = re.split(f"{re.escape(_PARTS)}|{re.escape(_FACTS)}", text)
    try:
        with atomic_file(path) as part, part.open("w", encoding="utf-8") as file:
            file.write(head)
            page = AnswersPage(file, task, side)
            yield page
            page.flush()
            file.write(middle + page.facts() + tail + "\n")
    except OutputError as error:
        if error.message.startswith(f"writing {path}:"):
            raise OutputError(error.message, hint="name another file (--html FILE)") from error
        raise


def _inline(value: Any) -> str:
    """Return JSON in which nothing ends or opens an element."""
    return msgspec.json.encode(value).decode().replace("<", "\\u003c")
