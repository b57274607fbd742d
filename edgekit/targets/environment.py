"""The host's circumstances at one moment, from /proc and /sys; what cannot be read is None."""

from __future__ import annotations

import os
import time
from pathlib import Path

from edgekit.core.measurement import CoreState, Environment, now
from edgekit.core.processes import ProcessWatch, Spent, parse_ticks
from edgekit.device.parse import CHARGING
from edgekit.engines.worker.process import reference_workload
from edgekit.targets.gpu import GpuReading, read_gpus

CPU_ROOT = Path("/sys/devices/system/cpu")
THERMAL_ROOT = Path("/sys/class/thermal")
BATTERY_ROOT = Path("/sys/class/power_supply")
PROC = Path("/proc")
# How long other processes are watched before the first reading.
WATCH_S = 0.25


def read_host_environment(watch: ProcessWatch, *, gpu: bool = False) -> Environment:
    """Read frequencies, temperatures and load of this machine, and which processes were busy.

    Args:
        watch: Knows the processes of the reading before; the first reading waits `WATCH_S` seconds.
        gpu: Read the NVIDIA GPUs too.
    """
    cores = _cores()
    temperatures = _temperatures()
    battery = _battery()
    current, voltage = (
        None if battery is None else _integer(battery / name) for name in ("current_now", "voltage_now")
    )
    load = _load_1min()
    steal = _steal_ticks()
    graphics = read_gpus() if gpu else GpuReading()
    if not watch.has_looked:
        watch.look(_process_ticks())
        time.sleep(WATCH_S)
    unreadable = [
        name
        for name, missing in (
            ("core frequencies", all(core.frequency_khz is None for core in cores)),
            ("frequency limits", all(core.max_frequency_khz is None for core in cores)),
            ("governors", all(core.governor is None for core in cores)),
            ("throttle counts", all(core.throttle_count is None for core in cores)),
            ("temperatures", not temperatures),
            ("battery", battery is None),
            ("battery current", current is None),
            ("battery voltage", voltage is None),
            ("load", load is None),
            ("steal time", steal is None),
        )
        if missing
    ]
    return Environment(
        read_at=now(),
        cores=cores,
        temperatures_celsius=temperatures,
        load_1min=load,
        steal_ticks=steal,
        battery_percent=_integer(battery / "capacity") if battery else None,
        battery_current_ua=current,
        battery_voltage_uv=voltage,
        charging=CHARGING.get(_text(battery / "status") or "") if battery else None,
        memory_available_bytes=_memory_available(),
        busy_processes=watch.look(_process_ticks()),
        reference_ns=reference_workload()[0],
        gpus=graphics.gpus,
        unreadable=(*unreadable, *graphics.unreadable),
    )


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def _integer(path: Path) -> int | None:
    try:
        return int(_text(path) or "")
    except ValueError:
        return None


def _cores() -> tuple[CoreState, ...]:
    states = []
    for path in CPU_ROOT.glob("cpu[0-9]*"):
        frequency = path / "cpufreq"
        states.append(
            CoreState(
                core=int(path.name[3:]),
                frequency_khz=_integer(frequency / "scaling_cur_freq"),
                max_frequency_khz=_integer(frequency / "scaling_max_freq"),
                governor=_text(frequency / "scaling_governor") or None,
                throttle_count=_integer(path / "thermal_throttle" / "core_throttle_count"),
            )
        )
    return tuple(sorted(states, key=lambda state: state.core))


def _temperatures() -> dict[str, float]:
    readings: dict[str, float] = {}
    for zone in sorted(THERMAL_ROOT.glob("thermal_zone*")):
        value = _integer(zone / "temp")
        if value is None:
            continue
        name = _text(zone / "type") or zone.name
        if name in readings:
            name = f"{name}-{zone.name.removeprefix('thermal_zone')}"
        readings[name] = value / 1000
    return readings


def _battery() -> Path | None:
    for supply in sorted(BATTERY_ROOT.glob("*")):
        if _text(supply / "type") == "Battery":
            return supply
    return None


def _load_1min() -> float | None:
    text = _text(PROC / "loadavg")
    return float(text.split()[0]) if text else None


def _steal_ticks() -> int | None:
    """Clock ticks that a hypervisor took since boot: the eighth number of the first line (proc(5))."""
    fields = (_text(PROC / "stat") or "").partition("\n")[0].split()
    return int(fields[8]) if len(fields) > 8 and fields[0] == "cpu" else None


def _memory_available() -> int | None:
    for line in (_text(PROC / "meminfo") or "").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _process_ticks() -> dict[tuple[int, str], Spent]:
    texts = (_text(entry / "stat") for entry in PROC.glob("[0-9]*"))
    ticks = parse_ticks("\n".join(text for text in texts if text is not None))
    own = os.getpid()
    return {key: spent for key, spent in ticks.items() if key[0] != own}
