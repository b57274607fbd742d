"""The log of the last command that failed, kept in the cache for `report-bug`, without what is personal."""

from __future__ import annotations

import collections
import contextlib
import itertools
import logging
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

LINES = 400
SECRET_OPTIONS = ("--api-key",)
DEVICE_OPTIONS = ("--device", "--serial", "--adb-server", "--ray")
_ADDRESS = r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"
_SSH = r"ssh://[^\s'\"]+"
# User and password of a proxy or an index.
_LOGIN = r"(?<=://)[^/\s@'\"]+@"
_MAIL = r"[\w.+-]+@[\w.-]+\.\w+"
_HOMES = r"/(?:home|Users)/[^/\s:'\"]+"
# Letters and digits as phones have them on their stickers: R58M12ABCDE, 3a1f09bc, wkbyt4ay9hhmm7fa.
_SERIAL = r"\b(?=\w*\d)(?=\w*[A-Za-z])(?:[A-Z0-9]{8,20}|[0-9a-f]{8,16}|[0-9a-z]{16})\b"


class Recent(logging.Handler):
    """The last lines that were logged, also those that are not shown."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: collections.deque[str] = collections.deque(maxlen=LINES)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def path() -> Path:
    """Return the place of the log."""
    from edgekit.toolchain.cache import cache_directory

    return cache_directory("log") / "last-failure.txt"


def keep(arguments: Sequence[str], code: int, lines: Iterable[str], trace: str) -> None:
    """Write the log of a command that failed; where that cannot be, there is none."""
    import shlex

    from edgekit import __version__
    from edgekit._files import write_atomic

    words = [f"$ {shlex.join(['edgekit', *arguments])}", f"edgekit {__version__}, exit code {code}"]
    text = redact("\n".join([*words, *lines, trace]).strip() + "\n", named(arguments))
    with contextlib.suppress(Exception):
        write_atomic(path(), text)


def named(arguments: Sequence[str]) -> list[str]:
    """Return the devices, servers and keys that a command line and the environment name."""
    found = [os.environ.get("ANDROID_SERIAL", "")]
    for option in (*SECRET_OPTIONS, *DEVICE_OPTIONS):
        found += [word.partition("=")[2] for word in arguments if word.startswith(f"{option}=")]
        found += [after for word, after in itertools.pairwise(arguments) if word == option]
    return [word for word in found if len(word) > 2 and word not in ("all", "auto", "local")]


def redact(text: str, names: Iterable[str] = ()) -> str:
    """Return a text without home directories, user and host names, addresses, serials and `names`."""
    import socket

    for name in sorted({*names}, key=len, reverse=True):
        text = text.replace(name, "DEVICE")
    with contextlib.suppress(RuntimeError):
        text = text.replace(str(Path.home()), "~")
    text = re.sub(_HOMES, "~", text)
    text = re.sub(_SSH, "ssh://DEVICE", text)
    text = re.sub(_LOGIN, "", text)
    text = re.sub(_MAIL, "ADDRESS", text)
    text = re.sub(_ADDRESS, "ADDRESS", text)
    for name, shown in ((_user(), "USER"), (socket.gethostname(), "HOST")):
        if len(name) > 2 and name != "root":
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", shown, text)
    return re.sub(_SERIAL, "SERIAL", text)


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""
