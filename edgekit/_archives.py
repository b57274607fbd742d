"""Read archives from outside within limits: plain files, small headers, bounded sizes.

An archive can claim anything: a header of gigabytes that would be read into memory, a file that unpacks to a
thousand times its size, a path outside. Each reader here stops before it does such a thing.
"""

from __future__ import annotations

import contextlib
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from edgekit._files import CHUNK_BYTES, GIGABYTE, MEGABYTE, check_plain_file
from edgekit.errors import InputError

MAX_MEMBERS = 1000
MAX_ZIP_MEMBERS = 10_000
MAX_UNPACKED_BYTES = 4 * GIGABYTE
MAX_HEADER_BYTES = MEGABYTE
# tarfile reads long names and extended headers into memory, whatever size they claim.
HEADER_TYPES = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


class ArchiveError(Exception):
    """An archive is damaged or dangerous; the text gives the reason for the caller's own error."""


class TarFile:
    """One plain file of a tar: its path inside, its unpacked size in bytes, and its content."""

    def __init__(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        self.path = PurePosixPath(member.name)
        self.size_bytes = member.size
        self._archive = archive
        self._member = member

    def write_to(self, target: Path) -> None:
        """Write the content to a file and make its directories. Raises ArchiveError, OSError."""
        reader = self._archive.extractfile(self._member)
        assert reader is not None
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as writer:
            _copy(reader, writer, self.size_bytes, str(self.path))


def _mode(path: Path) -> Literal["r:gz", "r:bz2", "r:xz", "r:"]:
    """Return tarfile's mode for a tar's compression, by its first bytes.

    tarfile would try each, and LZMA takes zeros for a beginning without end.
    """
    with path.open("rb") as file:
        beginning = file.read(6)
    if beginning.startswith(b"\x1f\x8b"):
        return "r:gz"
    if beginning.startswith(b"BZh"):
        return "r:bz2"
    return "r:xz" if beginning.startswith(b"\xfd7zXZ\0") else "r:"


def tar_files(
    path: Path,
    *,
    wanted: Callable[[PurePosixPath], bool] = lambda inside: True,
    most_bytes: int = MAX_UNPACKED_BYTES,
) -> Iterator[TarFile]:
    """Yield the plain files of a tar, compressed or not, in order; write each before taking the next.

    Args:
        path: Path of the archive.
        wanted: Returns whether a path inside is wanted; other members are skipped, whatever they are.
        most_bytes: Limit on the sum of unpacked sizes; a sparse file counts with its unpacked size.

    Raises:
        ArchiveError: The archive is damaged, has a member outside of itself, or exceeds a limit.
        InputError: `path` is no plain file.
    """
    check_plain_file(path, "the archive")
    members = unpacked = 0
    try:
        with tarfile.open(path, _mode(path), tarinfo=_Member) as archive:
            for member in archive:
                members += 1
                if members > MAX_MEMBERS:
                    raise ArchiveError(f"it has more than {MAX_MEMBERS} members")
                where = PurePosixPath(member.name)
                if where.is_absolute() or ".." in where.parts or "\0" in member.name:
                    raise ArchiveError(f"its member {member.name!r} lies outside itself")
                if member.isdir() or not wanted(where):
                    continue
                if not member.isfile():
                    raise ArchiveError(f"its member {member.name!r} is no plain file (a link or device)")
                unpacked += member.size
                if member.size < 0 or unpacked > most_bytes:
                    raise ArchiveError(f"it unpacks to more than {_shown(most_bytes)}")
                yield TarFile(archive, member)
    except (ArchiveError, InputError, GeneratorExit):
        raise
    except OSError as error:
        raise ArchiveError(str(error.strerror or error)) from error
    except Exception as error:  # tarfile, zlib, lzma and bz2 have errors of their own
        raise ArchiveError(f"it is damaged ({error})") from error
    if not members:
        raise ArchiveError("it is empty")


@contextlib.contextmanager
def open_zip(path: Path) -> Iterator[ZipFiles]:
    """Open a ZIP file, e.g. a wheel.

    Raises:
        ArchiveError: The archive is damaged or has too many members.
        InputError: `path` is no plain file.
    """
    check_plain_file(path, "the archive")
    try:
        with zipfile.ZipFile(path) as archive:
            yield ZipFiles(archive)
    except OSError as error:
        raise ArchiveError(str(error.strerror or error)) from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise ArchiveError(f"it is damaged ({error})") from error


class ZipFiles:
    """Members of an open ZIP file."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.names = archive.namelist()
        if len(self.names) > MAX_ZIP_MEMBERS:
            raise ArchiveError(f"it has more than {MAX_ZIP_MEMBERS} members")

    def write_to(self, name: str, target: Path, *, most_bytes: int = GIGABYTE) -> None:
        """Unpack one member into a file. Raises ArchiveError where it is missing, damaged or too large."""
        try:
            member = self._archive.getinfo(name)
        except KeyError as error:
            raise ArchiveError(f"it has no member {name}") from error
        if member.file_size > most_bytes:
            raise ArchiveError(f"its member {name} unpacks to more than {_shown(most_bytes)}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._archive.open(member) as reader, target.open("wb") as writer:
            _copy(reader, writer, member.file_size, name)


class _Member(tarfile.TarInfo):
    """Member with a small header; tarfile reads the headers before a file in `_proc_member`."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in HEADER_TYPES and not 0 <= self.size <= MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        member: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return member


def _read(reader: IO[bytes], name: str) -> bytes:
    try:
        return reader.read(CHUNK_BYTES)
    except Exception as error:  # zlib, lzma and bz2 have errors of their own
        raise ArchiveError(f"its member {name} is damaged ({error})") from error


def _shown(size_bytes: int) -> str:
    return f"{size_bytes >> 30} GiB" if size_bytes >= GIGABYTE else f"{size_bytes >> 20} MiB"


def _copy(reader: IO[bytes], writer: IO[bytes], size_bytes: int, name: str) -> None:
    """Copy exactly `size_bytes`; raise ArchiveError where the content has another length."""
    left = size_bytes
    while chunk := _read(reader, name):
        left -= len(chunk)
        if left < 0:
            break
        writer.write(chunk)
    if left:
        raise ArchiveError(f"its member {name} is not as long as it says")
