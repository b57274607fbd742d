"""How files and commands reach a device; `adb` and `ssh` implement this, one file each.

Paths on the far side are strings with `/`. Every operation ends, by a timeout or, where a file is moved,
after a number of seconds in which nothing of it moves, in one of:
its result, `DeviceError` (refused: full, read-only, unauthorised, no such device) or
`DeviceLostError` (the far side went away or stopped answering). A command's own non-zero exit is a
result, not an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

Progress = Callable[[int], None]
"""Called with the number of bytes sent since the last call."""

STANDSTILL_S = 60.0
"""Seconds without a byte after which a transfer is given up; one that moves is never cut, however slow."""


class CommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """A command that ran to its end on the far side (negative exit code: killed by that signal)."""

    exit_code: int
    stdout: str
    stderr: str


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A file to send.

    Attributes:
        sha256: Compared with the digest computed on the far side before the file is moved into place;
            where None its size is.
    """

    local: Path
    remote: str
    sha256: str | None = None
    mode: int = 0o644


class RemoteProcess(Protocol):
    """A running command that is spoken to in lines."""

    def write_line(self, line: str) -> None:
        """Send one line to its stdin. Raises DeviceLostError or BrokenPipeError (it stopped reading)."""

    def read_line(self, timeout_s: float) -> str | None:
        """The next line of stdout; None at its end. Raises TimeoutError, DeviceLostError."""

    def close(self, timeout_s: float = 10.0) -> int:
        """End stdin, wait for its end (kill it after `timeout_s`) and return the exit code."""

    def kill(self) -> None:
        """End it and everything that it started."""

    def stderr_text(self) -> str:
        """Text that the command has written to stderr so far."""


class Transport(Protocol):
    """A machine that runs commands: this one (`local`), or a device."""

    def open(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> RemoteProcess:
        """Start a command and keep its stdin and stdout."""

    def close(self) -> None:
        """Release connections; the far side keeps its files."""


class DeviceTransport(Transport, Protocol):
    """One device. Instances are cheap, and many small files cost no more than their bytes."""

    name: str
    """`adb` or `ssh`."""
    serial: str
    """Value of `--device` that names it."""

    def run(
        self, argv: Sequence[str], *, timeout_s: float = 30.0, env: Mapping[str, str] | None = None
    ) -> CommandResult:
        """Run a command to its end. `argv` is quoted for the far shell by the transport."""

    def run_script(self, script: str, arguments: Sequence[str] = (), *, timeout_s: float) -> CommandResult:
        """Run a script with positional parameters to its end, in the shell that reads it: no second one is
        started.
        """

    def push(
        self,
        local: Path,
        remote: str,
        *,
        mode: int = 0o644,
        standstill_s: float = STANDSTILL_S,
        progress: Progress | None = None,
    ) -> None:
        """Send a file. It lands under a temporary name beside `remote` and is moved into place when whole.

        Directories are made. Raises DeviceLostError where nothing moves for `standstill_s`.
        """

    def push_many(
        self,
        files: Sequence[Outgoing],
        *,
        standstill_s: float = STANDSTILL_S,
        progress: Progress | None = None,
    ) -> None:
        """Send files; all of one directory are checked and moved into place by one command there."""

    def pull(self, remote: str, local: Path, *, standstill_s: float = STANDSTILL_S) -> None:
        """Fetch a file; `local` appears only when it is whole. A missing remote file is an InputError."""

    def read_text(self, remote: str) -> str | None:
        """A small file's text, or None where it does not exist or cannot be read."""

    def sha256(self, remotes: Sequence[str], *, timeout_s: float = 60.0) -> dict[str, str]:
        """SHA-256 in hex, by path, of the files of `remotes` that exist; computed on the far side."""

    def list_files(self, remote: str) -> list[str]:
        """Paths of all regular files below a directory, relative to it; empty where there is none."""

    def remove(self, remotes: Sequence[str], *, timeout_s: float = 30.0) -> None:
        """Delete files or whole directories; what does not exist is no error."""

    def free_bytes(self, remote: str) -> int | None:
        """Free space of the file system that holds a path (or its nearest existing parent)."""
