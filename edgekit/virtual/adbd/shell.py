"""adb's shell service: commands and terminals, with the shell_v2 framing where it was asked for.

After shell_protocol.h of AOSP: a frame is an id, a little-endian length and that many bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import struct

from edgekit.virtual.adbd.protocol import LinkCut, Stream
from edgekit.virtual.faults.faults import FaultName, FaultTable
from edgekit.virtual.machine.spawn import Process

FRAME = struct.Struct("<BI")
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN, WINDOW_SIZE = 0, 1, 2, 3, 4, 5
MAX_FRAME_BYTES = 1 << 20


class ShellService:
    """One running command and its stream."""

    def __init__(self, stream: Stream, process: Process, faults: FaultTable, *, framed: bool) -> None:
        self._stream = stream
        self._process = process
        self._faults = faults
        self._framed = framed
        self._sent = 0

    async def run(self) -> None:
        """Run the command to its end and send all of its output.

        A peer that goes away hangs the command up, as adbd does.
        """
        self._stream.on_close = lambda: self._process.signal(signal.SIGHUP)
        greeting = self._faults.strike(FaultName.GREETING)
        if greeting is not None:
            await self._write(STDOUT, f"{greeting.values[0]}\n".encode())
        frames = (STDOUT, STDERR)[: len(self._process.outputs)]
        pumps = [asyncio.ensure_future(self._pump(index, frame)) for index, frame in enumerate(frames)]
        feeding = asyncio.ensure_future(self._feed())
        try:
            await asyncio.gather(*pumps)
            exit_code = await self._process.ended
            if self._framed:
                await self._send(EXIT, bytes([exit_code if exit_code >= 0 else 128 - exit_code]))
        finally:
            # All must have let go of the descriptors before these are closed and their numbers used again.
            for task in (*pumps, feeding):
                task.cancel()
            await asyncio.gather(*pumps, feeding, return_exceptions=True)
            if not self._process.ended.done():
                self._process.signal(signal.SIGHUP)
            self._process.close()

    async def _pump(self, index: int, frame: int) -> None:
        while data := await self._process.read(index):
            await self._send(frame, data)

    async def _send(self, frame: int, data: bytes) -> None:
        cut = self._faults.get(FaultName.DROP_AFTER_SHELL)
        if cut is not None and self._sent + len(data) >= cut.number():
            data = data[: max(0, cut.number() - self._sent)]
            if data:
                await self._write(frame, data)
            self._faults.strike(FaultName.DROP_AFTER_SHELL)
            raise LinkCut(f"in a command's output after {cut.number()} bytes")
        await self._faults.hold(FaultName.HANG_SHELL, self._sent + len(data))
        await self._write(frame, data)
        self._sent += len(data)

    async def _write(self, frame: int, data: bytes) -> None:
        await self._stream.write(FRAME.pack(frame, len(data)) + data if self._framed else data)

    async def _feed(self) -> None:
        with contextlib.suppress(EOFError, ConnectionError, OSError):
            if self._framed:
                await self._feed_frames()
                return
            while data := await self._stream.read():
                await self._process.write(data)

    async def _feed_frames(self) -> None:
        while True:
            frame, length = FRAME.unpack(await self._stream.read_exactly(FRAME.size))
            if length > MAX_FRAME_BYTES:
                raise EOFError
            data = await self._stream.read_exactly(length)
            if frame == STDIN:
                with contextlib.suppress(BrokenPipeError):
                    await self._process.write(data)
            elif frame == CLOSE_STDIN:
                self._process.close_stdin()
            elif frame == WINDOW_SIZE:  # "24x80,0x0\0"
                rows, _, columns = data.split(b",")[0].partition(b"x")
                self._process.resize(int(rows), int(columns))
