"""Write result documents: indented JSON with each process, all its samples included, on one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from edgekit._files import atomic_file
from edgekit.core.measurement import Result

# What indenting makes of a document without points, and of a point without processes.
POINTS = b'\n "points": []'
PROCESSES = b'\n   "processes": []'


def save_result(path: Path, result: Result) -> None:
    """Write a whole document or leave the old file. Raises OutputError."""
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        file.writelines(encode_result(result))


def layout(head: bytes, points: Iterable[tuple[bytes, Iterable[bytes]]]) -> Iterator[bytes]:
    """Yield a document part by part.

    Args:
        head: JSON of the document without points.
        points: The JSON of each point without processes, with the JSON of each process.
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


def encode_result(result: Result) -> Iterator[bytes]:
    """Yield a whole document part by part."""
    points = (
        (msgspec.json.encode(point.bare), map(msgspec.json.encode, point.processes))
        for point in result.points
    )
    return layout(msgspec.json.encode(msgspec.structs.replace(result, points=())), points)
