"""adb's file service: SYNC.TXT of AOSP, versions 1 and 2 of its requests, uncompressed."""

from __future__ import annotations

import contextlib
import os
import stat
import struct

from edgekit.virtual.adbd.protocol import LinkCut, Stream
from edgekit.virtual.faults.faults import FaultName, FaultTable
from edgekit.virtual.machine.device_files import DeviceFiles

REQUEST = struct.Struct("<4sI")
STAT1 = struct.Struct("<III")
STAT2 = struct.Struct("<IQQIIIIQqqq")
MAX_CHUNK_BYTES = 64 * 1024
READ_BYTES = 15 * MAX_CHUNK_BYTES
MAX_PATH_BYTES = 4096


class SyncService:
    """One `sync:` stream."""

    def __init__(self, stream: Stream, files: DeviceFiles, faults: FaultTable, owner: int) -> None:
        self._stream = stream
        self._files = files
        self._faults = faults
        self._owner = owner

    async def run(self) -> None:
        while True:
            request, length = REQUEST.unpack(await self._stream.read_exactly(REQUEST.size))
            if request == b"QUIT":
                return
            if length > MAX_PATH_BYTES:
                await self._fail("path too long")
                return
            path = os.fsdecode(await self._stream.read_exactly(length))
            if request in (b"STAT", b"STA2", b"LST2"):
                await self._send_stat(request, path)
            elif request in (b"LIST", b"LIS2"):
                await self._send_list(request, path)
            elif request in (b"SEND", b"SND2"):
                if not await self._receive(request, path):
                    return
            elif request in (b"RECV", b"RCV2"):
                await self._send_file(request, path)
            else:
                await self._fail(f"unknown command {request!r}")
                return

    async def _fail(self, message: str) -> None:
        text = message.encode()
        await self._stream.write(REQUEST.pack(b"FAIL", len(text)) + text)

    def _stat2(self, error: int, state: os.stat_result | None) -> bytes:
        if state is None:
            return STAT2.pack(error, *(0,) * 10)
        return STAT2.pack(
            0, state.st_dev, state.st_ino, state.st_mode, state.st_nlink, self._owner, self._owner,
            state.st_size, int(state.st_atime), int(state.st_mtime), int(state.st_ctime),
        )  # fmt: skip

    async def _send_stat(self, request: bytes, path: str) -> None:
        state, error = None, 0
        try:
            state = self._files.stat(path, follow=request == b"STA2")
        except OSError as failure:
            error = failure.errno or 0
        answer = _stat1(state) if request == b"STAT" else self._stat2(error, state)
        await self._stream.write(request + answer)

    async def _send_list(self, request: bytes, path: str) -> None:
        entries = []
        with contextlib.suppress(OSError):
            entries = self._files.list(path)
        parts = []
        for name, state in entries:
            head = b"DENT" + _stat1(state) if request == b"LIST" else b"DNT2" + self._stat2(0, state)
            encoded = os.fsencode(name)
            parts.append(head + struct.pack("<I", len(encoded)) + encoded)
        end = b"DONE" + bytes(STAT1.size + 4 if request == b"LIST" else STAT2.size + 4)
        await self._stream.write(b"".join(parts) + end)

    async def _send_file(self, request: bytes, path: str) -> None:
        if request == b"RCV2":
            await self._stream.read_exactly(8)  # the id again and flags: compression, of which there is none
        try:
            fd = self._files.open(path, os.O_RDONLY)
        except OSError as error:
            await self._fail(f"open failed: {error.strerror}")
            return
        try:
            await self._send_content(fd, path)
        except ConnectionError:
            raise
        except OSError as error:
            await self._fail(f"read failed: {error.strerror}")
            return
        finally:
            os.close(fd)
        await self._stream.write(REQUEST.pack(b"DONE", 0))

    async def _send_content(self, fd: int, path: str) -> None:
        sent = 0
        while data := os.read(fd, READ_BYTES):
            batch = bytearray()
            for start in range(0, len(data), MAX_CHUNK_BYTES):
                chunk = data[start : start + MAX_CHUNK_BYTES]
                batch += REQUEST.pack(b"DATA", len(chunk)) + chunk
                sent += len(chunk)
                if self._faults.get(FaultName.DROP_AFTER_PULL) or self._faults.get(FaultName.HANG_PULL):
                    await self._stream.write(bytes(batch))
                    batch.clear()
                    if self._faults.strike_after(FaultName.DROP_AFTER_PULL, sent):
                        raise LinkCut(f"in a pull after {sent} bytes of {path}")
                    await self._faults.hold(FaultName.HANG_PULL, sent)
            await self._stream.write(bytes(batch))

    async def _receive(self, request: bytes, path: str) -> bool:
        """Take a pushed file; False where the stream cannot go on (adbd closes it after a failed write)."""
        if request == b"SEND":
            path, _, digits = path.rpartition(",")
            mode = int(digits)
        else:
            _, mode, _flags = struct.unpack("<4sII", await self._stream.read_exactly(12))
        receiver = _Receiver(self._files, path, mode)
        try:
            return await self._receive_content(receiver, path)
        finally:
            receiver.close()

    async def _receive_content(self, receiver: _Receiver, path: str) -> bool:
        failed_at_create, failed_at_write = None, None
        try:
            receiver.begin()
        except OSError as error:
            failed_at_create = f"couldn't create file: {error.strerror}"
        received = 0
        while True:
            kind, length = REQUEST.unpack(await self._stream.read_exactly(REQUEST.size))
            if kind == b"DONE":
                break
            if kind != b"DATA" or length > MAX_CHUNK_BYTES:
                await self._fail("invalid data message")
                return False
            data = await self._stream.read_exactly(length)
            received += length
            if failed_at_create is None and failed_at_write is None:
                try:
                    receiver.write(data)
                except OSError as error:  # adbd answers at once, removes the file and reads to the end
                    failed_at_write = f"write failed: {error.strerror}"
                    receiver.discard()
                    await self._fail(failed_at_write)
            if self._faults.strike_after(FaultName.DROP_AFTER_PUSH, received):
                raise LinkCut(f"in a push after {received} bytes of {path}")
            await self._faults.hold(FaultName.HANG_PUSH, received)
        if failed_at_create is not None:
            await self._fail(failed_at_create)
        elif failed_at_write is None:
            receiver.finish(modified_s=length)
            await self._stream.write(REQUEST.pack(b"OKAY", 0))
        return failed_at_create is None and failed_at_write is None


def _stat1(state: os.stat_result | None) -> bytes:
    if state is None:
        return bytes(STAT1.size)
    return STAT1.pack(state.st_mode, state.st_size & 0xFFFFFFFF, int(state.st_mtime) & 0xFFFFFFFF)


class _Receiver:
    """A file or link being pushed; like adbd it writes to the final name."""

    def __init__(self, files: DeviceFiles, path: str, mode: int) -> None:
        self._files = files
        self._path = path
        self._mode = mode
        self._fd: int | None = None
        self._target = bytearray()

    def begin(self) -> None:
        self._files.make_directories(self._path.rpartition("/")[0])
        self._files.remove(self._path)
        if not stat.S_ISLNK(self._mode):
            self._fd = self._files.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)

    def write(self, data: bytes) -> None:
        if self._fd is None:
            self._target += data
            return
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def finish(self, modified_s: int) -> None:
        if self._fd is None:
            self._files.link(bytes(self._target).rstrip(b"\0"), self._path)
        else:
            os.fchmod(self._fd, self._mode & 0o777)
            os.utime(self._fd, (modified_s, modified_s))

    def discard(self) -> None:
        self.close()
        with contextlib.suppress(OSError):
            self._files.remove(self._path)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
