"""Files written whole or not at all, hashes and locks."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgekit.errors import InputError, OutputError

CHUNK_BYTES = 1 << 20


def sha256_file(path: Path) -> str:
    """Hex digest of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def read_bytes(path: Path, what: str, *, hint: str | None = None) -> bytes:
    """A file's content, or an InputError that names `what` it was to be."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"reading {what} {path}: {error.strerror or error}", hint=hint) from error


def output_error(path: Path, error: OSError) -> OutputError:
    """The error for a failed write: what it was, and the remedy for a full or read-only place."""
    hint = {
        errno.ENOSPC: f"free space on the file system of {path}, or write elsewhere with -o",
        errno.EDQUOT: f"free space within your quota on the file system of {path}",
        errno.EACCES: f"make {path.parent} writable, or write elsewhere with -o",
        errno.EPERM: f"make {path.parent} writable, or write elsewhere with -o",
        errno.EROFS: "write elsewhere with -o",
        errno.ENOTDIR: "a part of the path is a file; write elsewhere with -o",
    }.get(error.errno or 0, "write elsewhere with -o")
    return OutputError(f"writing {path}: {error.strerror or error}", hint=hint)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it takes `path`'s place when the block ends well.

    The temporary file is made durable before the rename and removed where the block fails, so `path`
    is the old file or the whole new one at any moment, SIGKILL included (which may leave a hidden
    `.NAME.*.part` behind; `remove_stale_parts` clears these).

    Raises:
        OutputError: The place cannot be written (no space, no permission).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not mkstemp, whose files nobody else can read; the kernel takes the umask off these bits.
        temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}.part")
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    except OSError as error:
        raise output_error(path, error) from error
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO):
            raise output_error(path, error) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a whole file or leave the old one."""
    data = content.encode() if isinstance(content, str) else content
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def new_directory(place: Path) -> Iterator[Path]:
    """An empty directory that takes the place of `place` where the block ends well; old or new, never half.

    Other files in its temporary parent are deleted at the end.
    """
    work = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        new = work / "new"
        new.mkdir()
        yield new
        if place.exists():
            place.rename(work / "old")
        new.rename(place)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def remove_stale_parts(directory: Path) -> None:
    """Remove what a killed writer left; call it while holding the directory's lock."""
    for part in directory.glob(".*.part"):
        with contextlib.suppress(OSError):
            part.unlink()


@contextlib.contextmanager
def locked(path: Path, what: str, *, timeout_s: float = 600.0) -> Iterator[None]:
    """Hold a lock file; the second process waits, and says after `timeout_s` who has it.

    The lock is the kernel's (released however its holder ends); the holder's pid stands beside it.
    """
    from filelock import FileLock, Timeout

    owner = path.with_suffix(".owner")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            import logging

            logging.getLogger("edgekit").warning("%s is in use by %s; waiting", what, _owner(owner))
            lock.acquire(timeout=timeout_s)
    except Timeout as error:
        raise OutputError(
            f"waiting for {what}: still in use by {_owner(owner)} after {timeout_s:g} s",
            hint="wait for it to end, or stop that process",
        ) from error
    except OSError as error:
        raise output_error(path, error) from error
    try:
        with contextlib.suppress(OSError):
            owner.write_text(f"process {os.getpid()}\n")
        yield
    finally:
        with contextlib.suppress(OSError):
            owner.unlink(missing_ok=True)
        lock.release()


def _owner(path: Path) -> str:
    try:
        return path.read_text().strip() or "another process"
    except OSError:
        return "another process"
