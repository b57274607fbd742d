"""The host's circumstances at one moment, from /proc and /sys, read as a device's are."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from edgekit.core.measurement import Environment
from edgekit.core.processes import ProcessWatch, Spent, parse_ticks
from edgekit.device.probe import describe_environment
from edgekit.engines.worker.process import reference_workload
from edgekit.targets.gpu import GpuReading, read_gpus
from edgekit.targets.host import PROC, core_lines, read_text

THERMAL_ROOT = Path("/sys/class/thermal")
BATTERY_ROOT = Path("/sys/class/power_supply")
# How long other processes are watched before the first reading.
WATCH_S = 0.25


def read_host_environment(watch: ProcessWatch, *, gpu: bool = False) -> Environment:
    """Read frequencies, temperatures and load of this machine, and which processes were busy.

    Args:
        watch: Knows the processes of the reading before; the first reading waits `WATCH_S` seconds.
        gpu: Read the NVIDIA GPUs too.
    """
    read = describe_environment(_sections())
    graphics = read_gpus() if gpu else GpuReading()
    if not watch.has_looked:
        watch.look(_process_ticks())
        time.sleep(WATCH_S)
    unreadable = (name for name in read.unreadable if name != "screen")
    return msgspec.structs.replace(
        read,
        busy_processes=watch.look(_process_ticks()),
        reference_ns=reference_workload()[0],
        gpus=graphics.gpus,
        unreadable=(*unreadable, *graphics.unreadable),
    )


def _sections() -> dict[str, str]:
    """This machine's answers to the questions of a device's script."""
    zones = [
        (zone, read_text(zone / "type"), read_text(zone / "temp"))
        for zone in sorted(THERMAL_ROOT.glob("thermal_zone*"))
    ]
    supplies = (one for one in sorted(BATTERY_ROOT.glob("*")) if read_text(one / "type") == "Battery")
    battery = next(supplies, None)
    return {
        "cores": core_lines(),
        "thermal": "\n".join(f"{kind or zone.name} {degrees}" for zone, kind, degrees in zones),
        "power": "\n".join(
            f"{name}={value}"
            for name in ("capacity", "status", "current_now", "voltage_now", "temp")
            if battery is not None and (value := read_text(battery / name))
        ),
        "files": read_text(PROC / "meminfo"),
        "load": read_text(PROC / "loadavg"),
        "stat": read_text(PROC / "stat").partition("\n")[0],
    }


def _process_ticks() -> dict[tuple[int, str], Spent]:
    ticks = parse_ticks("\n".join(read_text(entry / "stat") for entry in PROC.glob("[0-9]*")))
    own = os.getpid()
    return {key: spent for key, spent in ticks.items() if key[0] != own}
