"""Official files without published checksums: the first use records the hash, later uses check it."""

from __future__ import annotations

import glob
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from edgekit._files import locked, sha256_file, write_atomic
from edgekit.errors import InputError, ToolError
from edgekit.toolchain.fetch.download import Progress, download, mirrored

logger = logging.getLogger("edgekit")

SHA256_DIGITS = 64


def fetch_pinned(
    url: str,
    path: Path,
    *,
    what: str,
    check: Callable[[Path], object],
    otherwise: str = "",
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> str:
    """Return the file at `path`, downloaded where it is missing; `NAME.sha256` beside it records its hash.

    Args:
        url: Address of the file.
        path: Path of the file in the cache; users may put it there by hand.
        what: Name of the file for messages.
        check: Raises InputError for a file of another kind.
        otherwise: Alternative where the file cannot be obtained, for the hint.
        progress: Called with the progress of a download.
        stop: Event that ends a download.

    Returns:
        SHA-256 of the file, hex, which was just checked.

    Raises:
        InputError: A file put there by hand is of another kind.
        ToolError: The file cannot be reached, or differs from the one of the first use.
        OutputError: The cache cannot be written.
    """
    record = path.with_name(f"{path.name}.sha256")
    with locked(path.with_name(f".{path.name}.lock"), path.name):
        known = _read_record(record)
        accept = ""
        if path.is_file():
            digest = sha256_file(path)
            if known is None:
                # Put here by hand, or by a run that was interrupted before it recorded the hash.
                check(path)
                _write_record(record, digest, path)
            if known in (None, digest):
                return digest
            logger.warning("%s is not what was seen at first use; downloading it again", path)
            accept = f"; or accept what lies there now: rm {record}"
        try:
            digest = _download(url, path, known, check, progress, stop)
        except ToolError as error:
            hint = f"put the file there by hand: {path}{accept}{otherwise}"
            if isinstance(error, _ChangedError):
                hint = f"if the publisher changed the file, accept it: rm {path}*"
            raise ToolError(f"getting {what}: {error.message}", hint=hint) from error
        _write_record(record, digest, path)
        return digest


class _ChangedError(ToolError):
    """The publisher's file differs from the one of the first use."""


def _download(
    url: str,
    path: Path,
    known: str | None,
    check: Callable[[Path], object],
    progress: Progress | None,
    stop: threading.Event | None,
) -> str:
    """Download beside `path`, and move there only a file that passes `check` and has the recorded hash."""
    fresh = path.with_name(f".{path.name}.new")
    for left in path.parent.glob(f".{glob.escape(fresh.name)}.*.part"):  # left by a run that was killed
        left.unlink(missing_ok=True)
    try:
        digest = download(url, fresh, progress=progress, stop=stop)
        if known is not None and digest != known:
            raise _ChangedError(
                f"downloading {mirrored(url)}: its SHA-256 is {digest}, but {known} was seen at first use"
            )
        try:
            check(fresh)
        except InputError as error:
            came = f"what came is not the file ({error.message})"
            raise ToolError(f"downloading {mirrored(url)}: {came}") from error
        fresh.replace(path)
        return digest
    finally:
        fresh.unlink(missing_ok=True)


def _read_record(record: Path) -> str | None:
    try:
        words = record.read_text().split()
    except (OSError, UnicodeDecodeError):
        return None
    return words[0] if words and len(words[0]) == SHA256_DIGITS else None


def _write_record(record: Path, digest: str, path: Path) -> None:
    write_atomic(record, f"{digest}  {path.name}\n")  # the format of `sha256sum --check`
