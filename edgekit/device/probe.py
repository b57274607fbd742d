"""Reads a device's description, its circumstances and its identity, each in one round trip.

A program that is started costs a phone milliseconds and the virtual device, which emulates it, tens of them.
So the scripts read files by the shell's own `read`, and a reading of the circumstances starts two programs
beside the shell on Android, one elsewhere: `cat` and, for the screen, `dumpsys`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from edgekit.core.device import DeviceInfo
from edgekit.core.measurement import CoreState, Environment, now
from edgekit.core.processes import ProcessWatch, parse_ticks
from edgekit.device import parse
from edgekit.errors import DeviceError, DeviceLostError
from edgekit.transports.interface import DeviceTransport

PROBE_TIMEOUT_S = 30.0
# Where Paddle Lite looks for OpenCL (lite/backends/opencl/cl_wrapper.cc), and boards with Debian keep it.
OPENCL_LIBRARIES = (
    "/vendor/lib64/libOpenCL.so",
    "/system/vendor/lib64/libOpenCL.so",
    "/usr/lib/aarch64-linux-gnu/libOpenCL.so",
    "/usr/lib/libOpenCL.so",
)
EMULATED_PROPERTY = "ro.edgekit.virtual"
ABI_64_BIT = {"aarch64": "arm64-v8a", "x86_64": "x86_64", "amd64": "x86_64"}
# Some vendors' kernels carry a part name, others only Android's properties do; in order of trust.
SOC_PROPERTIES = ("ro.soc.model", "ro.board.platform", "ro.hardware.chipname", "ro.hardware")

# Processes that carry edgekit's own questions are no load by others.
LINK_PROCESSES = frozenset(("adbd", "sshd", "sh", "cat"))

_FUNCTIONS = r"""
get() { v=-; { read -r v < "$1"; } 2>/dev/null; [ -n "$v" ] || v=-; }
section() { echo "== edgekit $1"; }
"""
# Numbers that only one machine has: of the SoC (Qualcomm), of the board, of the installation, of the phone.
_IDENTITY = r"""
section identity
for f in /sys/devices/soc0/serial_number /proc/device-tree/serial-number /etc/machine-id; do
  get "$f"; echo "${f##*/}=$v"
done
if command -v getprop >/dev/null 2>&1; then
  echo "serial=$(getprop ro.serialno)"; echo "model=$(getprop ro.product.model)"
fi
"""
_CIRCUMSTANCES = r"""
section cores
for c in /sys/devices/system/cpu/cpu[0-9]*; do
  get "$c/cpufreq/cpuinfo_max_freq"; m=$v; get "$c/cpufreq/scaling_cur_freq"; f=$v
  get "$c/cpufreq/scaling_governor"; g=$v; get "$c/cpufreq/scaling_max_freq"; l=$v
  get "$c/thermal_throttle/core_throttle_count"; echo "${c##*/cpu} $m $f $g $l $v"
done
section thermal
for z in /sys/class/thermal/thermal_zone*; do
  [ -d "$z" ] || continue
  get "$z/type"; t=$v; get "$z/temp"; echo "$t $v"
done
section power
n=0; u=
for b in /sys/class/power_supply/*; do
  get "$b/type"; t=$v
  if [ "$t" = Battery ] || [ "${b##*/}" = battery ]; then
    [ $n -eq 0 ] || continue
    for k in capacity status current_now voltage_now temp; do
      get "$b/$k"; [ "$v" = - ] || { echo "$k=$v"; n=$((n + 1)); }
    done
  else
    get "$b/online"
    case $t:$v in *:[1-9]*) echo online=1 ;; Mains:-|USB*:-|Wireless:-) u=unknown ;; esac
  fi
done
section battery
# Android's own account, where the kernel's is not all readable.
[ "$n$u" = 5 ] || { command -v dumpsys >/dev/null 2>&1 && dumpsys battery 2>/dev/null; }
section screen
command -v dumpsys >/dev/null 2>&1 && dumpsys power 2>/dev/null
section files
n=0; while [ $n -lt 3 ] && read -r v; do echo "$v"; n=$((n + 1)); done < /proc/meminfo
section load
get /proc/loadavg; echo "$v"
section stat
get /proc/stat; echo "$v"
"""
READING = (
    _FUNCTIONS
    + _CIRCUMSTANCES
    + r"""
section processes
exec cat /proc/[0-9]*/stat 2>/dev/null
"""
)
_PROBE = (
    _FUNCTIONS
    + _IDENTITY
    + _CIRCUMSTANCES
    + r"""
section uname
uname -s; uname -r; uname -m
section properties
command -v getprop >/dev/null 2>&1 && getprop
section cpuinfo
cat /proc/cpuinfo
section system
cat /etc/os-release 2>/dev/null
section model
{ tr -d '\000' < /proc/device-tree/model; } 2>/dev/null
section pushed
for f in "$1"/bundles/*/.bundle; do [ -f "$f" ] && cat "$f"; done
section space
p=$1; while [ ! -e "$p" ]; do case $p in /*/*) p=${p%/*} ;; *) p=/ ;; esac; done
df -kP "$p"
true
"""
)


def has_opencl(transport: DeviceTransport) -> bool:
    """Return True where a device has one of OpenCL's libraries. Raises DeviceLostError."""
    script = 'for f; do [ -e "$f" ] && echo "$f"; done; true'
    found = transport.run_script(script, OPENCL_LIBRARIES, timeout_s=PROBE_TIMEOUT_S)
    return bool(found.stdout.strip())


def probe(transport: DeviceTransport, *, root: str | None = None) -> DeviceInfo:
    """Read SoC, ABI, cores, features, memory and versions of a device in one round trip.

    Args:
        transport: An open way to the device.
        root: Where edgekit keeps its files there; found out where None.

    Raises:
        DeviceLostError: It went away or did not answer.
    """
    from edgekit.device.store import store_root

    place = root if root is not None else store_root(transport)
    done = transport.run_script(_PROBE, [place], timeout_s=PROBE_TIMEOUT_S)
    return describe(parse.split_sections(done.stdout), serial=transport.serial, transport=transport.name)


def describe(sections: Mapping[str, str], *, serial: str, transport: str) -> DeviceInfo:
    """Build the DeviceInfo from the output of the probe's script."""
    from edgekit.transports.far_shell import parse_df

    properties = parse.parse_properties(sections.get("properties", ""))
    cpu = parse.parse_cpuinfo(sections.get("cpuinfo", ""))
    system = parse.parse_assignments(sections.get("system", ""))
    kernel_name, kernel, machine = _three(sections.get("uname", ""))
    abis = tuple(filter(None, properties.get("ro.product.cpu.abilist", "").split(",")))
    abi = abis[0] if abis else ABI_64_BIT.get(machine, machine or None)
    memory = parse.parse_meminfo(sections.get("files", ""))
    return DeviceInfo(
        serial=serial,
        state="device",
        transport=transport,
        manufacturer=properties.get("ro.product.manufacturer") or None,
        model=properties.get("ro.product.model") or sections.get("model") or cpu.model,
        soc=_soc(properties, cpu),
        machine_id=parse.parse_identity(sections.get("identity", ""))[0],
        abi=abi,
        abis=abis or ((abi,) if abi else ()),
        os=_os_name(properties, system, kernel_name),
        kernel=kernel or None,
        clusters=parse.group_clusters(parse.parse_cores(sections.get("cores", "")), cpu.parts),
        features=cpu.features,
        memory_bytes=memory.get("MemTotal"),
        free_bytes=parse_df(sections.get("space", "")),
        temperatures_celsius=parse.parse_thermal(sections.get("thermal", "")),
        battery=parse.parse_battery(sections.get("battery", ""), sections.get("power", "")),
        emulated=properties.get(EMULATED_PROPERTY) == "1",
        # Lines `ENGINE=VERSION` of the pushed bundles.
        runtimes=dict(sorted(parse.parse_assignments(sections.get("pushed", "")).items())),
    )


def check_identity(transport: DeviceTransport, known: DeviceInfo) -> None:
    """Refuse to go on where another machine answers now than the one that was probed.

    Raises:
        DeviceLostError: It is another machine than `known`, went away or did not answer.
    """
    done = transport.run_script(_FUNCTIONS + _IDENTITY, timeout_s=PROBE_TIMEOUT_S)
    machine_id, model = parse.parse_identity(parse.split_sections(done.stdout).get("identity", ""))
    found = msgspec.structs.replace(known, machine_id=machine_id, model=model or known.model)
    why = known.differs_from(found)
    if why is not None:
        raise DeviceLostError(
            f"measuring on {known.serial}: another machine answers there now: {why}",
            hint="edgekit devices  shows what is attached; go on when the first is there again",
        )


def read_environment(transport: DeviceTransport, watch: ProcessWatch) -> Environment:
    """Read frequencies, temperatures, battery, screen and load in one round trip.

    Busy processes are those since the watch's last reading; None at the first.

    Args:
        transport: The way to the device.
        watch: Which processes had used how much at the reading before.

    Raises:
        DeviceLostError: It went away or did not answer.
    """
    done = transport.run_script(READING, timeout_s=PROBE_TIMEOUT_S)
    sections = parse.split_sections(done.stdout)
    ticks = parse_ticks(sections.get("processes", ""))
    return describe_environment(sections, watch.look(ticks, own=LINK_PROCESSES) if ticks else None)


def describe_environment(
    sections: Mapping[str, str], busy_processes: tuple[str, ...] | None = None
) -> Environment:
    """Build the Environment from the output of the environment's script."""
    cores = parse.parse_cores(sections.get("cores", ""))
    temperatures = parse.parse_thermal(sections.get("thermal", ""))
    battery = parse.parse_battery(sections.get("battery", ""), sections.get("power", ""))
    screen = parse.parse_screen(sections.get("screen", ""))
    load = parse.parse_load(sections.get("load", ""))
    steal = parse.parse_steal(sections.get("stat", ""))
    unreadable = [
        name
        for name, missing in (
            ("core frequencies", all(core.current_khz is None for core in cores)),
            ("frequency limits", all(core.limit_khz is None for core in cores)),
            ("governors", all(core.governor is None for core in cores)),
            ("throttle counts", all(core.throttle_count is None for core in cores)),
            ("temperatures", not temperatures),
            ("battery", battery is None),
            ("battery current", battery is None or battery.current_ua is None),
            ("battery voltage", battery is None or battery.voltage_uv is None),
            ("screen", screen is None),
            ("load", load is None),
            ("steal time", steal is None),
            ("processes", "processes" in sections and not sections["processes"].strip()),
        )
        if missing
    ]
    return Environment(
        read_at=now(),
        cores=tuple(
            CoreState(
                core=core.core,
                frequency_khz=core.current_khz,
                max_frequency_khz=core.limit_khz,
                governor=core.governor,
                throttle_count=core.throttle_count,
            )
            for core in cores
        ),
        temperatures_celsius=temperatures,
        load_1min=load,
        steal_ticks=steal,
        battery_percent=battery.level_percent if battery else None,
        battery_current_ua=battery.current_ua if battery else None,
        battery_voltage_uv=battery.voltage_uv if battery else None,
        charging=battery.charging if battery else None,
        screen_on=screen,
        busy_processes=busy_processes,
        memory_available_bytes=parse.parse_meminfo(sections.get("files", "")).get("MemAvailable"),
        unreadable=tuple(unreadable),
    )


def require_64_bit(info: DeviceInfo) -> None:
    """Refuse 32-bit devices by name: no artifact and no runner of edgekit runs there.

    Raises:
        DeviceError: The device has no 64-bit ABI.
    """
    if any(abi in ABI_64_BIT.values() for abi in info.abis):
        return
    name = " ".join(filter(None, (info.manufacturer, info.model))) or info.serial
    raise DeviceError(
        f"using {info.serial}: {name} is a 32-bit device ({', '.join(info.abis) or 'unknown ABI'}), "
        "which edgekit does not run on",
        hint="use a device with arm64-v8a: edgekit devices",
    )


def has_fp16(features: Sequence[str]) -> bool:
    """Whether every core has half-precision arithmetic (Armv8.2-A FEAT_FP16)."""
    return "fphp" in features and "asimdhp" in features


def has_dotprod(features: Sequence[str]) -> bool:
    """Whether every core has the int8 dot product that fast int8 kernels need (FEAT_DotProd)."""
    return "asimddp" in features


def _three(text: str) -> tuple[str, str, str]:
    lines = [*text.splitlines(), "", "", ""]
    return lines[0], lines[1], lines[2]


def _soc(properties: Mapping[str, str], cpu: parse.CpuInfo) -> str | None:
    for name in SOC_PROPERTIES:
        if properties.get(name):
            return properties[name]
    return cpu.hardware


def _os_name(properties: Mapping[str, str], system: Mapping[str, str], kernel_name: str) -> str | None:
    release = properties.get("ro.build.version.release")
    if release:
        sdk = properties.get("ro.build.version.sdk")
        return f"Android {release}" + (f" (SDK {sdk})" if sdk else "")
    return system.get("PRETTY_NAME") or kernel_name or None
