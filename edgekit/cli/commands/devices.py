"""`edgekit devices`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgekit.cli.options import adb_server_option, device_option, json_option
from edgekit.cli.output import echo_json, echo_table, note

if TYPE_CHECKING:
    from edgekit.core.device import DeviceInfo


@click.command()
@device_option
@adb_server_option
@json_option
def command(devices: tuple[str, ...], adb_servers: tuple[str, ...], as_json: bool) -> None:
    """List attached devices and what each can run.

    Without --device all devices of the adb servers are listed; name a board by --device ssh://user@host.
    """
    from edgekit.device.survey import survey
    from edgekit.transports.connect import ALL

    found = survey(devices, adb_servers)
    if as_json:
        echo_json([one.info for one in found])
    else:
        for index, one in enumerate(found):
            if index:
                click.echo()
            _show(one.info)
    if not found:
        from edgekit.transports.adb_server import NONE_HINT

        note(f"no device is attached; {NONE_HINT}")
    failed = [one.error for one in found if one.error is not None]
    # A device named by the user must answer; for an attached one its state is enough.
    raised = failed[:1] if {*devices} - {ALL} else []
    for error in failed[len(raised) :]:
        note(error.message + (f" ({error.hint})" if error.hint else ""))
    if raised:
        raise raised[0]


def _show(info: DeviceInfo) -> None:
    from edgekit.core.units import format_bytes
    from edgekit.device.probe import has_dotprod, has_fp16
    from edgekit.report.grid import facts

    name = " ".join(filter(None, (info.manufacturer, info.model)))
    click.echo(f"{info.serial}  {info.state}" + ("  (emulated)" if info.emulated else ""))
    if info.abi is None:
        return
    clusters = ", ".join(
        f"{_range(cluster.cores)}"
        + (f" at {cluster.max_frequency_khz / 1e6:.2f} GHz" if cluster.max_frequency_khz else "")
        + (f" ({cluster.part})" if cluster.part else "")
        for cluster in info.clusters
    )
    features = [label for label, has in (("fp16", has_fp16), ("dotprod", has_dotprod)) if has(info.features)]
    rows = {
        "model": name or None,
        "SoC": info.soc,
        "system": ", ".join(filter(None, (info.os, info.kernel))) or None,
        "ABI": ", ".join(info.abis),
        "cores": clusters or None,
        "features": None if info.abi == "x86_64" else ", ".join(features) or "neither fp16 nor dotprod",
        "memory": None if info.memory_bytes is None else format_bytes(info.memory_bytes),
        "free": None if info.free_bytes is None else format_bytes(info.free_bytes),
        "temperatures": ", ".join(f"{zone} {celsius:.0f} °C" for zone, celsius in _warmest(info)) or None,
        "battery": _battery(info),
        "pushed": ", ".join(f"{name} {version}" for name, version in info.runtimes.items()) or "nothing",
    }
    echo_table(facts((f"  {label}", value) for label, value in rows.items()))


def _range(cores: tuple[int, ...]) -> str:
    if len(cores) > 1 and cores == tuple(range(cores[0], cores[-1] + 1)):
        return f"{cores[0]}-{cores[-1]}"
    return ",".join(map(str, cores))


def _warmest(info: DeviceInfo) -> list[tuple[str, float]]:
    """Return the five warmest zones, because phones have dozens."""
    return sorted(info.temperatures_celsius.items(), key=lambda zone: -zone[1])[:5]


def _battery(info: DeviceInfo) -> str | None:
    battery = info.battery
    if battery is None:
        return None
    parts = [
        None if battery.level_percent is None else f"{battery.level_percent} %",
        None if battery.temperature_celsius is None else f"{battery.temperature_celsius:.0f} °C",
        {True: "charging", False: "not charging", None: None}[battery.charging],
    ]
    return ", ".join(filter(None, parts)) or None
