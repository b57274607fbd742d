"""A command on an adb device: shell protocol version 2 spoken over adbutils' connection to the server.

Packets are one byte of kind and four of length (little-endian); see Android's
`packages/modules/adb/shell_protocol.h`. Kinds: 0 stdin, 1 stdout, 2 stderr, 3 exit, 4 end of stdin.
"""

from __future__ import annotations

import contextlib
import select
import struct
import time
from typing import TYPE_CHECKING

from edgekit.errors import EdgekitError
from edgekit.transports.adb_server import AdbServer
from edgekit.transports.far_shell import decode_exit, kill_line, lost, parse_pid

if TYPE_CHECKING:
    from adbutils import AdbConnection

STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
HEADER = struct.Struct("<BI")
CHUNK_BYTES = 1 << 16
MAX_PACKET_BYTES = 1 << 24
OPEN_TIMEOUT_S = 15.0
WRITE_TIMEOUT_S = 15.0
KILL_TIMEOUT_S = 4.0


class ShellProcess:
    """A running command; a RemoteProcess. The script's first line says its process id (see far_shell)."""

    def __init__(
        self,
        server: AdbServer,
        serial: str,
        script: str,
        *,
        action: str,
        open_timeout_s: float = OPEN_TIMEOUT_S,
    ) -> None:
        self._server, self._serial, self._action = server, serial, action
        self._connection: AdbConnection = server.open_service(
            serial, f"shell,v2,raw:{script}", action=action, timeout_s=open_timeout_s
        )
        self._socket = self._connection.conn
        self._socket.settimeout(WRITE_TIMEOUT_S)
        self._raw = bytearray()
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._exit_code: int | None = None
        self._pid: int | None = None

    def write_line(self, line: str) -> None:
        """Send one line to its stdin. Raises DeviceLostError or BrokenPipeError (it stopped reading)."""
        if self._exit_code is not None:
            raise BrokenPipeError(f"{self._action}: the command has ended")
        data = line.encode() + b"\n"
        for start in range(0, len(data), CHUNK_BYTES):
            self._send(STDIN, data[start : start + CHUNK_BYTES])

    def _send(self, kind: int, payload: bytes = b"") -> None:
        try:
            self._socket.sendall(HEADER.pack(kind, len(payload)) + payload)
        except TimeoutError as error:
            raise lost(
                self._action, self._serial, f"nothing was taken within {WRITE_TIMEOUT_S:g} s"
            ) from error
        except OSError as error:
            self._drain()
            if self._exit_code is not None:
                raise BrokenPipeError(f"{self._action}: the command has ended") from error
            raise self._server.explain(self._serial, self._action, error) from error

    def close_stdin(self) -> None:
        """Let the command read end of file."""
        if self._exit_code is None:
            # A command that ended meanwhile took the connection with it; its exit is still to be read.
            with contextlib.suppress(BrokenPipeError):
                self._send(CLOSE_STDIN)

    def read_line(self, timeout_s: float) -> str | None:
        """The next line of stdout; None at its end. Raises TimeoutError, DeviceLostError."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._take_pid()
            end = self._stdout.find(b"\n") if self._pid is not None else -1
            if end >= 0:
                line = bytes(self._stdout[:end])
                del self._stdout[: end + 1]
                return line.decode(errors="replace")
            if self._exit_code is not None:
                return None
            self._pump(deadline, f"no line within {timeout_s:g} s")

    def read_to_end(self, timeout_s: float) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a command that is left to end by itself.

        Raises:
            TimeoutError: It did not end in time.
            DeviceLostError: The link broke.
        """
        deadline = time.monotonic() + timeout_s
        while self._exit_code is None:
            self._pump(deadline, f"no end within {timeout_s:g} s")
            self._take_pid()
        self._take_pid()
        return self._exit_code, self._stdout.decode(errors="replace"), self._stderr.decode(errors="replace")

    def _take_pid(self) -> None:
        """Take the lines up to the one with the process id off stdout."""
        while self._pid is None and (end := self._stdout.find(b"\n")) >= 0:
            self._pid = parse_pid(self._stdout[:end].decode(errors="replace"))
            del self._stdout[: end + 1]

    def _pump(self, deadline: float, late: str) -> None:
        """Read at least one packet before the deadline, and every packet that has arrived."""
        remaining = deadline - time.monotonic()
        readable = select.select([self._socket], [], [], max(0.0, remaining))[0]
        if not readable:
            raise TimeoutError(f"{self._action} on {self._serial}: {late}")
        try:
            data = self._socket.recv(1 << 20)
        except OSError as error:
            raise self._server.explain(self._serial, self._action, error) from error
        if not data:
            raise self._server.explain(self._serial, self._action)
        self._raw += data
        self._parse()

    def _parse(self) -> None:
        while len(self._raw) >= HEADER.size:
            kind, size = HEADER.unpack_from(self._raw)
            if size > MAX_PACKET_BYTES:
                raise lost(self._action, self._serial, f"a packet of {size} bytes came, which no adbd sends")
            if len(self._raw) < HEADER.size + size:
                return
            payload = bytes(self._raw[HEADER.size : HEADER.size + size])
            del self._raw[: HEADER.size + size]
            if kind == STDOUT:
                self._stdout += payload
            elif kind == STDERR:
                self._stderr += payload
            elif kind == EXIT:
                self._exit_code = decode_exit(payload[0] if payload else 255)

    def _drain(self) -> None:
        """Read the packets that have arrived, without waiting."""
        try:
            while self._exit_code is None and select.select([self._socket], [], [], 0)[0]:
                data = self._socket.recv(1 << 20)
                if not data:
                    return
                self._raw += data
                self._parse()
        except (OSError, ValueError):
            return

    def close(self, timeout_s: float = 10.0) -> int:
        """End stdin, wait for its end (kill it after `timeout_s`) and return the exit code."""
        self.close_stdin()
        try:
            return self.read_to_end(timeout_s)[0]
        except TimeoutError:
            self.kill()
            return self._exit_code if self._exit_code is not None else -9
        finally:
            self._socket.close()

    def kill(self) -> None:
        """End it and everything that it started, as far as the link allows."""
        if self._exit_code is None and self._pid is None:
            with contextlib.suppress(EdgekitError, TimeoutError):
                self._pump(time.monotonic() + 1.0, "no process id")
                self._take_pid()
        if self._exit_code is None and self._pid is not None:
            with contextlib.suppress(EdgekitError, TimeoutError):
                killer = ShellProcess(
                    self._server,
                    self._serial,
                    kill_line(self._pid),
                    action=f"stopping process {self._pid}",
                    open_timeout_s=KILL_TIMEOUT_S,
                )
                try:
                    killer.read_to_end(KILL_TIMEOUT_S)
                    self._await_death()
                finally:
                    killer._socket.close()
        self._socket.close()

    def _await_death(self) -> None:
        deadline = time.monotonic() + KILL_TIMEOUT_S
        while self._exit_code is None:
            self._pump(deadline, "it did not die")

    def release(self) -> None:
        """Close the connection; leave the command alone."""
        self._socket.close()

    def stderr_text(self) -> str:
        """Text that the command has written to stderr so far."""
        self._drain()
        return self._stderr.decode(errors="replace")
