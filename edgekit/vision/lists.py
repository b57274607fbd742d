"""Labelled lists of pictures in ImageNet's form: a path and a class number a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from edgekit.errors import InputError

HINT = "one picture a line: its path below --data, a space, and its class number from 0"


class Labelled(msgspec.Struct, frozen=True, kw_only=True):
    """One line: the picture's path as written, and its class."""

    path: str
    label: int


def read_list(path: Path, num_classes: int) -> Iterator[Labelled]:
    """The lines of a list, one by one; blank lines are passed over, paths may hold spaces.

    Raises:
        InputError: The list cannot be read, or a line (its number is named) has no valid class.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _parse(line, f"{path}, line {number}", num_classes)
    except OSError as error:
        raise InputError(f"reading the list {path}: {error.strerror or error}", hint=HINT) from error
    except UnicodeDecodeError as error:
        raise InputError(f"reading the list {path}: not UTF-8 text ({error.reason})", hint=HINT) from error


def count_list(path: Path, num_classes: int) -> int:
    """Check the whole list and count its pictures.

    Raises:
        InputError: As `read_list`, or there is no picture in it.
    """
    count = sum(1 for _ in read_list(path, num_classes))
    if not count:
        raise InputError(f"reading the list {path}: it is empty", hint=HINT)
    return count


def _parse(line: str, where: str, num_classes: int) -> Labelled:
    parts = line.strip().rsplit(None, 1)
    if len(parts) != 2 or not parts[1].isascii() or not parts[1].isdigit():
        raise InputError(
            f"reading the list {where}: {line.strip()[:80]!r} does not end in a class", hint=HINT
        )
    label = int(parts[1])
    if label >= num_classes:
        raise InputError(
            f"reading the list {where}: class {label}, but the model has {num_classes} classes",
            hint="classes count from 0; is this the list for this model?",
        )
    return Labelled(path=parts[0], label=label)
