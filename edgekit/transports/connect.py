"""Opens the transport that `--device` names; never picks one of several devices."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from edgekit.errors import DeviceError, EdgekitError
from edgekit.transports.adb import AdbTransport
from edgekit.transports.adb_server import (
    NONE_HINT,
    AdbServer,
    AttachedDevice,
    is_network_serial,
    parse_server,
    unusable,
)
from edgekit.transports.interface import DeviceTransport
from edgekit.transports.ssh import SshTransport

LOCAL = "local"
ALL = "all"

LeftOut = Callable[[str, EdgekitError], None]
"""Called with the name of a device that cannot be used, and why, where the others are to go on without it."""


def open_devices(
    devices: Sequence[str], adb_servers: Sequence[str] = (), left_out: LeftOut | None = None
) -> list[DeviceTransport]:
    """The transports to several devices, in their order; without names the only one attached.

    Args:
        devices: adb serials, `HOST:PORT` (connected to first), `ssh://user@host[:port]`, `all` for every
            device of the adb servers; none for `$ANDROID_SERIAL`, else the only one attached.
        adb_servers: `HOST:PORT` of remote adb servers.
        left_out: Told of devices that cannot be opened; None to raise the first one's error.

    Raises:
        DeviceError: None, several and none named, not attached, unauthorised, offline.
        ToolError: No adb, no ssh, no adb server.
    """
    wanted = list(dict.fromkeys(devices)) or [os.environ.get("ANDROID_SERIAL") or ""]
    servers = [parse_server(address) for address in dict.fromkeys(adb_servers)] or [parse_server(None)]
    if ALL in wanted:
        serials = [device.serial for device in attached_devices(adb_servers)]
        if not serials:
            raise DeviceError("looking for devices: none is attached", hint=NONE_HINT)
        wanted = list(dict.fromkeys([*serials, *(device for device in wanted if device != ALL)]))
    transports: list[DeviceTransport] = []
    for device in wanted:
        try:
            transports.append(_open(device, servers))
        except EdgekitError as error:
            if left_out is not None:
                left_out(device, error)
                continue
            for transport in transports:
                transport.close()
            raise
    return transports


def _open(device: str, servers: Sequence[AdbServer]) -> DeviceTransport:
    if device.startswith("ssh://"):
        return SshTransport(device)
    if device == LOCAL:
        raise DeviceError("opening `local` as a device: it is this machine", hint="use --host")
    return _open_adb(device or None, servers)


def attached_devices(adb_servers: Sequence[str] = ()) -> list[AttachedDevice]:
    """List every device of the adb servers, in any state."""
    servers = [parse_server(address) for address in dict.fromkeys(adb_servers)] or [parse_server(None)]
    return [device for server in servers for device in server.devices()]


def _open_adb(serial: str | None, servers: Sequence[AdbServer]) -> AdbTransport:
    attached = [device for server in servers for device in server.devices()]
    if serial is None:
        found = _only(attached)
    else:
        matching = [device for device in attached if device.serial == serial]
        if len(matching) > 1:
            where = ", ".join(str(device.server) for device in matching)
            raise DeviceError(
                f"opening {serial}: it is attached to several adb servers ({where})",
                hint=f"name one of them: --adb-server {matching[0].server}",
            )
        if is_network_serial(serial) and (not matching or matching[0].state == "offline"):
            server = matching[0].server if matching else servers[0]
            server.connect(serial)
            return AdbTransport(serial, server)
        if not matching:
            raise DeviceError(
                f"opening {serial}: no such device is attached{_listed(attached)}", hint="edgekit devices"
            )
        found = matching[0]
    if found.state in ("authorizing", "connecting"):
        found.server.wait_for(found.serial, timeout_s=5.0)
    elif found.state != "device":
        raise unusable(found.serial, found.state, found.server)
    return AdbTransport(found.serial, found.server)


def _only(attached: Sequence[AttachedDevice]) -> AttachedDevice:
    if not attached:
        raise DeviceError("looking for a device: none is attached", hint=NONE_HINT)
    if len(attached) > 1:
        raise DeviceError(
            f"choosing a device: {len(attached)} are attached{_listed(attached)}",
            hint=f"--device {attached[0].serial}",
        )
    return attached[0]


def _listed(attached: Sequence[AttachedDevice]) -> str:
    if not attached:
        return ""
    return "; attached: " + ", ".join(f"{device.serial} ({device.state})" for device in attached)
