"""Files written completely or not at all, hashes and locks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edgekit.errors import InputError, OutputError

MEGABYTE = 1 << 20
GIGABYTE = 1 << 30
CHUNK_BYTES = MEGABYTE
_UNWRITABLE = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO,
)  # fmt: skip
# Names of temporary directories below $TMPDIR begin with it.
SCRATCH_PREFIX = "edgekit."
YOUNG_S = 60.0
LOCK_TIMEOUT_S = 600.0
# Size limits of files that are read into memory, by kind; `read_bytes` refuses larger ones unread.
TEXT_BYTES = 32 * MEGABYTE  # cards, manifests, configurations, labels
PICTURE_BYTES = 256 * MEGABYTE
RESULT_BYTES = 512 * MEGABYTE
LIST_BYTES = 512 * MEGABYTE  # of pictures
MODEL_BYTES = 2 * GIGABYTE  # weights, and graphs with their weights
PROGRAM_BYTES = 256 * MEGABYTE  # programs without weights


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a plain file's content, hex.

    Raises:
        InputError: The path is no plain file.
        OSError: The file cannot be read.
    """
    digest = hashlib.sha256()
    with open_plain_file(path, "the file") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def read_bytes(path: Path, what: str, *, hint: str | None = None, most_bytes: int = TEXT_BYTES) -> bytes:
    """Read a plain file.

    Args:
        path: Path of the file.
        what: Kind of the file for messages, e.g. `the manifest`.
        hint: Advice for the user where the file cannot be read.
        most_bytes: One of the limits of this module.

    Raises:
        InputError: The file cannot be read, is no plain file (a FIFO or device may never end), or is too
            large.
    """
    try:
        with open_plain_file(path, what, hint=hint) as file:
            size = os.fstat(file.fileno()).st_size
            content = None if size > most_bytes else file.read(size + 1)
            # A read of the most that is allowed reserves as much memory: for files that grow, and of /proc.
            if content is not None and len(content) > size:
                content += file.read(most_bytes - size)
    except OSError as error:
        raise InputError(f"reading {what} {path}: {error.strerror or error}", hint=hint) from error
    if content is None or len(content) > most_bytes:
        raise _too_large(path, what, most_bytes, hint)
    return content


def open_plain_file(path: Path, what: str, *, hint: str | None = None) -> BinaryIO:
    """Open a plain file for reading; refuse FIFOs, sockets, devices and directories without waiting.

    Raises:
        InputError: The path is no plain file.
        OSError: The file cannot be opened.
    """
    # Without O_NONBLOCK opening a FIFO waits for a writer.
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _require_plain(os.fstat(handle).st_mode, path, what, hint)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def check_plain_file(
    path: Path, what: str, *, hint: str | None = None, most_bytes: int | None = None
) -> None:
    """Refuse a path that is no plain file or too large, before it is hashed or opened by another library.

    Raises:
        InputError: The file does not exist, is no plain file, or is larger than `most_bytes`.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"reading {what} {path}: {reason}", hint=hint) from error
    _require_plain(found.st_mode, path, what, hint)
    if most_bytes is not None and found.st_size > most_bytes:
        raise _too_large(path, what, most_bytes, hint)


def _too_large(path: Path, what: str, most_bytes: int, hint: str | None) -> InputError:
    return InputError(
        f"reading {what} {path}: it is larger than {most_bytes >> 20} MiB, the most for its kind", hint=hint
    )


def _require_plain(mode: int, path: Path, what: str, hint: str | None) -> None:
    if stat.S_ISREG(mode):
        return
    kinds = {
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    kind = kinds.get(stat.S_IFMT(mode), "something else")
    raise InputError(f"reading {what} {path}: it is {kind}, not a plain file", hint=hint)


def output_error(path: Path, error: OSError) -> OutputError:
    """Return the error for a failed write, with the remedy for a full or read-only place."""
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
def atomic_file(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to; it replaces `path` where the block succeeds.

    The temporary file is made durable before the rename and removed where the block fails, so `path`
    is the old file or the complete new one at any moment, SIGKILL included (which may leave a hidden
    `.NAME.*.part` behind; the next writer of `path` deletes it). Without `durable` a power cut may damage
    the file; thousands of small files are then written several times faster.

    Raises:
        OutputError: The place cannot be written (no space, no permission).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_dead(path.parent, f".{path.name}.", ".part")
        # mkstemp would make files that nobody else can read; here the kernel applies the umask.
        temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}.part")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise output_error(path, error) from error
    try:
        _hold(handle)
        yield temporary
        if durable:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in _UNWRITABLE:
            raise output_error(path, error) from error
        raise
    finally:
        os.close(handle)
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a complete file or leave the old one."""
    data = content.encode() if isinstance(content, str) else content
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def new_directory(place: Path) -> Iterator[Path]:
    """Yield an empty directory that replaces `place` where the block succeeds; old or new, never a mixture.

    Other files in its temporary parent are deleted at the end.
    """
    with temporary_directory(f".{place.name}.held-", place.parent) as work:
        new = work / "new"
        new.mkdir()
        yield new
        if place.exists():
            place.rename(work / "old")
        new.rename(place)


@contextlib.contextmanager
def temporary_directory(prefix: str, parent: Path) -> Iterator[Path]:
    """Yield an empty directory, deleted at the end; of a process that was killed, by the next that asks.

    Its process holds a lock on it, which the kernel releases however the process ends.

    Args:
        prefix: Beginning of its name, which only this function gives.
        parent: Where it is made.
    """
    _remove_dead(parent, prefix, "")
    work = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    handle = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _hold(handle)
        yield work
    finally:
        os.close(handle)
        shutil.rmtree(work, ignore_errors=True)


def _hold(handle: int) -> None:
    """Mark a temporary file or directory as a living process's, where the file system has locks."""
    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def temporary_place() -> Path:
    """Return the system's directory for temporary files, also where it is full and Python finds none."""
    return Path(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108


def write_scratch(path: Path, content: bytes) -> None:
    """Write a file in a directory for temporary files.

    Raises:
        OutputError: The place is full.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise OutputError(
            f"writing the temporary file {path}: {error.strerror or error}",
            hint=f"free space on the file system of {path.parent}, or set TMPDIR to another directory",
        ) from error


@contextlib.contextmanager
def scratch_directory(what: str) -> Iterator[Path]:
    """Yield a temporary directory below $TMPDIR for one purpose, which is part of its name.

    Raises:
        OutputError: There is no room for it.
    """
    with contextlib.ExitStack() as stack:
        try:
            place = Path(tempfile.gettempdir())
            work = stack.enter_context(temporary_directory(f"{SCRATCH_PREFIX}{what}-", place))
        except OSError as error:
            where = temporary_place()
            raise OutputError(
                f"making a temporary directory in {where}: {error.strerror or error}",
                hint="free space there, or set TMPDIR to a place with room",
            ) from error
        yield work


def _remove_dead(parent: Path, prefix: str, suffix: str) -> None:
    """Delete this user's temporary files and directories with such names whose processes have ended."""
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and entry.name.endswith(suffix):
                with contextlib.suppress(OSError):
                    _remove_if_dead(entry)


def _remove_if_dead(entry: os.DirEntry[str]) -> None:
    state = entry.stat(follow_symlinks=False)
    # A young one may be about to be locked.
    if state.st_uid != os.geteuid() or time.time() - state.st_mtime < YOUNG_S:
        return
    if not stat.S_ISREG(state.st_mode) and not stat.S_ISDIR(state.st_mode):
        return
    handle = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if stat.S_ISDIR(state.st_mode):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            Path(entry.path).unlink()
    finally:
        os.close(handle)


def lock_file(file: BinaryIO) -> bool:
    """Lock an open file until it is closed, where the file system has locks.

    Returns:
        False where another process holds the lock, or has removed the file since it was opened.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return os.fstat(file.fileno()).st_nlink > 0


def remove_stale_parts(directory: Path) -> None:
    """Delete temporary files of a killed writer; call it while holding the directory's lock."""
    for part in directory.glob(".*.part"):
        with contextlib.suppress(OSError):
            part.unlink()


@contextlib.contextmanager
def locked(path: Path, what: str, *, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Hold a lock file; a second process waits, and after `timeout_s` raises an error that names the holder.

    With a `timeout_s` of 0 it does not wait.

    The kernel releases the lock however its holder ends; the file contains the holder's process id.
    """
    from filelock import FileLock, Timeout

    owner = path.with_suffix(".owner")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not timeout_s:
                raise
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
