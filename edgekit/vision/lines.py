"""Users' text files, read line by line: lists of pictures and label files."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from edgekit._files import open_plain_file
from edgekit.errors import InputError

MAX_LINE_BYTES = 1 << 16


def read_lines(path: Path, what: str, hint: str) -> Iterator[str]:
    """Yield the lines of a UTF-8 file without their ends.

    A line ends in LF, CR LF or CR only; U+2028 and form feed are part of the text. A byte order mark at the
    beginning is skipped.

    Args:
        path: Path of the file.
        what: Kind of the file for messages, e.g. `the list`.
        hint: Advice for the user about a line that cannot be read.

    Raises:
        InputError: The file cannot be read, or a line (its number is named) is not UTF-8 or contains a NUL.
    """
    number = 0
    try:
        with open_plain_file(path, what, hint=hint) as file:
            while chunk := file.readline(MAX_LINE_BYTES + 1):
                if len(chunk) > MAX_LINE_BYTES:
                    where = f"reading {what} {path}, line {number + 1}"
                    raise InputError(f"{where}: it is longer than {MAX_LINE_BYTES >> 10} KiB", hint=hint)
                if number == 0:
                    chunk = chunk.removeprefix(codecs.BOM_UTF8)
                for line in chunk.removesuffix(b"\n").removesuffix(b"\r").split(b"\r"):
                    number += 1
                    yield _decode(line, f"reading {what} {path}, line {number}", hint)
    except OSError as error:
        raise InputError(f"reading {what} {path}: {error.strerror or error}", hint=hint) from error


def _decode(line: bytes, where: str, hint: str) -> str:
    if b"\0" in line:
        raise InputError(f"{where}: it holds a NUL byte", hint=hint)
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 text ({error.reason})", hint=hint) from error
