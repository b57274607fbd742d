"""Text files that people bring, line by line: lists of pictures and files of labels."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from edgekit._files import open_plain_file
from edgekit.errors import InputError

MAX_LINE_BYTES = 1 << 16


def read_lines(path: Path, what: str, hint: str) -> Iterator[str]:
    """The lines of a UTF-8 file without their ends, one by one.

    A line ends in LF, CR LF or CR, and in nothing else: U+2028 and form feed belong to the text. A byte order
    mark at the beginning is passed over.

    Args:
        path: The file.
        what: What the file is to be, e.g. `the list`, for messages.
        hint: What the user can do about a line that cannot be read.

    Raises:
        InputError: The file cannot be read, or a line (its number is named) is not UTF-8 or holds a NUL.
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
