"""The files of /proc, /sys and the system properties of a `Soc`, as text."""

from __future__ import annotations

import msgspec

from edgekit.virtual.machine.soc import Soc

VIRTUAL_PROPERTY = "ro.edgekit.virtual"
ICOUNT_PROPERTY = "ro.edgekit.icount"
CPU = "sys/devices/system/cpu"


class BatteryState(msgspec.Struct, frozen=True, kw_only=True):
    """The battery at one moment: the values of Android's power_supply class and of dumpsys."""

    level_percent: int = 87
    celsius: float = 29.0
    voltage_uv: int = 4_123_000
    current_ua: int = -312_000
    charging: bool = False


def cpuinfo(soc: Soc) -> str:
    """/proc/cpuinfo of an arm64 kernel."""
    blocks = [
        f"processor\t: {core}\n"
        "BogoMIPS\t: 38.40\n"
        f"Features\t: {soc.features}\n"
        f"CPU implementer\t: 0x{cluster.implementer:02x}\n"
        "CPU architecture: 8\n"
        f"CPU variant\t: 0x{cluster.variant:x}\n"
        f"CPU part\t: 0x{cluster.part:03x}\n"
        f"CPU revision\t: {cluster.revision}\n"
        for core, cluster, _ in soc.cores()
    ]
    return "\n".join([*blocks, f"Hardware\t: {soc.hardware}\n"])


def meminfo(soc: Soc) -> str:
    """/proc/meminfo; Paddle Lite reads MemTotal with exactly this spacing."""
    total = soc.memory_kb
    rows = {
        "MemTotal": total,
        "MemFree": total * 2 // 5,
        "MemAvailable": total * 2 // 3,
        "Buffers": 5_120,
        "Cached": total // 4,
        "SwapCached": 0,
        "SwapTotal": 0,
        "SwapFree": 0,
    }
    return "".join(f"{name + ':':<16}{value:>8} kB\n" for name, value in rows.items())


def proc_files(soc: Soc) -> dict[str, str]:
    """Files that are bound over those of the host's /proc."""
    return {
        "proc/cpuinfo": cpuinfo(soc),
        "proc/meminfo": meminfo(soc),
        "proc/version": f"Linux version {soc.kernel} (edgekit virtual device) #1 SMP PREEMPT\n",
        "proc/stat": _stat(soc),
    }


def _stat(soc: Soc) -> str:
    cores = "".join(f"cpu{core} 0 0 0 0 0 0 0 0 0 0\n" for core in range(soc.core_count))
    return f"cpu  0 0 0 0 0 0 0 0 0 0\n{cores}ctxt 0\nbtime 1600000000\nprocesses 1\n"


def sys_files(soc: Soc) -> dict[str, str]:
    """Files of /sys by path."""
    every = f"0-{soc.core_count - 1}\n"
    files = {f"{CPU}/{name}": every for name in ("possible", "present", "online")}
    files[f"{CPU}/offline"] = "\n"
    for core, cluster, siblings in soc.cores():
        files |= {f"{CPU}/cpu{core}/{name}": text for name, text in _core_files(soc, core).items()}
        policy = f"{CPU}/cpufreq/policy{siblings[0]}"
        top = cluster.frequencies_khz[-1]
        related = " ".join(map(str, siblings))
        for directory in (f"{CPU}/cpu{core}/cpufreq", policy):
            files |= {
                f"{directory}/cpuinfo_min_freq": f"{cluster.frequencies_khz[0]}\n",
                f"{directory}/cpuinfo_max_freq": f"{top}\n",
                f"{directory}/scaling_min_freq": f"{cluster.frequencies_khz[0]}\n",
                f"{directory}/scaling_max_freq": f"{top}\n",
                f"{directory}/scaling_cur_freq": f"{top}\n",
                f"{directory}/scaling_governor": "schedutil\n",
                f"{directory}/scaling_available_frequencies": " ".join(map(str, cluster.frequencies_khz))
                + "\n",
                f"{directory}/related_cpus": related + "\n",
                f"{directory}/stats/time_in_state": "".join(f"{khz} 0\n" for khz in cluster.frequencies_khz),
            }
    for number, zone in enumerate(soc.thermal_zones):
        files[f"sys/class/thermal/thermal_zone{number}/type"] = zone.type + "\n"
        files[f"sys/class/thermal/thermal_zone{number}/temp"] = f"{round(zone.celsius * 1000)}\n"
    if soc.battery:
        files |= battery_files(BatteryState())
    return files


def _core_files(soc: Soc, core: int) -> dict[str, str]:
    _, cluster, siblings = soc.cores()[core]
    files = {
        # Paddle Lite counts the cores by these (lite/core/device_info.cc, get_cpu_num).
        "uevent": "DRIVER=cpu\nOF_NAME=cpu\nOF_TYPE=cpu\nMODALIAS=cpu:type:aarch64:feature:,0000\n",
        "online": "1\n",
        "cpu_capacity": f"{cluster.capacity}\n",
        "regs/identification/midr_el1": f"0x{cluster.midr:016x}\n",
        "topology/core_id": f"{core}\n",
        "topology/physical_package_id": "0\n",
        # hwloc gives up without the masks, and oneTBB's library above it crashes then: OpenVINO's.
        "topology/core_siblings": f"{(1 << soc.core_count) - 1:02x}\n",
        "topology/core_siblings_list": f"0-{soc.core_count - 1}\n",
        "topology/thread_siblings": f"{1 << core:02x}\n",
        "topology/thread_siblings_list": f"{core}\n",
        "topology/cluster_cpus_list": f"{siblings[0]}-{siblings[-1]}\n",
    }
    caches = [
        ("1", "Data", cluster.l1_kb),
        ("1", "Instruction", cluster.l1_kb),
        ("2", "Unified", cluster.l2_kb),
    ]
    if soc.l3_kb:
        caches.append(("3", "Unified", soc.l3_kb))
    for index, (level, kind, size_kb) in enumerate(caches):
        files |= {
            f"cache/index{index}/level": f"{level}\n",
            f"cache/index{index}/type": f"{kind}\n",
            f"cache/index{index}/size": f"{size_kb}K\n",
        }
    return files


def battery_files(state: BatteryState) -> dict[str, str]:
    """The power_supply class, and dumpsys's own source."""
    directory = "sys/class/power_supply/battery"
    return {
        f"{directory}/capacity": f"{state.level_percent}\n",
        f"{directory}/status": "Charging\n" if state.charging else "Discharging\n",
        f"{directory}/temp": f"{round(state.celsius * 10)}\n",
        f"{directory}/voltage_now": f"{state.voltage_uv}\n",
        f"{directory}/current_now": f"{state.current_ua}\n",
        f"{directory}/present": "1\n",
        f"{directory}/type": "Battery\n",
    }


def frequency_files(soc: Soc, core: int, khz: int) -> dict[str, str]:
    """Files that change when a core's frequency domain goes to another frequency."""
    _, _, siblings = soc.cores()[core]
    paths = [f"{CPU}/cpu{sibling}/cpufreq" for sibling in siblings] + [f"{CPU}/cpufreq/policy{siblings[0]}"]
    return {f"{path}/scaling_cur_freq": f"{khz}\n" for path in paths}


def properties(soc: Soc, serial: str, *, counting: bool) -> dict[str, str]:
    """System properties, as `getprop` lists them."""
    device = f"virtual_{soc.name}"
    return {
        "ro.product.cpu.abi": "arm64-v8a",
        "ro.product.cpu.abilist": "arm64-v8a",
        "ro.product.cpu.abilist64": "arm64-v8a",
        "ro.product.cpu.abilist32": "",
        "ro.product.manufacturer": soc.manufacturer,
        "ro.product.brand": soc.manufacturer.lower().replace(" ", "_"),
        "ro.product.model": soc.model,
        "ro.product.name": device,
        "ro.product.device": device,
        "ro.soc.manufacturer": soc.soc_manufacturer,
        "ro.soc.model": soc.soc_model,
        "ro.chipname": soc.soc_model,
        "ro.build.version.release": soc.os_release,
        "ro.build.version.sdk": str(soc.sdk),
        "ro.build.type": "user",
        "ro.build.fingerprint": f"edgekit/{device}/{device}:{soc.os_release}/VIRTUAL/1:user/release-keys",
        "ro.serialno": serial,
        "ro.debuggable": "0",
        "ro.kernel.qemu": "1",
        "sys.boot_completed": "1",
        VIRTUAL_PROPERTY: "1",
        ICOUNT_PROPERTY: "1" if counting else "0",
        **soc.properties,
    }
