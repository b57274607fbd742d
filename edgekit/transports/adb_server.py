"""The adb server, local or remote: reaching it, starting it, asking for devices, opening services on them.

Every socket has a timeout. adbutils opens the connection and speaks the server's request framing; what
it does not bound or leaves without a cause is done here (see `edgekit.transports.adb`).
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

import msgspec

from edgekit import _process
from edgekit.errors import DeviceError, EdgekitError, ToolError, UsageError
from edgekit.toolchain.adb import find_adb
from edgekit.transports.far_shell import lost

if TYPE_CHECKING:
    from adbutils import AdbConnection

    class BoundedConnection(AdbConnection):  # type: ignore[misc]
        """A connection whose reads end at one deadline, a time of `time.monotonic`."""

        deadline: float


DEFAULT_PORT = 5037
REPLY_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 10.0
START_TIMEOUT_S = 20.0
# adb 36 takes about 3 s to take a wireless device back after a drop.
COMES_BACK_S = 6.0
POLL_S = 0.1

UNAUTHORIZED_HINT = "unlock the device, accept its `Allow USB debugging?` dialogue, then: edgekit devices"
RESTART_HINT = "adb kill-server; adb start-server"
NONE_HINT = (
    "plug one in with USB debugging on, or: edgekit virtual start; for this machine: edgekit bench --host"
)


class AttachedDevice(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `adb devices -l`.

    Attributes:
        state: `device`, `offline`, `unauthorized`, `authorizing`, `connecting`, `no permissions`, ...
        server: The adb server that it is attached to.
    """

    serial: str
    state: str
    server: AdbServer
    model: str | None = None


class AdbServer(msgspec.Struct, frozen=True, kw_only=True):
    """An adb server's address. `remote` servers are never started, only reached."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    remote: bool = False

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def where(self) -> str:
        """` on the adb server at HOST:PORT`, empty for the local one."""
        return f" on the adb server at {self}" if self.remote else ""

    def connection(self, *, timeout_s: float) -> BoundedConnection:
        """Open a connection, whose answers together may take `timeout_s`; start the local server where none
        is running.

        Raises:
            ToolError: No adb program, the server does not start, or the remote one does not answer.
        """
        from adbutils.errors import AdbConnectionError, AdbTimeout

        try:
            connection = _connect(self.host, self.port)
        except (AdbConnectionError, AdbTimeout) as error:
            if self.remote:
                raise ToolError(
                    f"reaching the adb server at {self}: {_plain(error)}",
                    hint=f"on {self.host}: adb -a -P {self.port} nodaemon server start",
                ) from error
            self._start()
            try:
                connection = _connect(self.host, self.port)
            except (AdbConnectionError, AdbTimeout) as again:
                raise ToolError(
                    f"reaching the adb server at {self}: {_plain(again)}",
                    hint=RESTART_HINT,
                ) from again
        connection.conn.settimeout(timeout_s)
        connection.deadline = time.monotonic() + timeout_s
        return connection

    def _start(self) -> None:
        program = find_adb()
        done = _process.run([program, "-P", str(self.port), "start-server"], timeout_s=START_TIMEOUT_S)
        if not done.ok:
            observed = done.tail() or _process.describe_exit(done.exit_code)
            raise ToolError(
                f"starting the adb server with {program}: {observed}",
                hint=f"{program} -P {self.port} nodaemon server",
            )

    def ask(self, service: str, *, timeout_s: float = REPLY_TIMEOUT_S) -> str:
        """Ask a `host:` service and return its text.

        Raises:
            ToolError: The server is gone, does not answer in time, or refuses.
        """
        from adbutils.errors import AdbError

        connection = self.connection(timeout_s=timeout_s)
        try:
            connection.send_command(service)
            connection.check_okay()
            return str(connection.read_string_block())
        except (AdbError, OSError, EOFError, ValueError) as error:
            raise ToolError(
                f"asking the adb server at {self} for {service}: {_plain(error)}",
                hint=RESTART_HINT,
            ) from error
        finally:
            _close(connection)

    def devices(self) -> list[AttachedDevice]:
        """List every attached device, in any state.

        Raises:
            ToolError: The server is gone, does not answer in time, or its answer is no list of devices.
        """
        attached = []
        for line in filter(str.strip, self.ask("host:devices-l").splitlines()):
            match = re.match(r"(\(no serial number\)|\S+)\s+(no permissions|[a-z]+)\b", line)
            if match is None:
                raise ToolError(
                    f"listing the devices of the adb server at {self}: it answered {line[:60]!r}",
                    hint=RESTART_HINT,
                )
            model = re.search(r"\bmodel:(\S+)", line)
            attached.append(
                AttachedDevice(
                    serial=match[1],
                    state=match[2],
                    server=self,
                    model=model[1].replace("_", " ") if model else None,
                )
            )
        return attached

    def state(self, serial: str) -> str:
        """Return a device's state, `absent` where the server does not know the device."""
        for device in self.devices():
            if device.serial == serial:
                return device.state
        return "absent"

    def open_service(self, serial: str, service: str, *, action: str, timeout_s: float) -> BoundedConnection:
        """A connection to a service on the device (`sync:`, `shell,v2,raw:…`).

        Raises:
            ToolError: No adb server.
            DeviceError: Unauthorised.
            DeviceLostError: Gone, offline, or no answer within `timeout_s`.
        """
        from adbutils.errors import AdbError, AdbTimeout

        connection = self.connection(timeout_s=timeout_s)
        try:
            # `host:transport:` rather than adbutils' `tport`: no round trip for the server's version.
            connection.send_command(f"host:transport:{serial}")
            connection.check_okay()
            _send_long_command(connection, service)
            connection.check_okay()
            return connection
        except AdbTimeout as error:
            _close(connection)
            raise lost(
                action, serial, f"no answer within {timeout_s:g} s", self._lost_hint(serial)
            ) from error
        except (AdbError, OSError, EOFError, ValueError) as error:
            _close(connection)
            raise self.explain(serial, action, error) from error
        except BaseException:
            _close(connection)
            raise

    def explain(self, serial: str, action: str, error: BaseException | None = None) -> EdgekitError:
        """Return the error for an operation that broke off, with the cause that the adb server names."""
        said = _plain(error) if error is not None else ""
        if "unauthorized" in said:
            return DeviceError(f"{action} on {serial}: the device is unauthorised", hint=UNAUTHORIZED_HINT)
        try:
            state = self._peek_state(serial)
        except EdgekitError:
            return lost(
                action, serial, f"the adb server at {self} went away", "adb start-server; edgekit devices"
            )
        if state == "unauthorized":
            return DeviceError(f"{action} on {serial}: the device is unauthorised", hint=UNAUTHORIZED_HINT)
        observed = {
            "offline": "the device is offline",
            "absent": "the link broke, the device is not attached any more",
            "device": "the link broke off" + (f" ({said})" if said and said != "''" else ""),
        }.get(state, f"the link broke, the device is {state}")
        return lost(action, serial, observed, self._lost_hint(serial))

    def _peek_state(self, serial: str) -> str:
        """Return the device's state; do not start an adb server that has ended."""
        return AdbServer(host=self.host, port=self.port, remote=True).state(serial)

    def _lost_hint(self, serial: str) -> str:
        if is_network_serial(serial):
            return f"adb disconnect {serial}; adb connect {serial}; edgekit devices"
        return "check the cable, wake the device, then: edgekit devices"

    def connect(self, serial: str) -> None:
        """Connect a `HOST:PORT` device (wireless adb) and wait until it is usable.

        Raises:
            DeviceError: Refused, unreachable, unauthorised, or it stays offline.
        """
        state = self.state(serial)
        if state == "device":
            return
        if state != "absent":
            # A stale entry answers "already connected" for ever.
            self._disconnect(serial)
        try:
            answer = self.ask(f"host:connect:{serial}", timeout_s=CONNECT_TIMEOUT_S)
        except ToolError as error:
            raise DeviceError(
                f"connecting to {serial}{self.where}: no answer within {CONNECT_TIMEOUT_S:g} s",
                hint="check the address, and that wireless debugging is on: edgekit devices",
            ) from error
        if "authenticate" in answer:
            raise DeviceError(f"connecting to {serial}{self.where}: unauthorised", hint=UNAUTHORIZED_HINT)
        if "connected to" not in answer or "cannot" in answer or "failed" in answer:
            raise DeviceError(
                f"connecting to {serial}{self.where}: {answer.strip()}",
                hint="check the address, and that wireless debugging is on: edgekit devices",
            )
        self.wait_for(serial, timeout_s=COMES_BACK_S)

    def _disconnect(self, serial: str) -> None:
        try:
            self.ask(f"host:disconnect:{serial}")
        except ToolError as error:
            if "no such device" not in error.message:
                raise

    def wait_for(self, serial: str, *, timeout_s: float) -> None:
        """Wait until a device is usable; raise the error of the state that it stayed in otherwise."""
        deadline = time.monotonic() + timeout_s
        while (state := self.state(serial)) != "device":
            if time.monotonic() > deadline or state == "unauthorized":
                raise unusable(serial, state, self)
            time.sleep(POLL_S)


def unusable(serial: str, state: str, server: AdbServer) -> EdgekitError:
    """Return the error for a device that is offline, unauthorised or in another unusable state."""
    network = is_network_serial(serial)
    reconnect = f"adb disconnect {serial}; adb connect {serial}" if network else "adb reconnect"
    observed, hint = {
        "unauthorized": ("the device is unauthorised", UNAUTHORIZED_HINT),
        "authorizing": ("the device is unauthorised", UNAUTHORIZED_HINT),
        "offline": ("the device is offline", reconnect),
        "no permissions": (
            "no permission to open its USB device",
            "install the udev rules (Debian: android-sdk-platform-tools-common), then replug it",
        ),
        "absent": ("no such device is attached", "edgekit devices"),
    }.get(state, (f"the device is in state {state!r}", "boot it into Android, then: edgekit devices"))
    return DeviceError(f"using {serial}{server.where}: {observed}", hint=hint)


def parse_server(address: str | None) -> AdbServer:
    """`HOST:PORT` or `HOST`; None is the local server, where `$ANDROID_ADB_SERVER_PORT` says.

    Raises:
        UsageError: Not an address.
    """
    if address is None:
        host = os.environ.get("ANDROID_ADB_SERVER_ADDRESS") or os.environ.get("ANDROID_ADB_SERVER_HOST")
        port = os.environ.get("ANDROID_ADB_SERVER_PORT", str(DEFAULT_PORT))
        if not port.isdigit():
            raise UsageError(f"reading $ANDROID_ADB_SERVER_PORT: {port!r} is no port number")
        return AdbServer(host=host or "127.0.0.1", port=int(port), remote=host is not None)
    host, _, port = address.rpartition(":") if ":" in address else (address, ":", str(DEFAULT_PORT))
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(
            f"reading --adb-server {address!r}: not HOST:PORT", hint="--adb-server 10.0.0.5:5037"
        )
    return AdbServer(host=host, port=int(port), remote=True)


def is_network_serial(serial: str) -> bool:
    """Whether a serial is an address that `adb connect` takes."""
    return re.fullmatch(r"[^\s/@]+:\d{1,5}", serial) is not None


def _connect(host: str, port: int) -> BoundedConnection:
    """A connection of adbutils that never starts a server, which adbutils would do for remote servers too,
    without a timeout; and whose reads have one deadline together, where adbutils gives each byte its own.
    """
    from adbutils._adb import AdbConnection as Connection

    class Bounded(Connection):  # type: ignore[misc]
        deadline = 0.0

        def _safe_connect(self) -> object:
            return self._create_socket()

        def _read_fully(self, count: int) -> bytes:
            data = b""
            while len(data) < count:
                self.conn.settimeout(max(0.001, self.deadline - time.monotonic()))
                piece = self.conn.recv(count - len(data))
                if not piece:
                    break
                data += piece
            return data

    connection: BoundedConnection = Bounded(host, port)
    return connection


def _send_long_command(connection: AdbConnection, service: str) -> None:
    encoded = service.encode()
    if len(encoded) > 0xFFFF:
        raise ValueError(f"an adb service string of {len(encoded)} bytes")
    connection.conn.sendall(f"{len(encoded):04x}".encode() + encoded)


def _close(connection: AdbConnection) -> None:
    connection.conn.close()


def _plain(error: BaseException) -> str:
    return " ".join(str(part) for part in error.args if str(part)) or type(error).__name__
