"""Labelled lists of pictures in ImageNet's form: a path and a class number a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from edgekit._files import LIST_BYTES, check_plain_file
from edgekit.errors import InputError
from edgekit.vision.lines import read_lines

HINT = "one picture a line: its path below --data, a space, and its class number from 0"
_BLANK = " \t"
_ENTRY = re.compile(r"(.*[^ \t])[ \t]+([0-9]{1,9})", re.DOTALL)


# Class of a picture of which nobody said it.
UNLABELLED = -1


class Labelled(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a list: the picture's path as written, and its class, or UNLABELLED."""

    path: str
    label: int


def read_list(path: Path, num_classes: int, *, unlabelled: bool = False) -> Iterator[Labelled]:
    """Yield the lines of a list; blank lines are skipped, paths may contain spaces.

    Args:
        path: The list.
        num_classes: Number of classes that the list may name.
        unlabelled: Whether a line may be a path alone.

    Raises:
        InputError: The list cannot be read, or a line (its number is named) has no valid class.
    """
    for number, line in enumerate(read_lines(path, "the list", HINT), start=1):
        if line.strip(_BLANK):
            yield _parse(line.strip(_BLANK), f"{path}, line {number}", num_classes, unlabelled)


def check_list(path: Path) -> None:
    """Raise InputError where a list is no plain file, or too large for one."""
    check_plain_file(path, "the list", hint=HINT, most_bytes=LIST_BYTES)


def count_list(path: Path, num_classes: int) -> int:
    """Check the whole list and count its pictures.

    Raises:
        InputError: The list cannot be read, has a line without a valid class, or is empty.
    """
    check_list(path)
    count = sum(1 for _ in read_list(path, num_classes))
    if not count:
        raise InputError(f"reading the list {path}: it is empty", hint=HINT)
    return count


def _parse(line: str, where: str, num_classes: int, unlabelled: bool) -> Labelled:
    match = _ENTRY.fullmatch(line)
    if match is None and unlabelled:
        return Labelled(path=line, label=UNLABELLED)
    if match is None:
        raise InputError(f"reading the list {where}: {line[:80]!r} does not end in a class", hint=HINT)
    label = int(match[2])
    if label >= num_classes:
        raise InputError(
            f"reading the list {where}: class {label}, but the model has {num_classes} classes",
            hint="classes count from 0; is this the list for this model?",
        )
    return Labelled(path=match[1], label=label)
