"""Artifact directories change as a whole: the old state, or the new one.

New files are written into a hidden directory inside the artifact directory. Renaming that to `.pending`
is the moment of change: before it nothing has happened, after it whoever comes next finishes the moving,
however the exporter ended.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from edgekit._files import LOCK_TIMEOUT_S, locked, output_error, remove_stale_parts
from edgekit.core.artifact import MANIFEST_NAME, Manifest

STAGING_PREFIX = ".export-"
PENDING = ".pending"
LOCK = ".export.lock"
READER_TIMEOUT_S = 60.0


@contextlib.contextmanager
def exclusive(directory: Path, *, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Hold an artifact directory for writing; a change that an export did not finish is finished first.

    A directory that was made for this and got nothing is removed again.

    Args:
        directory: The artifact directory.
        timeout_s: Seconds to wait for another edgekit that holds it.

    Raises:
        OutputError: It cannot be made or written, or stays in use by another edgekit.
    """
    with locked(directory / LOCK, str(directory), timeout_s=timeout_s):
        try:
            _settle(directory)
            for stale in directory.glob(f"{STAGING_PREFIX}*"):
                shutil.rmtree(stale, ignore_errors=True)
            remove_stale_parts(directory)
        except OSError as error:
            raise output_error(directory, error) from error
        try:
            yield
        finally:
            _remove_if_empty(directory)


@contextlib.contextmanager
def staging_directory(directory: Path) -> Iterator[Path]:
    """A hidden directory on the same file system to write new files to; gone when the block ends."""
    try:
        path = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=directory))
        path.chmod(0o755)
    except OSError as error:
        raise output_error(directory, error) from error
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def commit(staging: Path, directory: Path) -> None:
    """Put the staged files, a manifest among them, in the place of the directory's own.

    Files that the old manifest lists and the new one does not are deleted. Call it inside `exclusive`.

    Raises:
        OutputError: Not possible; the directory is as it was.
    """
    try:
        for path in [*staging.iterdir(), staging]:
            _flush(path)
        staging.rename(directory / PENDING)
        _flush(directory)
        _settle(directory)
    except OSError as error:
        raise output_error(directory, error) from error


def settle(directory: Path) -> None:
    """Finish a change of a directory whose exporter was killed; readers call this first.

    Raises:
        OutputError: There is one, and it cannot be finished here (read-only, or held for a minute).
    """
    if (directory / PENDING).is_dir():
        with locked(directory / LOCK, str(directory), timeout_s=READER_TIMEOUT_S):
            try:
                _settle(directory)
            except OSError as error:
                raise output_error(directory, error) from error


def _settle(directory: Path) -> None:
    pending = directory / PENDING
    if not pending.is_dir():
        return
    manifest = pending / MANIFEST_NAME
    # The manifest moves last: without it in there everything has moved.
    if manifest.is_file():
        outdated = _listed(directory / MANIFEST_NAME) - _listed(manifest)
        for path in sorted(pending.iterdir()):
            if path != manifest:
                os.replace(path, directory / path.name)
        for name in outdated:
            (directory / name).unlink(missing_ok=True)
        os.replace(manifest, directory / MANIFEST_NAME)
        _flush(directory)
    shutil.rmtree(pending)


def _listed(manifest: Path) -> set[str]:
    """Plain names of the files that a manifest lists; nothing where it cannot be read."""
    try:
        decoded = msgspec.json.decode(manifest.read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError, ValueError, RecursionError):
        return set()
    names = {file.path for file in decoded.files}
    return {name for name in names | {decoded.labels or ""} if name and Path(name).name == name}


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_if_empty(directory: Path) -> None:
    own = {LOCK, Path(LOCK).with_suffix(".owner").name}
    with contextlib.suppress(OSError):
        if {path.name for path in directory.iterdir()} <= own:
            for name in own:
                (directory / name).unlink(missing_ok=True)
            directory.rmdir()
