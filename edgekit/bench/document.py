"""How a result document is laid out: indented JSON, each process with all its samples on one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from edgekit._files import atomic_file
from edgekit.core.measurement import Result

# What indenting makes of a document without points, and of a point without processes.
POINTS = b'\n "points": []'
PROCESSES = b'\n   "processes": []'


def encode_result(result: Result) -> bytes:
    """The document as it is written."""
    return b"".join(_parts(result))


def save_result(path: Path, result: Result) -> None:
    """Write the whole document or leave the old one. Raises OutputError."""
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        file.writelines(_parts(result))


def layout(head: bytes, points: Iterable[tuple[bytes, Iterable[bytes]]]) -> Iterator[bytes]:
    """The document, part by part.

    Args:
        head: JSON of the document without points.
        points: Of each the JSON without processes, and the JSON of every process.
    """
    before, _, after = msgspec.json.format(head, indent=1).partition(POINTS)
    yield before + b'\n "points": ['
    comma = b""
    for state, runs in points:
        start, _, end = msgspec.json.format(state, indent=1).replace(b"\n", b"\n  ").partition(PROCESSES)
        yield comma + b"\n  " + start + b'\n   "processes": ['
        between = b"\n    "
        for run in runs:
            yield between + run
            between = b",\n    "
        yield b"]" + end
        comma = b","
    yield b"]" + after + b"\n"


def _parts(result: Result) -> Iterator[bytes]:
    points = (
        (msgspec.json.encode(point.bare), map(msgspec.json.encode, point.processes))
        for point in result.points
    )
    return layout(msgspec.json.encode(msgspec.structs.replace(result, points=())), points)
