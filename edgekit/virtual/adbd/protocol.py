"""The device's end of the ADB protocol: packets, one connection, its streams.

After packages/modules/adb/protocol.txt of AOSP, version 0x01000001 (no checksums), one unacknowledged
WRTE a stream. Whoever connects is an adb server; nothing here knows what the streams carry.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import struct
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

logger = logging.getLogger("edgekit.virtual")


def _command(name: bytes) -> int:
    return int.from_bytes(name, "little")


CNXN, OPEN, OKAY, CLSE, WRTE, AUTH = map(_command, (b"CNXN", b"OPEN", b"OKAY", b"CLSE", b"WRTE", b"AUTH"))
AUTH_TOKEN, AUTH_SIGNATURE, AUTH_PUBLIC_KEY = 1, 2, 3
VERSION = 0x01000001
VERSION_SKIP_CHECKSUM = 0x01000001
MAX_PAYLOAD_BYTES = 1 << 20
HEADER = struct.Struct("<6I")
TOKEN_BYTES = 20


class ProtocolError(Exception):
    """The peer broke the protocol."""


class LinkCut(Exception):
    """A fault cut the connection; whoever serves a stream gives up."""


class Host(Protocol):
    """The calls that a connection makes to its device."""

    def banner(self) -> bytes:
        """The device's banner: properties and features."""

    def accepts_silently(self) -> bool:
        """Whether the device takes a connection without a key."""

    async def accepts_key(self, name: str) -> bool:
        """Whether the user allows this key; waits for the answer to the dialogue."""

    async def greets(self) -> None:
        """Wait until the device answers its first packet; a hang keeps it waiting."""

    async def serve(self, stream: Stream, destination: str) -> None:
        """Run a service to its end; `stream.accept()` or `stream.refuse()` first."""

    def bytes_per_s(self) -> int | None:
        """The link's speed, None without a limit."""


class Stream:
    """One stream of a connection, seen from the device."""

    def __init__(self, connection: Connection, local_id: int, remote_id: int) -> None:
        self.connection = connection
        self.local_id = local_id
        self.remote_id = remote_id
        self.closed = False
        self.on_close: Callable[[], None] | None = None
        self._received: asyncio.Queue[bytes] = asyncio.Queue()
        self._acknowledged = asyncio.Event()
        self._buffer = bytearray()
        self._at_end = False

    async def accept(self) -> None:
        await self.connection.send(OKAY, self.local_id, self.remote_id)

    async def refuse(self) -> None:
        """Answer that there is no such service."""
        self.connection.forget(self)
        await self.connection.send(CLSE, 0, self.remote_id)

    async def read(self) -> bytes:
        """The next payload; b"" when the peer has closed. Acknowledges, so this is the flow control."""
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            return data
        return await self._next_payload()

    async def read_exactly(self, count: int) -> bytes:
        """Read exactly `count` bytes. Raises EOFError where the peer closed before."""
        while len(self._buffer) < count:
            data = await self._next_payload()
            if not data:
                raise EOFError
            self._buffer += data
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    async def _next_payload(self) -> bytes:
        if self._at_end:
            return b""
        data = await self._received.get()
        if not data:
            self._at_end = True
        elif not self.closed:
            await self.connection.send(OKAY, self.local_id, self.remote_id)
        return data

    async def write(self, data: bytes | memoryview) -> None:
        """Send all data; return when the peer has acknowledged it.

        Raises ConnectionResetError where the peer has gone.
        """
        view = memoryview(data)
        for start in range(0, len(view), self.connection.max_payload_bytes):
            if self.closed:
                raise ConnectionResetError("the stream is closed")
            self._acknowledged.clear()
            await self.connection.send(
                WRTE,
                self.local_id,
                self.remote_id,
                view[start : start + self.connection.max_payload_bytes],
            )
            await self._acknowledged.wait()

    async def close(self) -> None:
        if not self.closed:
            self._end()
            await self.connection.send(CLSE, self.local_id, self.remote_id)

    def receive(self, data: bytes) -> None:
        self._received.put_nowait(data)

    def acknowledge(self) -> None:
        self._acknowledged.set()

    def peer_closed(self) -> None:
        if not self.closed:
            self._end()
            if self.on_close is not None:
                self.on_close()

    def _end(self) -> None:
        self.closed = True
        self._acknowledged.set()
        self._received.put_nowait(b"")
        self.connection.forget(self)


class Connection:
    """One adb server's connection."""

    def __init__(self, host: Host, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.max_payload_bytes = 256 * 1024
        self._host = host
        self._reader = reader
        self._writer = writer
        self._streams: dict[int, Stream] = {}
        self._next_id = 1
        self._sending = asyncio.Lock()
        self._checksums = True
        self._peer_version = 0
        self._online = False
        self._token = secrets.token_bytes(TOKEN_BYTES)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve the connection until the peer goes or the link is cut."""
        try:
            while True:
                await self._handle(*await self._receive())
        except (asyncio.IncompleteReadError, ConnectionError, ProtocolError, LinkCut) as error:
            logger.info("connection ended: %r", error)
        finally:
            self.cut()

    async def _receive(self) -> tuple[int, int, int, bytes]:
        header = await self._reader.readexactly(HEADER.size)
        command, first, second, length, _, magic = HEADER.unpack(header)
        if magic != command ^ 0xFFFFFFFF or length > MAX_PAYLOAD_BYTES:
            raise ProtocolError(f"a bad header {header.hex()}")
        data = await self._reader.readexactly(length) if length else b""
        await self._pace(length)
        return command, first, second, data

    async def _pace(self, count: int) -> None:
        speed = self._host.bytes_per_s()
        if speed and count:
            await asyncio.sleep(count / speed)

    async def send(self, command: int, first: int, second: int, data: bytes | memoryview = b"") -> None:
        checksum = sum(data) & 0xFFFFFFFF if self._checksums else 0
        await self._pace(len(data))
        async with self._sending:
            if self._writer.is_closing():
                raise ConnectionResetError("the connection is cut")
            self._writer.write(HEADER.pack(command, first, second, len(data), checksum, command ^ 0xFFFFFFFF))
            if len(data):
                self._writer.write(data)
            await self._writer.drain()

    def cut(self) -> None:
        """End the connection at once, as a pulled cable does."""
        transport = self._writer.transport
        if transport is not None:
            transport.abort()
        for stream in list(self._streams.values()):
            stream.peer_closed()
        for task in self._tasks:
            task.cancel()

    def forget(self, stream: Stream) -> None:
        self._streams.pop(stream.local_id, None)

    async def _handle(self, command: int, first: int, second: int, data: bytes) -> None:
        if command == CNXN:
            self._peer_version = first
            self.max_payload_bytes = min(MAX_PAYLOAD_BYTES, second)
            self._start(self._greet())
        elif command == AUTH:
            self._start(self._authenticate(first, data))
        elif not self._online:
            return
        elif command == OPEN:
            stream = Stream(self, self._next_id, first)
            self._next_id += 1
            self._streams[stream.local_id] = stream
            self._start(self._serve(stream, data.rstrip(b"\0").decode(errors="replace")))
        elif command == WRTE:
            if (stream_or_none := self._streams.get(second)) is not None:
                stream_or_none.receive(data)
            else:
                await self.send(CLSE, 0, first)
        elif (stream_or_none := self._streams.get(second)) is not None:
            if command == OKAY:
                stream_or_none.acknowledge()
            elif command == CLSE:
                stream_or_none.peer_closed()

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _greet(self) -> None:
        await self._host.greets()
        if self._host.accepts_silently():
            await self._go_online()
        else:
            await self.send(AUTH, AUTH_TOKEN, 0, self._token)

    async def _authenticate(self, kind: int, data: bytes) -> None:
        if kind == AUTH_SIGNATURE:  # no key is known here, so every signature is answered by the question
            await self.send(AUTH, AUTH_TOKEN, 0, self._token)
        elif kind == AUTH_PUBLIC_KEY:
            name = data.rstrip(b"\0").split(b" ")[-1].decode(errors="replace")
            if await self._host.accepts_key(name):
                await self._go_online()

    async def _go_online(self) -> None:
        self._online = True
        await self.send(CNXN, VERSION, MAX_PAYLOAD_BYTES, self._host.banner())
        self._checksums = self._peer_version < VERSION_SKIP_CHECKSUM

    async def _serve(self, stream: Stream, destination: str) -> None:
        started = time.monotonic()
        try:
            await self._host.serve(stream, destination)
        except LinkCut as fault:
            logger.info("link cut: %s", fault)
            self.cut()
        except (EOFError, ConnectionError):
            pass
        except Exception:
            logger.exception("service %s", destination[:200])
        finally:
            with contextlib.suppress(ConnectionError):
                await stream.close()
            logger.debug("%.3f s %s", time.monotonic() - started, destination[:200])
