"""Downloads for which no checksum is published: the first one records its hash, later ones must have it.

`NAME.sha256` beside the file is what `sha256sum --check` reads, with when and from where as a comment. The
record outlives the file.
"""

from __future__ import annotations

import glob
import logging
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from edgekit._files import locked, sha256_file, write_atomic
from edgekit.errors import InputError, ToolError
from edgekit.toolchain.fetch.download import CONNECT_TIMEOUT_S, Progress, download, mirrored

logger = logging.getLogger("edgekit")

SHA256_DIGITS = 64


def fetch_pinned(
    url: str,
    path: Path,
    *,
    what: str,
    check: Callable[[Path], object],
    accept: str,
    otherwise: str = "",
    trust_new: bool = False,
    timeout_s: float = CONNECT_TIMEOUT_S,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> str:
    """Return the hash of the file at `path`, downloaded where the file is missing.

    Args:
        url: Address of the file.
        path: Path of the file in the cache; users may put it there by hand.
        what: Name of the file for messages.
        check: Raises InputError for a file of another kind.
        accept: Command that accepts another hash, with `--trust-new`.
        otherwise: Alternative where the file cannot be obtained, for the hint.
        trust_new: Take a file with another hash than the recorded one, and record the new hash.
        timeout_s: Seconds until the server has answered.
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
        known = None if trust_new else _read_record(record)
        if path.is_file():
            digest = sha256_file(path)
            if known is None:
                # Put here by hand, or by a run that was interrupted before it recorded the hash.
                check(path)
                _write_record(record, digest, path, "put there by hand")
            if known in (None, digest):
                return digest
            logger.warning("%s is not what was seen at first use; downloading it again", path)
        try:
            digest = _download(url, path, known, check, timeout_s, progress, stop)
        except ToolError as error:
            hint = f"put the file there by hand: {path}{otherwise}"
            if path.is_file():
                hint = f"to accept what lies there now: {accept}; or {hint}"
            if isinstance(error, _ChangedError):
                hint = f"where you know that the publisher changed it: {accept}"
            raise ToolError(f"getting {what}: {error.message}", hint=hint) from error
        if known is None:
            logger.info("no hash of %s is published; kept as seen now: SHA-256 %s", mirrored(url), digest)
        _write_record(record, digest, path, f"from {mirrored(url)}")
        return digest


class _ChangedError(ToolError):
    """The publisher's file differs from the one of the first use."""


def _download(
    url: str,
    path: Path,
    known: str | None,
    check: Callable[[Path], object],
    timeout_s: float,
    progress: Progress | None,
    stop: threading.Event | None,
) -> str:
    """Download beside `path`, and move there only a file that passes `check` and has the recorded hash."""
    fresh = path.with_name(f".{path.name}.new")
    for left in path.parent.glob(f".{glob.escape(fresh.name)}.*.part"):  # left by a run that was killed
        left.unlink(missing_ok=True)
    try:
        digest = download(url, fresh, progress=progress, timeout_s=timeout_s, stop=stop)
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
        lines = record.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    words = next((line.split() for line in lines if line.strip() and not line.startswith("#")), [])
    return words[0] if words and len(words[0]) == SHA256_DIGITS else None


def _write_record(record: Path, digest: str, path: Path, origin: str) -> None:
    """Write a hash as `sha256sum --check` reads it; a record of the same hash keeps its first date."""
    if _read_record(record) == digest:
        return
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    write_atomic(record, f"# {now} {origin}\n{digest}  {path.name}\n")
