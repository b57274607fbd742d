"""Android devices, and the virtual one, over adbutils and the real adb server.

adbutils' own `shell`, `sync.push` and `sync.pull` have no usable timeouts, drop exit codes or reasons
and leave partial files; so files and commands are spoken here over its connections.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgekit.errors import DeviceError, ToolError
from edgekit.transports.adb_server import AdbServer
from edgekit.transports.adb_shell import OPEN_TIMEOUT_S, ShellProcess
from edgekit.transports.adb_sync import SyncSession
from edgekit.transports.far_shell import FarShell, lost, quote
from edgekit.transports.interface import STANDSTILL_S, CommandResult, Outgoing, Progress


class AdbTransport(FarShell):
    """One device of an adb server.

    Args:
        serial: As `adb devices` prints it.
        server: Where it is attached.
    """

    name = "adb"
    keeps_shell = False

    def __init__(self, serial: str, server: AdbServer) -> None:
        self.serial = serial
        self.server = server
        self._checked = False
        self._sync: SyncSession | None = None

    def _check_features(self) -> None:
        """The device must speak shell v2 (Android 7 and later): the old shell loses exit codes."""
        if self._checked:
            return
        try:
            features = self.server.ask(f"host-serial:{self.serial}:features").split(",")
        except ToolError as error:
            raise self.server.explain(self.serial, "asking for features", error) from error
        if "shell_v2" not in features:
            raise DeviceError(
                f"using {self.serial}: its adbd has no shell_v2, so exit codes would be lost",
                hint="use a device with Android 7 or later",
            )
        self._checked = True

    def _start(self, script: str, action: str, open_timeout_s: float = OPEN_TIMEOUT_S) -> ShellProcess:
        self._check_features()
        return ShellProcess(self.server, self.serial, script, action=action, open_timeout_s=open_timeout_s)

    def _run(self, script: str, action: str, timeout_s: float) -> CommandResult:
        process = self._start(script, action, min(OPEN_TIMEOUT_S, timeout_s))
        try:
            process.close_stdin()
            exit_code, stdout, stderr = process.read_to_end(timeout_s)
        except TimeoutError as error:
            process.kill()
            raise lost(action, self.serial, f"no end within {timeout_s:g} s, stopped") from error
        except BaseException:
            process.kill()
            raise
        process.release()
        return CommandResult(exit_code=exit_code, stdout=stdout, stderr=stderr)

    def open(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> ShellProcess:
        """Start a command and keep its stdin and stdout."""
        return self._start(quote(argv, env, keep_shell=self.keeps_shell), f"running {argv[0]}")

    def push_many(
        self,
        files: Sequence[Outgoing],
        *,
        standstill_s: float = STANDSTILL_S,
        progress: Progress | None = None,
    ) -> None:
        """Send files over one connection; see the interface."""
        try:
            super().push_many(files, standstill_s=standstill_s, progress=progress)
        finally:
            self._end_sync()

    def _send(
        self, local: Path, remote: str, *, mode: int, standstill_s: float, progress: Progress | None
    ) -> None:
        if self._sync is None:
            self._sync = SyncSession(self.server, self.serial)
        try:
            self._sync.send(local, remote, mode=mode, standstill_s=standstill_s, progress=progress)
        except BaseException:
            self._end_sync()
            raise

    def _end_sync(self) -> None:
        if self._sync is not None:
            with contextlib.suppress(OSError):
                self._sync.close()
            self._sync = None

    def _receive(self, remote: str, local: Path, *, standstill_s: float) -> None:
        session = SyncSession(self.server, self.serial)
        try:
            session.receive(remote, local, standstill_s=standstill_s)
        finally:
            session.close()

    def close(self) -> None:
        """Release connections; the device keeps its files."""
        self._end_sync()
