"""Describe this machine in the same record as a device."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from pathlib import Path

from edgekit.core.device import DeviceInfo, hash_machine_id
from edgekit.device.parse import group_clusters, parse_assignments, parse_cores, parse_cpuinfo
from edgekit.engines.registry import host_packages

PROC = Path("/proc")
OS_RELEASE = Path("/etc/os-release")
# Of the SoC (Qualcomm), of the board, of the installation: machine-id(5).
MACHINE_IDS = (
    Path("/sys/devices/soc0/serial_number"),
    Path("/proc/device-tree/serial-number"),
    Path("/etc/machine-id"),
)
CPU_ROOT = Path("/sys/devices/system/cpu")


def host_info() -> DeviceInfo:
    """Describe this machine; values that cannot be read are None."""
    cpu = parse_cpuinfo(read_text(PROC / "cpuinfo"))
    usable = os.sched_getaffinity(0)
    cores = [core for core in parse_cores(core_lines()) if core.core in usable]
    machine = platform.machine()
    return DeviceInfo(
        serial="host",
        state="device",
        transport="local",
        manufacturer=cpu.vendor,
        model=platform.node() or None,
        soc=cpu.model,
        machine_id=hash_machine_id(map(read_text, MACHINE_IDS)),
        abi=machine,
        abis=(machine,),
        os=parse_assignments(read_text(OS_RELEASE)).get("PRETTY_NAME") or platform.system(),
        kernel=platform.release(),
        microcode=cpu.microcode,
        clusters=group_clusters(cores, cpu.parts),
        features=cpu.features,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        free_bytes=shutil.disk_usage(Path.cwd()).free,
        libraries=_libraries(),
    )


def _libraries() -> dict[str, str]:
    """Versions of the installed packages of the engines, and of Python and the C library, by name."""
    import importlib.metadata

    versions = {"python": platform.python_version(), "libc": " ".join(platform.libc_ver()).strip()}
    engines = [one.distribution for packages in host_packages().values() for one in packages]
    for distribution in ("numpy", *engines):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[distribution] = importlib.metadata.version(distribution)
    return versions


def read_text(path: Path) -> str:
    """A file of the kernel's without blanks around it; empty where it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def core_lines() -> str:
    """A line for each core, as `parse_cores` reads it."""
    names = ("cpuinfo_max_freq", "scaling_cur_freq", "scaling_governor", "scaling_max_freq")
    lines = []
    for path in CPU_ROOT.glob("cpu[0-9]*"):
        places = [path / "cpufreq" / name for name in names]
        places.append(path / "thermal_throttle" / "core_throttle_count")
        lines.append(" ".join([path.name[3:], *(read_text(place) or "-" for place in places)]))
    return "\n".join(lines)
