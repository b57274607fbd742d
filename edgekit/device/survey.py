"""Probes every attached device at once; a device that cannot be probed is listed with its state."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from edgekit.core.device import DeviceInfo
from edgekit.device.probe import probe
from edgekit.errors import EdgekitError
from edgekit.transports.adb import AdbTransport
from edgekit.transports.adb_server import AttachedDevice, unusable
from edgekit.transports.connect import ALL, attached_devices, open_devices
from edgekit.transports.interface import DeviceTransport


class Surveyed(msgspec.Struct, frozen=True, kw_only=True):
    """One device; `error` says why it could not be probed."""

    info: DeviceInfo
    error: EdgekitError | None = None


def survey(devices: Sequence[str] = (), adb_servers: Sequence[str] = ()) -> list[Surveyed]:
    """Probe named devices, or with `all` or no name everything that the adb servers have; all at once.

    Raises:
        ToolError: No adb server.
    """
    named = [name for name in dict.fromkeys(devices) if name != ALL]
    looks = [functools.partial(_look_at_named, name, adb_servers) for name in named]
    if ALL in devices or not devices:
        others = [device for device in attached_devices(adb_servers) if device.serial not in named]
        looks += [functools.partial(_look_at, device) for device in others]
    with ThreadPoolExecutor(16, thread_name_prefix="device") as pool:
        return list(pool.map(lambda look: look(), looks))


def _look_at_named(name: str, adb_servers: Sequence[str]) -> Surveyed:
    try:
        transport = open_devices([name], adb_servers)[0]
    except EdgekitError as error:
        return _unprobed(name, "unreachable", "ssh" if name.startswith("ssh://") else "adb", error)
    return _probed(transport)


def _look_at(device: AttachedDevice) -> Surveyed:
    if device.state != "device":
        error = unusable(device.serial, device.state, device.server)
        return _unprobed(device.serial, device.state, "adb", error, model=device.model)
    return _probed(AdbTransport(device.serial, device.server))


def _probed(transport: DeviceTransport) -> Surveyed:
    try:
        return Surveyed(info=probe(transport))
    except EdgekitError as error:
        return _unprobed(transport.serial, "not answering", transport.name, error)
    finally:
        transport.close()


def _unprobed(
    serial: str, state: str, transport: str, error: EdgekitError, model: str | None = None
) -> Surveyed:
    return Surveyed(
        info=DeviceInfo(serial=serial, state=state, transport=transport, model=model), error=error
    )
