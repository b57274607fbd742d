"""The running device: it listens, greets, opens services and lets faults strike."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shlex
import socket
from collections.abc import Coroutine

from edgekit.virtual.adbd.protocol import Connection, Stream
from edgekit.virtual.adbd.shell import ShellService
from edgekit.virtual.adbd.sync import SyncService
from edgekit.virtual.config import AuthMode, DeviceConfig
from edgekit.virtual.faults.faults import FaultName, FaultTable
from edgekit.virtual.machine.device_files import DeviceFiles
from edgekit.virtual.machine.machine_files import properties
from edgekit.virtual.machine.sandbox import SCRATCH, SHELL_UID, Sandbox, kill_all
from edgekit.virtual.machine.soc import load_soc
from edgekit.virtual.machine.spawn import Process, Program, Reaper, start_on_terminal, start_piped

logger = logging.getLogger("edgekit.virtual")

FEATURES = "shell_v2,cmd,stat_v2,ls_v2,fixed_push_mkdir,sendrecv_v2"
BANNER_PROPERTIES = ("ro.product.name", "ro.product.model", "ro.product.device")
STREAM_LIMIT_BYTES = 4 << 20


class Device:
    """One virtual device: `start` it, then `run_until` it is stopped."""

    def __init__(self, config: DeviceConfig, sandbox: Sandbox) -> None:
        self.config = config
        self.sandbox = sandbox
        self.soc = load_soc(config.soc)
        self.faults = FaultTable()
        self._properties = properties(self.soc, config.serial, counting=config.counting)
        self._files = DeviceFiles(sandbox.files_root)
        self._reaper = Reaper()
        self._connections: set[Connection] = set()
        self._authorized = asyncio.Event()
        self._listener: asyncio.Server | None = None
        self._reserved: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._up = True

    async def start(self) -> None:
        """Listen. Raises OSError where the port is taken."""
        self._reaper.start()
        await self._listen()

    async def stop(self) -> None:
        """Cut every connection and end every process."""
        await self._close_port(reserve=False)
        self.cut_connections()
        kill_all(self.sandbox.processes)

    # The port: open, or closed but kept from others.

    async def _listen(self) -> None:
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None
        self._listener = await asyncio.start_server(
            self._accept, "127.0.0.1", self.config.port, limit=STREAM_LIMIT_BYTES
        )

    async def _close_port(self, *, reserve: bool) -> None:
        if self._listener is None:
            return
        self._listener.close()
        self._listener = None
        if reserve:
            self._reserved = socket.socket()
            self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._reserved.bind(("127.0.0.1", self.config.port))

    async def settle_port(self) -> None:
        """Open the port where the device is up and not refusing; close it otherwise."""
        wanted = self._up and self.faults.get(FaultName.REFUSE) is None
        if wanted and self._listener is None:
            await self._listen()
        elif not wanted and self._listener is not None:
            await self._close_port(reserve=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(self, reader, writer)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)

    def cut_connections(self) -> None:
        for connection in list(self._connections):
            connection.cut()

    def in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # protocol.Host

    def banner(self) -> bytes:
        known = "".join(f"{name}={self._properties.get(name, '')};" for name in BANNER_PROPERTIES)
        return f"device::{known}features={FEATURES}".encode()

    def accepts_silently(self) -> bool:
        if self.faults.get(FaultName.UNAUTHORIZED) is not None:
            return False
        return self.config.auth is AuthMode.NONE or self._authorized.is_set()

    async def accepts_key(self, name: str) -> bool:
        logger.info("key offered: %s", name)
        if self.config.auth is AuthMode.DENY or self.faults.get(FaultName.UNAUTHORIZED) is not None:
            return False
        await self._authorized.wait()
        return True

    def authorize(self) -> None:
        """Accept the key that the device asks about."""
        self._authorized.set()

    async def greets(self) -> None:
        await self.faults.hold(FaultName.OFFLINE)

    def bytes_per_s(self) -> int | None:
        slow = self.faults.get(FaultName.SLOW)
        return None if slow is None else slow.number()

    async def serve(self, stream: Stream, destination: str) -> None:
        logger.info("open %s", destination[:300])
        await self.faults.hold(FaultName.HANG_OPEN)
        name, _, argument = destination.partition(":")
        kind, *options = name.split(",")
        if kind in ("shell", "exec"):
            await self._shell(stream, kind, options, argument)
        elif kind == "sync":
            await stream.accept()
            await SyncService(stream, self._files, self.faults, SHELL_UID).run()
        elif kind == "reboot":
            await stream.accept()
            await stream.close()
            self.reboot()
        elif kind in ("root", "unroot", "remount"):
            await stream.accept()
            await stream.write(f"adbd cannot {kind} in production builds\n".encode())
        else:
            await stream.refuse()

    async def _shell(self, stream: Stream, kind: str, options: list[str], command: str) -> None:
        framed = "v2" in options
        terminal = "pty" in options or (kind == "shell" and not command and "raw" not in options)
        await stream.accept()
        term = next((option[5:] for option in options if option.startswith("TERM=")), "dumb")
        process = self._start_process(command, term, terminal=terminal, framed=framed)
        due = self.faults.strike(FaultName.REBOOT_AT_SHELL)
        if due is not None:
            self.in_background(self._reboot_after(due.number() / 1000))
        await ShellService(stream, process, self.faults, framed=framed).run()

    async def _reboot_after(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        self.reboot()

    def _start_process(self, command: str, term: str, *, terminal: bool, framed: bool) -> Process:
        words = ["/system/bin/sh", "-c", command] if command else ["/system/bin/sh", "-"]
        program = Program(
            argv=self.sandbox.argv(words), env=self._environment(term), enter=self.sandbox.enter
        )
        logger.debug("+ %s", shlex.join(program.argv))
        if terminal:
            return start_on_terminal(program, self._reaper, self.sandbox.pty_multiplexer())
        return start_piped(program, self._reaper, separate_stderr=framed)

    def _environment(self, term: str) -> dict[str, str]:
        return {
            "PATH": "/system/bin:/vendor/bin",
            "HOME": "/",
            "TMPDIR": SCRATCH,
            "ANDROID_ROOT": "/system",
            "ANDROID_DATA": "/data",
            "SHELL": "/system/bin/sh",
            "USER": "shell",
            "HOSTNAME": self._properties["ro.product.device"],
            "TERM": term,
            "QEMU_CPU": self.soc.qemu_cpu,
            "QEMU_UNAME": self.soc.kernel,
        }

    # Reboot: everything running ends, files stay, the port is closed while it boots.

    def reboot(self) -> None:
        self.in_background(self._reboot())

    async def _reboot(self) -> None:
        logger.info("reboot")
        self._up = False
        await self._close_port(reserve=True)
        self.cut_connections()
        kill_all(self.sandbox.processes)
        await asyncio.sleep(self.config.boot_ms / 1000)
        self._up = True
        await self.settle_port()
        logger.info("booted")

    async def run_until(self, stopped: asyncio.Event) -> None:
        """Serve until `stopped` is set."""
        with contextlib.suppress(asyncio.CancelledError):
            await stopped.wait()
        await self.stop()
