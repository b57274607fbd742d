"""Describe this machine in the same record as a device."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
from pathlib import Path

from edgekit.core.device import Cluster, DeviceInfo, hash_machine_id
from edgekit.engines.registry import host_packages

CPUINFO = Path("/proc/cpuinfo")
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
    cpu = _cpuinfo()
    machine = platform.machine()
    return DeviceInfo(
        serial="host",
        state="device",
        transport="local",
        manufacturer=cpu.get("vendor_id"),
        model=platform.node() or None,
        soc=cpu.get("model name"),
        machine_id=hash_machine_id(map(_text, MACHINE_IDS)),
        abi=machine,
        abis=(machine,),
        os=_os_name(),
        kernel=platform.release(),
        microcode=cpu.get("microcode"),
        clusters=_clusters(),
        features=tuple(sorted((cpu.get("flags") or cpu.get("Features") or "").split())),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        free_bytes=shutil.disk_usage(Path.cwd()).free,
        libraries=_libraries(),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _libraries() -> dict[str, str]:
    """Versions of the installed packages of the engines, and of Python and the C library, by name."""
    versions = {"python": platform.python_version(), "libc": " ".join(platform.libc_ver()).strip()}
    engines = [one.distribution for packages in host_packages().values() for one in packages]
    for distribution in ("numpy", *engines):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[distribution] = importlib.metadata.version(distribution)
    return versions


def _cpuinfo() -> dict[str, str]:
    """Read the lines of the first processor in /proc/cpuinfo, by name."""
    try:
        text = CPUINFO.read_text(errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs if value.strip()}


def _os_name() -> str:
    try:
        for line in OS_RELEASE.read_text(errors="replace").splitlines():
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip('"')
    except OSError:
        pass
    return platform.system()


def _clusters() -> tuple[Cluster, ...]:
    """Group the cores that this process may use by maximum frequency, slowest first."""
    by_frequency: dict[int | None, list[int]] = {}
    for core in sorted(os.sched_getaffinity(0)):
        path = CPU_ROOT / f"cpu{core}" / "cpufreq" / "cpuinfo_max_freq"
        try:
            frequency: int | None = int(path.read_text())
        except (OSError, ValueError):
            frequency = None
        by_frequency.setdefault(frequency, []).append(core)
    return tuple(
        Cluster(cores=tuple(cores), max_frequency_khz=frequency)
        for frequency, cores in sorted(by_frequency.items(), key=lambda item: item[0] or 0)
    )
