"""What an evaluation has seen so far, on disk: it goes on from here after whatever stopped it.

The first line says what is evaluated; after it comes one line a picture, in the order of the list: the
five best classes by route, or why there are none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from edgekit._files import output_error
from edgekit.errors import OutputError

JOURNAL_VERSION = 1


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What is evaluated: two journals belong together only where all of this is equal."""

    version: int = JOURNAL_VERSION
    list_sha256: str
    data: str
    pictures: int
    preprocess: str
    routes: tuple[tuple[str, str, str], ...]
    """Engine, precision and the artifact's SHA-256."""


class Seen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One picture: its best classes by route, best first; or what was wrong with it."""

    top: tuple[tuple[int, ...], ...] = ()
    error: str | None = None


class Journal:
    """A journal open for appending; `done` pictures are in it.

    Raises:
        OutputError: The file cannot be written.
    """

    def __init__(self, path: Path, identity: Identity, *, restart: bool = False) -> None:
        self.path = path
        self._identity = msgspec.json.encode(identity)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("r+b" if path.exists() else "w+b")
        except OSError as error:
            raise output_error(path, error) from error
        self.done = 0 if restart else self._find_end()
        if self.done == 0:
            self._write(0, self._identity + b"\n")

    def _find_end(self) -> int:
        """Count whole lines and cut off half a one; 0 where this is another evaluation's journal."""
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
            raise self._failed(error) from error

    def append(self, pictures: Sequence[Seen]) -> None:
        """Add a batch; it is with the kernel when this returns."""
        encoder = msgspec.json.Encoder()
        try:
            self._file.write(b"".join(encoder.encode(picture) + b"\n" for picture in pictures))
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error
        self.done += len(pictures)

    def _failed(self, error: OSError) -> OutputError:
        return output_error(self.path, error)

    def read(self) -> Iterator[Seen]:
        """All pictures from the first on."""
        self._file.flush()
        decoder = msgspec.json.Decoder(Seen)
        with self.path.open("rb") as file:
            file.readline()
            for line in file:
                yield decoder.decode(line)

    def close(self, *, remove: bool = False) -> None:
        """Close it; `remove` where its evaluation is complete."""
        self._file.close()
        if remove:
            self.path.unlink()
