"""Pure parsers over text read from a device: nothing here talks to one.

A field that a text lacks is None. Samples recorded from devices are under tests/data/devices.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from edgekit.core.device import Battery, Cluster, hash_machine_id

SECTION = "== edgekit "
# Zones report millidegrees; some kernels report degrees, and absent sensors nonsense.
PLAUSIBLE_CELSIUS = (-50.0, 200.0)
# Whether a battery is on its charger, by what power_supply's status says.
CHARGING = {"Discharging": False, "Charging": True, "Full": True, "Not charging": True}


class CpuInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Contents of /proc/cpuinfo.

    Attributes:
        parts: Core number to part, e.g. `{0: "0xd05"}`.
        features: Those that every core has.
        hardware: Its `Hardware` line, on Android the SoC.
        model: Its `Model` line (Raspberry Pi) or `model name` (x86).
        vendor, microcode: Vendor and microcode revision of x86 processors.
    """

    parts: dict[int, str]
    features: tuple[str, ...]
    hardware: str | None = None
    model: str | None = None
    vendor: str | None = None
    microcode: str | None = None


class CoreLine(msgspec.Struct, frozen=True, kw_only=True):
    """A core as /sys/devices/system/cpu/cpuN has it.

    Attributes:
        maximum_khz: Maximum frequency of the hardware.
        limit_khz: Maximum frequency now; thermal drivers lower it.
        throttle_count: Times that it was throttled (x86 only).
    """

    core: int
    maximum_khz: int | None = None
    current_khz: int | None = None
    governor: str | None = None
    limit_khz: int | None = None
    throttle_count: int | None = None


def split_sections(text: str) -> dict[str, str]:
    """`== edgekit NAME` lines and what follows each."""
    sections: dict[str, str] = {}
    name = None
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith(SECTION):
            if name is not None:
                sections[name] = "\n".join(lines).strip("\n")
            name, lines = line.removeprefix(SECTION).strip(), []
        else:
            lines.append(line)
    if name is not None:
        sections[name] = "\n".join(lines).strip("\n")
    return sections


def parse_properties(text: str) -> dict[str, str]:
    """`getprop`: lines of `[name]: [value]`; a value may have line breaks."""
    return {
        match[1]: match[2]
        for match in re.finditer(r"^\[([^\]\n]+)\]: \[(.*?)\]$", text, re.MULTILINE | re.DOTALL)
    }


def parse_assignments(text: str) -> dict[str, str]:
    """`NAME=value` lines, values perhaps quoted (/etc/os-release)."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


def parse_cpuinfo(text: str) -> CpuInfo:
    """ARM and x86 forms of /proc/cpuinfo."""
    parts: dict[int, str] = {}
    features: list[set[str]] = []
    single: dict[str, str] = {}
    core = -1
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        name, value = name.strip(), value.strip()
        if not colon:
            continue
        if name == "processor" and value.isdecimal():
            core = int(value)
        elif name == "CPU part" and core >= 0:
            parts[core] = value.lower()
        elif name in ("Features", "flags"):
            features.append(set(value.split()))
        elif name in ("Hardware", "Model", "model name", "vendor_id", "microcode"):
            single.setdefault(name, value)
    common = set.intersection(*features) if features else set()
    return CpuInfo(
        parts=parts,
        features=tuple(sorted(common)),
        hardware=single.get("Hardware"),
        model=single.get("Model") or single.get("model name"),
        vendor=single.get("vendor_id"),
        microcode=single.get("microcode"),
    )


def parse_cores(text: str) -> list[CoreLine]:
    """Lines of `core maximum current governor limit throttles`, `-` where a value cannot be read."""
    cores = []
    for line in text.splitlines():
        fields = [*line.split(), "-", "-"]
        if len(fields) >= 6 and fields[0].isdecimal():
            cores.append(
                CoreLine(
                    core=int(fields[0]),
                    maximum_khz=_integer(fields[1]),
                    current_khz=_integer(fields[2]),
                    governor=None if fields[3] == "-" else fields[3],
                    limit_khz=_integer(fields[4]),
                    throttle_count=_integer(fields[5]),
                )
            )
    return sorted(cores, key=lambda line: line.core)


def group_clusters(cores: list[CoreLine], parts: Mapping[int, str]) -> tuple[Cluster, ...]:
    """Cores of one maximum frequency and one part together, slowest first."""
    groups: dict[tuple[int, str], list[int]] = {}
    for core in cores:
        groups.setdefault((core.maximum_khz or 0, parts.get(core.core, "")), []).append(core.core)
    return tuple(
        Cluster(cores=tuple(numbers), max_frequency_khz=frequency or None, part=part or None)
        for (frequency, part), numbers in sorted(groups.items())
    )


def parse_identity(text: str) -> tuple[str | None, str | None]:
    """Lines of `NAME=value`: the machine's hashed id, and its model where it is among them."""
    said = {name: value for name, value in parse_assignments(text).items() if value not in ("", "-")}
    model = said.pop("model", None)
    return hash_machine_id(value for _, value in sorted(said.items())), model


def parse_meminfo(text: str) -> dict[str, int]:
    """/proc/meminfo in bytes."""
    return {
        match[1]: int(match[2]) * 1024
        for match in re.finditer(r"^(\w+(?:\(\w+\))?):\s+(\d+) kB$", text, re.MULTILINE)
    }


def parse_thermal(text: str) -> dict[str, float]:
    """Lines of `type temperature` in degrees Celsius; zones of one type are numbered."""
    zones: dict[str, float] = {}
    for line in text.splitlines():
        name, _, value = line.strip().rpartition(" ")
        number = _integer(value)
        if not name or number is None:
            continue
        celsius = number / 1000 if abs(number) >= 1000 else float(number)
        if number == 0 or not PLAUSIBLE_CELSIUS[0] <= celsius <= PLAUSIBLE_CELSIUS[1]:
            continue
        key, count = name, 2
        while key in zones:
            key, count = f"{name}#{count}", count + 1
        zones[key] = celsius
    return zones


def parse_battery(dumpsys: str, sysfs: str) -> Battery | None:
    """`dumpsys battery` where there is one, the kernel's power_supply `NAME=value` lines otherwise, in which
    `online` is a charger's.

    `dumpsys` has millivolts and tenths of degrees; the kernel microvolts, microamperes, tenths of degrees.
    """
    said = {
        match[1].strip().lower(): match[2].strip()
        for match in re.finditer(r"^\s+([A-Za-z ]+): (.+)$", dumpsys, re.MULTILINE)
    }
    kernel = parse_assignments(sysfs)
    if "level" not in said and not kernel:
        return None
    tenths = _first(_integer(said.get("temperature", "")), _integer(kernel.get("temp", "")))
    millivolts = _integer(said.get("voltage", ""))
    status = kernel.get("status")
    powered = [said[key] == "true" for key in said if key.endswith("powered")]
    charging = any(powered) if powered else "online" in kernel or CHARGING.get(status or "")
    return Battery(
        level_percent=_first(_integer(said.get("level", "")), _integer(kernel.get("capacity", ""))),
        temperature_celsius=None if tenths is None else tenths / 10,
        current_ua=_integer(kernel.get("current_now", "")),
        voltage_uv=_first(
            None if millivolts is None else millivolts * 1000, _integer(kernel.get("voltage_now", ""))
        ),
        charging=charging,
    )


def parse_screen(text: str) -> bool | None:
    """`mWakefulness=Awake` of `dumpsys power`."""
    match = re.search(r"mWakefulness=(\w+)", text)
    return match[1] == "Awake" if match else None


def parse_load(text: str) -> float | None:
    """The first figure of /proc/loadavg."""
    match = re.match(r"\s*(\d+\.\d+)", text)
    return float(match[1]) if match else None


def parse_steal(text: str) -> int | None:
    """Stolen ticks: the eighth figure of /proc/stat's first line."""
    match = re.match(r"cpu\s+((?:\d+\s*){8,})", text)
    return int(match[1].split()[7]) if match else None


def _integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?\d+", text.strip()) else None


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)
