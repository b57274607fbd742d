"""Processes of the device: forked with pipes or a terminal, entering the sandbox before they exec.

The device's process 1 inherits every orphan, so one place reaps them all; asyncio's own children
could not share that. This is the one place beside `edgekit._process` that starts programs: it runs
inside the device, where entering namespaces between fork and exec is the point.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import struct
import termios
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

READ_BYTES = 1 << 16
TIOCGPTPEER = 0x5441  # asm-generic/ioctls.h, as the next
TIOCSPTLCK = 0x40045431


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program to run; `enter` is called in the child just before exec."""

    argv: Sequence[str]
    env: Mapping[str, str]
    enter: Callable[[], None]


class Reaper:
    """Collects every child's end. One per device; it must be the only one that waits."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[int]] = {}

    def start(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._collect)

    def expect(self, pid: int) -> asyncio.Future[int]:
        """A future of the exit code (negative: the signal). Call it before returning to the loop."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[pid] = future
        return future

    def _collect(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            future = self._waiting.pop(pid, None)
            if future is not None and not future.done():
                future.set_result(os.waitstatus_to_exitcode(status))


class Process:
    """A running program of the device; `stdin` may be closed, `outputs` are read until b""."""

    def __init__(self, pid: int, ended: asyncio.Future[int], stdin: int, outputs: list[int]) -> None:
        self.pid = pid
        self.ended = ended
        self.outputs = outputs
        self._stdin: int | None = stdin
        self.terminal = stdin in outputs
        for fd in {stdin, *outputs}:
            os.set_blocking(fd, False)

    async def read(self, index: int) -> bytes:
        """Read some output; b"" at its end."""
        fd = self.outputs[index]
        while True:
            try:
                return os.read(fd, READ_BYTES)
            except BlockingIOError:
                await _ready(fd, reading=True)
            except OSError as error:
                if error.errno == errno.EIO:  # the last process let go of the terminal
                    return b""
                raise

    async def write(self, data: bytes) -> None:
        """Write all of `data` to stdin. Raises BrokenPipeError where nobody reads."""
        view = memoryview(data)
        while view:
            if self._stdin is None:
                raise BrokenPipeError(errno.EPIPE, "stdin is closed")
            try:
                view = view[os.write(self._stdin, view) :]
            except BlockingIOError:
                await _ready(self._stdin, reading=False)

    def close_stdin(self) -> None:
        """Send end of file to the program; on a terminal by ^D."""
        if self._stdin is None:
            return
        if self.terminal:
            with contextlib.suppress(OSError):
                os.write(self._stdin, b"\x04")
        else:
            os.close(self._stdin)
            self._stdin = None

    def resize(self, rows: int, columns: int) -> None:
        if self.terminal:
            fcntl.ioctl(self.outputs[0], termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and its children."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def close(self) -> None:
        """Release the descriptors."""
        for fd in {*self.outputs, *([] if self._stdin is None else [self._stdin])}:
            os.close(fd)
        self.outputs, self._stdin = [], None


async def _ready(fd: int, *, reading: bool) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    add, remove = (loop.add_reader, loop.remove_reader) if reading else (loop.add_writer, loop.remove_writer)

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    add(fd, wake)
    try:
        await ready
    finally:
        remove(fd)


def start_piped(program: Program, reaper: Reaper, *, separate_stderr: bool) -> Process:
    """Run with pipes; without `separate_stderr` both outputs come as one."""
    stdin, stdout = os.pipe(), os.pipe()
    stderr = os.pipe() if separate_stderr else None
    child_stderr = stderr[1] if stderr else stdout[1]
    pid = _fork(program, (stdin[0], stdout[1], child_stderr), terminal=False)
    for fd in (stdin[0], stdout[1], *([stderr[1]] if stderr else [])):
        os.close(fd)
    outputs = [stdout[0], *([stderr[0]] if stderr else [])]
    return Process(pid, reaper.expect(pid), stdin[1], outputs)


def start_on_terminal(program: Program, reaper: Reaper, pty_multiplexer: str) -> Process:
    """Run on a new pseudo terminal of the device's own devpts."""
    master = os.open(pty_multiplexer, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
    slave = fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)
    pid = _fork(program, (slave, slave, slave), terminal=True)
    os.close(slave)
    return Process(pid, reaper.expect(pid), master, [master])


def _fork(program: Program, standard: tuple[int, int, int], *, terminal: bool) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        # Above the range that dup2 is to fill, so that no source is overwritten by a target.
        sources = [fcntl.fcntl(fd, fcntl.F_DUPFD, 16) for fd in standard]
        for target, source in enumerate(sources):
            os.dup2(source, target)
        os.closerange(3, 4096)
        if terminal:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        program.enter()
        os.execve(program.argv[0], list(program.argv), dict(program.env))
    except BaseException as error:
        os.write(2, f"{program.argv[0]}: {error}\n".encode())
    os._exit(127)
