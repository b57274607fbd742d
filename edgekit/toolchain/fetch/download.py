"""Downloads: complete or not at all, checked, and quick to report an unreachable host.

`$EDGEKIT_MIRROR` (an address or a directory) replaces the scheme of every address:
`https://host/path` is then read from `MIRROR/host/path`.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from edgekit._files import atomic_file, sha256_file
from edgekit.errors import EdgekitError, ToolError

logger = logging.getLogger("edgekit")

Progress = Callable[[int, int | None], None]
"""Called with the number of bytes received so far and the whole size, where the server reports it."""

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 30.0
RETRIES = 2
RETRY_PAUSE_S = 1.0
CHUNK_BYTES = 1 << 16


def download(
    url: str,
    destination: Path,
    *,
    progress: Progress | None = None,
    timeout_s: float = CONNECT_TIMEOUT_S,
    stop: threading.Event | None = None,
) -> str:
    """Download a file; `destination` appears only when the file is complete.

    An interrupted transfer or a server error is retried twice.

    Args:
        url: `https://`, `http://`, `file://`, or a local path.
        destination: Path of the file; its directories are made.
        progress: Called with the progress, from another thread.
        timeout_s: Seconds until the server has answered, name resolution included; silence later ends after
            30 s.
        stop: Another thread sets this to end the download.

    Returns:
        SHA-256 of the file, hex.

    Raises:
        ToolError: The file is unreachable, missing, or interrupted again and again.
        OutputError: The destination cannot be written.
    """
    source = mirrored(url)
    with atomic_file(destination) as temporary:
        local = _local_path(source)
        if local is not None:
            _copy(url, local, temporary)
        else:
            _fetch(source, temporary, progress, timeout_s, stop or threading.Event())
        return sha256_file(temporary)


def mirrored(url: str) -> str:
    """Return the address that `$EDGEKIT_MIRROR` puts in place of an `http(s)://` one."""
    mirror = os.environ.get("EDGEKIT_MIRROR")
    parts = urllib.parse.urlsplit(url)
    if not mirror or parts.scheme not in ("http", "https"):
        return url
    return f"{mirror.rstrip('/')}/{parts.netloc}{parts.path}" + (f"?{parts.query}" if parts.query else "")


def _local_path(source: str) -> Path | None:
    parts = urllib.parse.urlsplit(source)
    if parts.scheme in ("http", "https"):
        return None
    if parts.scheme == "file":
        return Path(urllib.request.url2pathname(parts.path))
    return Path(source)


def _copy(url: str, local: Path, temporary: Path) -> None:
    try:
        with local.open("rb") as reader:
            content = reader.read(0)  # a directory or an unreadable file fails here, not in the copy
            assert content == b""
    except OSError as error:
        raise ToolError(
            f"fetching {url}: {local}: {error.strerror or error}", hint=f"put the file at {local}"
        ) from error
    shutil.copyfile(local, temporary)


class _Unavailable(Exception):
    """A failed attempt; `again` is True where another attempt may succeed."""

    def __init__(self, reason: str, *, again: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again = again


def _fetch(
    url: str, temporary: Path, progress: Progress | None, timeout_s: float, stop: threading.Event
) -> None:
    for attempt in range(RETRIES + 1):
        try:
            _attempt(url, temporary, progress, timeout_s, stop)
            return
        except _Unavailable as error:
            if not error.again or attempt == RETRIES:
                raise ToolError(
                    f"downloading {url}: {error.reason}",
                    hint="check network and proxy, or set EDGEKIT_MIRROR to a mirror or a directory",
                ) from error
            logger.warning("downloading %s: %s; trying again", url, error.reason)
            stop.wait(RETRY_PAUSE_S)


def _attempt(
    url: str, temporary: Path, progress: Progress | None, timeout_s: float, stop: threading.Event
) -> None:
    """Try one transfer in a thread: no timeout covers name resolution or a host's several addresses."""
    transfer = _Transfer(url, temporary, progress, timeout_s)
    transfer.start()
    try:
        if not transfer.answered.wait(timeout_s):
            raise _Unavailable(f"no answer within {timeout_s:g} s", again=False)
        while transfer.is_alive():
            transfer.join(0.5)
            if stop.is_set():
                raise ToolError(f"downloading {url}: stopped")
    finally:
        transfer.cancelled = True
    if transfer.error is not None:
        raise transfer.error


class _Transfer(threading.Thread):
    """A running download; it is also the progress bar that pooch reports to."""

    def __init__(self, url: str, temporary: Path, progress: Progress | None, timeout_s: float) -> None:
        super().__init__(name=f"download {url}", daemon=True)
        self.answered = threading.Event()
        self.cancelled = False
        self.error: BaseException | None = None
        self._url = url
        self._temporary = temporary
        self._progress = progress
        self._timeout_s = timeout_s
        self._total: int | None = None
        self._received = 0

    def run(self) -> None:
        import pooch
        import requests

        fetch = pooch.HTTPDownloader(
            progressbar=self, chunk_size=CHUNK_BYTES, timeout=(self._timeout_s, READ_TIMEOUT_S)
        )
        try:
            fetch(self._url, str(self._temporary), None)
        except requests.HTTPError as error:
            status = 0 if error.response is None else error.response.status_code
            self.error = _Unavailable(f"the server answered {error}", again=status == 429 or status >= 500)
        except requests.RequestException as error:
            # Another attempt may succeed after a broken connection; a host that refuses connections is given
            # up.
            broken = self.answered.is_set() or isinstance(_cause(error), ConnectionResetError)
            self.error = _Unavailable(_describe(error), again=broken)
        except ValueError as error:
            self.error = _Unavailable(f"its answer makes no sense ({error})", again=False)
        except BaseException as error:
            self.error = error
        finally:
            self.answered.set()

    @property
    def total(self) -> int | None:
        return self._total

    @total.setter
    def total(self, size: int) -> None:
        self._total = size or None
        self.answered.set()

    def update(self, count: int) -> None:
        """Called by pooch after each chunk, with the chunk's nominal size."""
        if self.cancelled:
            raise EdgekitError(f"downloading {self._url}: cancelled")
        received = self._received + count
        self._received = received if self._total is None else min(received, self._total)
        if self._progress is not None:
            self._progress(self._received, self._total)

    def reset(self) -> None:
        """Called by pooch at the end, before `update` with the whole size."""
        self._received = 0

    def close(self) -> None:
        """Called by pooch at the end."""


def _cause(error: BaseException) -> BaseException:
    """Return the cause that requests and urllib3 have wrapped."""
    cause: BaseException = error
    while True:
        inner = getattr(cause, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((arg for arg in cause.args if isinstance(arg, BaseException)), None)
        if inner is None:
            return cause
        cause = inner


def _describe(error: BaseException) -> str:
    """Return the cause in words that a user can act on."""
    cause = _cause(error)
    # urllib3 starts with the connection object: `HTTPSConnection(host=…, port=443): Failed to resolve …`.
    text = str(cause).partition("): ")[2] or str(cause)
    return (text if text.isprintable() else ascii(text)) or type(cause).__name__
