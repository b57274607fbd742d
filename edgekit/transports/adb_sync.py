"""Files to and from an adb device: the sync protocol's SEND and RECV with a limit on every wait.

adbutils' own sync has none, reports a failure without its reason, and leaves partial files; see
Android's `packages/modules/adb/SYNC.TXT` for the protocol.
"""

from __future__ import annotations

import fcntl
import select
import stat
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit._files import output_error
from edgekit.errors import DeviceLostError, EdgekitError, InputError
from edgekit.transports.adb_server import AdbServer
from edgekit.transports.far_shell import lost, refusal, standstill
from edgekit.transports.interface import Progress

if TYPE_CHECKING:
    import socket

CHUNK_BYTES = 1 << 16  # SYNC_DATA_MAX
PACKET = struct.Struct("<4sI")
OPEN_TIMEOUT_S = 15.0
# linux/sockios.h: bytes of a socket that the kernel has not sent yet, because the peer has no room.
SIOCOUTQNSD = 0x894B
# Bytes that may wait in the kernel: enough that the link never idles between two polls.
IN_FLIGHT_BYTES = 1 << 18
POLL_S = 0.0005
LONGEST_POLL_S = 0.02


class SyncSession:
    """One connection to a device's sync service; files one after the other."""

    def __init__(self, server: AdbServer, serial: str) -> None:
        self._server, self._serial = server, serial
        self._connection = server.open_service(
            serial, "sync:", action="opening file transfer", timeout_s=OPEN_TIMEOUT_S
        )
        self._socket: socket.socket = self._connection.conn

    def close(self) -> None:
        self._socket.close()

    def send(
        self, local: Path, remote: str, *, mode: int, standstill_s: float, progress: Progress | None
    ) -> None:
        """Write a file on the device; adbd makes its directories.

        Raises:
            InputError: `local` cannot be read.
            DeviceError: The device refused, with its reason.
            DeviceLostError: The link broke, or nothing moved for `standstill_s`.
        """
        action = f"pushing {local.name}"
        self._socket.settimeout(standstill_s)
        target = f"{remote},{stat.S_IFREG | mode}".encode()
        try:
            file = local.open("rb")
        except OSError as error:
            raise InputError(f"reading {local}: {error.strerror or error}") from error
        with file:
            try:
                self._put(b"SEND", target)
                while chunk := file.read(CHUNK_BYTES):
                    self._put(b"DATA", chunk)
                    self._await_taken(standstill_s)
                    if select.select([self._socket], [], [], 0)[0]:
                        break  # adbd says FAIL as soon as it has failed
                    if progress is not None:
                        progress(len(chunk))
                else:
                    self._socket.sendall(PACKET.pack(b"DONE", int(time.time())))
                kind, size = self._header()
                if kind == b"FAIL":
                    raise refusal(action, self._serial, self._exactly(size).decode(errors="replace"))
                if kind != b"OKAY":
                    raise lost(action, self._serial, f"an answer that is none ({kind!r})")
            except (OSError, EOFError) as error:
                raise self._broken(action, error, standstill_s) from error

    def receive(self, remote: str, local: Path, *, standstill_s: float) -> None:
        """Read a file from the device; returns only when all of it came.

        Raises:
            InputError: There is no such file.
            OutputError: `local` cannot be written.
            DeviceLostError: The link broke, or nothing came for `standstill_s`.
        """
        action = f"pulling {remote}"
        self._socket.settimeout(standstill_s)
        with local.open("wb") as file:
            try:
                self._put(b"RECV", remote.encode())
                while True:
                    kind, size = self._header()
                    if kind == b"DONE":
                        return
                    if kind == b"FAIL":
                        reason = self._exactly(size).decode(errors="replace")
                        raise InputError(f"{action} from {self._serial}: {reason}", hint="edgekit devices")
                    if kind != b"DATA" or size > CHUNK_BYTES:
                        raise lost(action, self._serial, f"an answer that is none ({kind!r})")
                    data = self._exactly(size)
                    try:
                        file.write(data)
                    except OSError as error:
                        raise output_error(local, error) from error
            except (OSError, EOFError) as error:
                raise self._broken(action, error, standstill_s) from error

    def _put(self, kind: bytes, payload: bytes) -> None:
        """Send a packet; each part of it has the socket's timeout, so that a slow link is no hang."""
        view = memoryview(PACKET.pack(kind, len(payload)) + payload)
        while view:
            view = view[self._socket.send(view) :]

    def _await_taken(self, standstill_s: float) -> None:
        """Wait until the adb server has taken all but `IN_FLIGHT_BYTES` of what was sent.

        Without this the kernel and the server would swallow megabytes at once, and on a slow link nothing
        would be seen to move for minutes.

        Raises:
            TimeoutError: It took nothing for `standstill_s`.
        """
        poll_s, since = POLL_S, time.monotonic()
        waiting = self._unsent()
        while waiting > IN_FLIGHT_BYTES:
            if select.select([self._socket], [], [], 0)[0]:
                return
            time.sleep(poll_s)
            poll_s = min(2 * poll_s, LONGEST_POLL_S)
            left = self._unsent()
            if left < waiting:
                waiting, since = left, time.monotonic()
            elif time.monotonic() - since > standstill_s:
                raise TimeoutError

    def _unsent(self) -> int:
        return int(struct.unpack("i", fcntl.ioctl(self._socket, SIOCOUTQNSD, bytes(4)))[0])

    def _header(self) -> tuple[bytes, int]:
        """Read a packet's header; its few bytes have one timeout together."""
        limit_s = self._socket.gettimeout() or 0.0
        deadline = time.monotonic() + limit_s
        data = b""
        try:
            while len(data) < PACKET.size:
                self._socket.settimeout(max(0.001, deadline - time.monotonic()))
                piece = self._socket.recv(PACKET.size - len(data))
                if not piece:
                    raise EOFError
                data += piece
        finally:
            self._socket.settimeout(limit_s)
        kind, size = PACKET.unpack(data)
        return kind, size

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self._socket.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    def _broken(
        self, action: str, error: BaseException, standstill_s: float
    ) -> EdgekitError | DeviceLostError:
        if isinstance(error, TimeoutError):
            return standstill(action, self._serial, standstill_s)
        return self._server.explain(self._serial, action, error if str(error) else None)
