"""Keep the finished turns of a sweep in a journal, and make the result document from it.

A bench appends every finished turn to `FILE.journal`, so that saving costs the same however many turns there
were. The journal holds all that the document needs: its first line is the document that the sweep starts
from, each line after it one point as it now stands and the process that it gained. `settle` makes the
document from it: at the end of the bench, after Ctrl-C, and, where the bench was killed, in the next command
that reads FILE.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
from msgspec import Meta

from edgekit._files import atomic_file, lock_file, output_error
from edgekit.bench.document import layout
from edgekit.core.measurement import Point, ProcessRun, Result, Timestamp
from edgekit.errors import InputError, OutputError

# Waiting for a busy disk takes up to tens of milliseconds, too much after every turn of a quick sweep.
SYNC_S = 5.0
NOTHING = msgspec.Raw(b"null")


class _Line(msgspec.Struct, kw_only=True):
    """One line after the first.

    Attributes:
        point: The point's number.
        state: The point without its processes; its parts stay as they are, whatever version wrote them.
        run: The process that it gained.
        ended_at: In the last line alone: when the sweep ended.
    """

    point: Annotated[int, Meta(ge=0)] = 0
    state: msgspec.Raw = NOTHING
    run: msgspec.Raw = NOTHING
    ended_at: Timestamp | None = None


def journal_path(path: Path) -> Path:
    """Return the path of the journal that belongs to a result file."""
    return path.with_name(f"{path.name}.journal")


class Journal:
    """The journal of a sweep that runs; a lock on the file tells other commands that it does.

    Args:
        path: The result file. A journal that a killed bench left beside it is settled first.
        document: The result that the sweep starts from, with the processes of an earlier run.

    Raises:
        OutputError: The place cannot be written, or another bench writes there now.
    """

    def __init__(self, path: Path, document: Result) -> None:
        settle(path)
        self.path = path
        self.turns = 0
        self._synced = 0.0
        journal = journal_path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = journal.open("ab")
        except OSError as error:
            raise output_error(path, error) from error
        if not lock_file(self._file):
            self._file.close()
            raise OutputError(
                f"writing {path}: another edgekit bench is writing it now", hint="write elsewhere with -o"
            )
        self._write(msgspec.json.encode(document))

    def add(self, number: int, point: Point, run: ProcessRun | None = None) -> None:
        """Append a point in its present state, and the process that was just measured for it.

        Raises:
            OutputError: The place is full or gone.
        """
        self.turns += 1
        line = _Line(
            point=number,
            state=msgspec.Raw(msgspec.json.encode(point.bare)),
            run=msgspec.Raw(msgspec.json.encode(run)),
        )
        self._write(msgspec.json.encode(line))

    def _write(self, line: bytes) -> None:
        """Append a line and hand it to the kernel; a power cut takes the lines of SYNC_S seconds."""
        try:
            self._file.write(line + b"\n")
            self._file.flush()
            if time.monotonic() - self._synced >= SYNC_S:
                os.fdatasync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise output_error(self.path, error) from error

    def close(self, ended_at: str) -> bool:
        """End the journal: write the result file if a turn was added, else leave that file as it was.

        Returns:
            Whether it was written.

        Raises:
            OutputError: The place is full or gone; the journal stays.
        """
        with self._file:
            if self.turns:
                self._write(msgspec.json.encode(_Line(ended_at=ended_at)))
                with journal_path(self.path).open("rb") as file:
                    _make_document(self.path, file)
            journal_path(self.path).unlink()
        return self.turns > 0


def settle(path: Path) -> bytes | None:
    """Make the document of a journal that a killed bench has left, and remove the journal.

    Returns:
        The document where it cannot take the place of the result file: the bench still runs, or nothing may
        be written there. None where the result file is what counts.

    Raises:
        InputError: The journal is damaged elsewhere than in its last line.
    """
    try:
        file = journal_path(path).open("rb")
    except (OSError, ValueError):  # of an empty name
        return None
    with file:
        # Who finds it locked reads it beside the bench that goes on with it.
        held = lock_file(file)
        if os.fstat(file.fileno()).st_nlink == 0:
            return None
        if held:
            with contextlib.suppress(OutputError, OSError):
                if _has_turns(file):
                    _make_document(path, file)
                journal_path(path).unlink()
                return None
        if not _has_turns(file):
            return None
        written = io.BytesIO()
        _assemble(file, written.write)
        return written.getvalue()


def _make_document(path: Path, file: BinaryIO) -> None:
    with atomic_file(path) as temporary, temporary.open("wb") as document:
        _assemble(file, document.write)


def _has_turns(file: BinaryIO) -> bool:
    """Return whether a journal has a whole line after its first line."""
    file.seek(0)
    file.readline()
    return file.readline().endswith(b"\n")


def _assemble(file: BinaryIO, write: Callable[[bytes], object]) -> None:
    """Write the document of a journal, with one process in memory at a time."""
    file.seek(0)
    try:
        head = msgspec.json.decode(file.readline(), type=dict[str, msgspec.Raw])
        points = [_Kept(raw) for raw in msgspec.json.decode(head["points"], type=list[msgspec.Raw])]
        for line, start in _lines(file):
            if line.state != NOTHING:
                points[line.point].state = bytes(line.state)
            if line.run != NOTHING:
                points[line.point].starts.append(start)
            if line.ended_at is not None:
                head["ended_at"] = msgspec.Raw(msgspec.json.encode(line.ended_at))
    except (msgspec.DecodeError, KeyError, IndexError) as error:
        raise InputError(
            f"reading the journal {file.name}: line {_count(file)}: {error}",
            hint=shlex.join(["mv", file.name, f"{file.name}.damaged"]),
        ) from error
    head["points"] = msgspec.Raw(b"[]")
    for part in layout(msgspec.json.encode(head), ((one.state, one.runs(file)) for one in points)):
        write(part)


class _Kept:
    """A point of a journal: its JSON without processes, and the places of its processes in the file.

    Args:
        start: JSON of the point in the first line.
    """

    def __init__(self, start: msgspec.Raw) -> None:
        fields = msgspec.json.decode(start, type=dict[str, msgspec.Raw])
        self._earlier = msgspec.json.decode(fields["processes"], type=list[msgspec.Raw])
        self.state = msgspec.json.encode({**fields, "processes": ()})
        self.starts: list[int] = []

    def runs(self, file: BinaryIO) -> Iterator[bytes]:
        """Yield the JSON of each process of the point, reading one line of the journal at a time."""
        yield from map(bytes, self._earlier)
        for start in self.starts:
            file.seek(start)
            yield bytes(msgspec.json.decode(file.readline(), type=_Line).run)


def _lines(file: BinaryIO) -> Iterator[tuple[_Line, int]]:
    """Yield each whole line from here on with its position; a last line that was cut off is left out."""
    decoder = msgspec.json.Decoder(_Line)
    while True:
        start = file.tell()
        text = file.readline()
        if not text.endswith(b"\n"):
            return
        yield decoder.decode(text), start


def _count(file: BinaryIO) -> int:
    """Return the number of the line that was read last."""
    end = file.tell()
    file.seek(0)
    return file.read(end).count(b"\n")
