"""Files to and from an adb device: the sync protocol's SEND and RECV with a timeout on every wait.

adbutils' own sync has none, reports a failure without its reason, and leaves partial files; see
Android's `packages/modules/adb/SYNC.TXT` for the protocol.
"""

from __future__ import annotations

import select
import stat
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit._files import output_error
from edgekit.errors import DeviceLostError, EdgekitError, InputError
from edgekit.transports.adb_server import AdbServer
from edgekit.transports.far_shell import lost, refusal
from edgekit.transports.interface import Progress

if TYPE_CHECKING:
    import socket

CHUNK_BYTES = 1 << 16  # SYNC_DATA_MAX
PACKET = struct.Struct("<4sI")
STALL_TIMEOUT_S = 15.0
OPEN_TIMEOUT_S = 15.0


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
        self, local: Path, remote: str, *, mode: int, timeout_s: float, progress: Progress | None
    ) -> None:
        """Write a file on the device; adbd makes its directories.

        Raises:
            InputError: `local` cannot be read.
            DeviceError: The device refused, with its reason.
            DeviceLostError: The link broke or stalled.
        """
        action = f"pushing {local.name}"
        deadline = time.monotonic() + timeout_s
        target = f"{remote},{stat.S_IFREG | mode}".encode()
        try:
            file = local.open("rb")
        except OSError as error:
            raise InputError(f"reading {local}: {error.strerror or error}") from error
        with file:
            try:
                self._put(b"SEND", target, deadline)
                while chunk := file.read(CHUNK_BYTES):
                    self._put(b"DATA", chunk, deadline)
                    if select.select([self._socket], [], [], 0)[0]:
                        break  # adbd says FAIL as soon as it has failed
                    if progress is not None:
                        progress(len(chunk))
                else:
                    self._socket.sendall(PACKET.pack(b"DONE", int(time.time())))
                kind, size = self._header(deadline)
                if kind == b"FAIL":
                    raise refusal(
                        action, self._serial, self._exactly(size, deadline).decode(errors="replace")
                    )
                if kind != b"OKAY":
                    raise lost(action, self._serial, f"an answer that is none ({kind!r})")
            except (OSError, EOFError) as error:
                raise self._broken(action, error, timeout_s) from error

    def receive(self, remote: str, local: Path, *, timeout_s: float) -> None:
        """Read a file from the device; returns only when all of it came.

        Raises:
            InputError: There is no such file.
            OutputError: `local` cannot be written.
            DeviceLostError: The link broke or stalled.
        """
        action = f"pulling {remote}"
        deadline = time.monotonic() + timeout_s
        with local.open("wb") as file:
            try:
                self._put(b"RECV", remote.encode(), deadline)
                while True:
                    kind, size = self._header(deadline)
                    if kind == b"DONE":
                        return
                    if kind == b"FAIL":
                        reason = self._exactly(size, deadline).decode(errors="replace")
                        raise InputError(f"{action} from {self._serial}: {reason}", hint="edgekit devices")
                    if kind != b"DATA" or size > CHUNK_BYTES:
                        raise lost(action, self._serial, f"an answer that is none ({kind!r})")
                    data = self._exactly(size, deadline)
                    try:
                        file.write(data)
                    except OSError as error:
                        raise output_error(local, error) from error
            except (OSError, EOFError) as error:
                raise self._broken(action, error, timeout_s) from error

    def _put(self, kind: bytes, payload: bytes, deadline: float) -> None:
        self._set_timeout(deadline)
        self._socket.sendall(PACKET.pack(kind, len(payload)) + payload)

    def _header(self, deadline: float) -> tuple[bytes, int]:
        kind, size = PACKET.unpack(self._exactly(PACKET.size, deadline))
        return kind, size

    def _exactly(self, size: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < size:
            self._set_timeout(deadline)
            piece = self._socket.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    def _set_timeout(self, deadline: float) -> None:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._socket.settimeout(min(STALL_TIMEOUT_S, remaining))

    def _broken(self, action: str, error: BaseException, timeout_s: float) -> EdgekitError | DeviceLostError:
        if isinstance(error, TimeoutError):
            waited = min(STALL_TIMEOUT_S, timeout_s)
            return lost(
                action,
                self._serial,
                f"the transfer stalled (nothing moved for {waited:g} s, or it took over {timeout_s:g} s)",
                "wake the device or replug it, then: edgekit devices",
            )
        return self._server.explain(self._serial, action, error if str(error) else None)
