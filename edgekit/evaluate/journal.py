"""Journal of an evaluation on disk, from which an interrupted evaluation continues.

The first line identifies the evaluation. One line a picture follows, in the order of the list: what the
model's task keeps of it by route, or the error of the picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Generic

import msgspec

from edgekit._files import lock_file, output_error
from edgekit.errors import OutputError
from edgekit.tasks.truth.evaluation import Found, Seen

JOURNAL_VERSION = 2


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Identity of an evaluation: a journal is continued only where all of these values are equal."""

    version: int = JOURNAL_VERSION
    task: str
    list_sha256: str
    data: str
    pictures: int
    preprocess: str
    routes: tuple[tuple[str, str, str], ...]
    """Engine, precision and the artifact's SHA-256."""


class Journal(Generic[Found]):
    """Journal open for appending, held by a lock; it has the first `done` pictures.

    Args:
        path: Path of the file.
        identity: Identity of the evaluation.
        found: Type of what is kept of a picture.
        restart: True to begin again whatever the file holds.

    Raises:
        OutputError: The journal cannot be written, or another evaluation writes it now.
    """

    def __init__(self, path: Path, identity: Identity, found: Any, *, restart: bool = False) -> None:
        self.path = path
        self._found = found
        self._identity = msgspec.json.encode(identity)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("r+b" if path.exists() else "w+b")
        except OSError as error:
            raise output_error(path, error) from error
        if not lock_file(self._file):
            self._file.close()
            raise OutputError(
                f"writing {path}: another edgekit eval is writing it now",
                hint="wait for it to end, or write elsewhere with -o",
            )
        self.done = 0 if restart else self._find_end()
        if self.done == 0:
            self._write(0, self._identity + b"\n")

    def _find_end(self) -> int:
        """Count complete lines, cut off an incomplete one; return 0 for another evaluation's journal."""
        if self._file.readline() != self._identity + b"\n":
            return 0
        done, end = 0, self._file.tell()
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            done, end = done + 1, end + len(line)
        self._file.seek(end)
        self._file.truncate()
        return done

    def _write(self, position: int, content: bytes) -> None:
        try:
            self._file.seek(position)
            self._file.truncate()
            self._file.write(content)
            self._file.flush()
        except OSError as error:
            raise output_error(self.path, error) from error

    def append(self, pictures: Sequence[Seen[Found]]) -> None:
        """Append a batch; the kernel has the data when this returns."""
        encoder = msgspec.json.Encoder()
        try:
            self._file.write(b"".join(encoder.encode(picture) + b"\n" for picture in pictures))
            self._file.flush()
        except OSError as error:
            raise output_error(self.path, error) from error
        self.done += len(pictures)

    def read(self) -> Iterator[Seen[Found]]:
        """Yield all pictures from the first on."""
        self._file.flush()
        decoder = msgspec.json.Decoder(Seen[self._found])  # type: ignore[name-defined]
        with self.path.open("rb") as file:
            file.readline()
            for line in file:
                yield decoder.decode(line)

    def close(self, *, remove: bool = False) -> None:
        """Close the journal; delete it with `remove` once the evaluation is complete."""
        self._file.close()
        if remove:
            self.path.unlink()
