"""Read cores, tasks, memory and clocks of this process and machine from the kernel.

A figure that cannot be read is None.
"""

import glob
import hashlib
import os
import time
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from edgekit.engines.worker.refusal import RefusedError

# Whether it is on its charger, by what power_supply's status says.
CHARGING = {"Discharging": False, "Charging": True, "Full": True, "Not charging": True}
REFERENCE_RUNS = 21


def bind_cores(cores: Optional[Sequence[int]], threads: int) -> List[int]:
    """Bind this process and every thread that it starts later to cores; return the cores it may run on.

    Raises:
        RefusedError: `cores` where they do not exist or are fewer than the threads, `threads` where this
            process may not run on that many at all.
    """
    allowed = os.sched_getaffinity(0)
    if cores is not None:
        missing = sorted(set(cores) - allowed)
        if missing or not cores:
            raise RefusedError(
                "cores",
                "cores {}: this process may run on {}".format(_list(missing or cores), _list(allowed)),
            )
        if len(set(cores)) < threads:
            raise RefusedError(
                "cores", "{} threads on core(s) {}: too few cores".format(threads, _list(cores))
            )
        os.sched_setaffinity(0, cores)
        allowed = os.sched_getaffinity(0)
        if allowed != set(cores):
            raise RefusedError(
                "cores", "bound to {}, the kernel says {}".format(_list(cores), _list(allowed))
            )
    elif threads > len(allowed):
        raise RefusedError(
            "threads", "{} threads: this process may run on {} core(s)".format(threads, len(allowed))
        )
    return sorted(allowed)


def _list(cores: Iterable[int]) -> str:
    return ",".join(str(core) for core in sorted(cores)) or "none"


def reference_workload() -> Tuple[int, str]:
    """The median time of a fixed piece of work in ns, copying and hashing 2 MB, and the digest.

    About 40 ms altogether. It never changes: results compare it across edgekit's versions.
    """
    block = bytes(range(256)) * 8192
    times = []
    digest = ""
    for _ in range(REFERENCE_RUNS):
        start = time.perf_counter_ns()
        digest = hashlib.sha256(bytearray(block)).hexdigest()
        times.append(time.perf_counter_ns() - start)
    return sorted(times)[REFERENCE_RUNS // 2], digest


def task_count() -> int:
    """Number of this process's threads."""
    return len(os.listdir("/proc/self/task"))


def task_times() -> Dict[str, Tuple[int, int]]:
    """CPU time in ns and the core it last ran on, of each thread."""
    times = {}
    tick_ns = 1000000000 // os.sysconf("SC_CLK_TCK")
    for task in os.listdir("/proc/self/task"):
        stat = _read("/proc/self/task/{}/stat".format(task))
        if stat is None:
            continue
        fields = stat.rpartition(")")[2].split()
        schedstat = _read("/proc/self/task/{}/schedstat".format(task))
        # schedstat counts ns; where the kernel is built without it, stat's clock ticks must do.
        spent = int(schedstat.split()[0]) if schedstat else (int(fields[11]) + int(fields[12])) * tick_ns
        times[task] = (spent, int(fields[36]))
    return times


def peak_memory_bytes() -> Optional[int]:
    """Peak resident memory of this process (VmHWM)."""
    for line in (_read("/proc/self/status") or "").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def core_readings() -> List[Dict[str, Any]]:
    """Frequencies and governors as cpufreq has them."""
    readings = []
    for path in sorted(
        glob.glob("/sys/devices/system/cpu/cpu[0-9]*"), key=lambda one: int(one.rpartition("cpu")[2])
    ):
        readings.append(
            {
                "core": int(path.rpartition("cpu")[2]),
                "frequency_khz": _read_int(path + "/cpufreq/scaling_cur_freq"),
                "max_frequency_khz": _read_int(path + "/cpufreq/scaling_max_freq"),
                "governor": (_read(path + "/cpufreq/scaling_governor") or "").strip() or None,
            }
        )
    return readings


def temperatures() -> Dict[str, float]:
    """Thermal zones in degrees Celsius, by type (numbered where several share one)."""
    readings = {}
    for path in sorted(glob.glob("/sys/class/thermal/thermal_zone*")):
        value = _read_int(path + "/temp")
        if value is None:
            continue
        name = (_read(path + "/type") or "").strip() or os.path.basename(path)
        if name in readings:
            name = "{}-{}".format(name, os.path.basename(path).replace("thermal_zone", ""))
        readings[name] = value / 1000
    return readings


def battery() -> Dict[str, Any]:
    """Level, current and voltage of the first battery; nothing where there is none."""
    for supply in sorted(glob.glob("/sys/class/power_supply/*")):
        if (_read(supply + "/type") or "").strip() == "Battery":
            status = (_read(supply + "/status") or "").strip()
            return {
                "battery_percent": _read_int(supply + "/capacity"),
                "battery_current_ua": _read_int(supply + "/current_now"),
                "battery_voltage_uv": _read_int(supply + "/voltage_now"),
                "charging": CHARGING.get(status),
            }
    return {}


def load_1min() -> Optional[float]:
    text = _read("/proc/loadavg")
    return float(text.split()[0]) if text else None


def _read(path: str) -> Optional[str]:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return None


def _read_int(path: str) -> Optional[int]:
    text = _read(path)
    try:
        return int(text) if text else None
    except ValueError:
        return None
