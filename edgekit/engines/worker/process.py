"""Read cores, tasks, memory and clocks of this process and machine from the kernel.

A value is None where it cannot be read.
"""

import glob
import hashlib
import os
import time
from typing import Any, Dict, Iterable, List, Optional, Sequence, Set, Tuple

from edgekit.engines.worker.refusal import RefusedError

# Charging state by power_supply's status.
CHARGING = {"Discharging": False, "Charging": True, "Full": True, "Not charging": True}
REFERENCE_RUNS = 21


def bind_cores(cores: Optional[Sequence[int]], threads: int) -> List[int]:
    """Bind this process and its later threads to cores; return the cores it may run on.

    Raises:
        RefusedError: Code `cores` where a core does not exist or there are fewer than threads; `threads`
            where this process may not run on enough cores.
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
    """Time copying and hashing 2 MB; return the median in ns, and the digest.

    Takes about 40 ms altogether. The work never changes: results compare it across edgekit's versions.
    """
    block = bytes(range(256)) * 8192
    times = []
    digest = ""
    for _ in range(REFERENCE_RUNS):
        start = time.perf_counter_ns()
        digest = hashlib.sha256(bytearray(block)).hexdigest()
        times.append(time.perf_counter_ns() - start)
    return sorted(times)[REFERENCE_RUNS // 2], digest


def tasks() -> Set[str]:
    """Return the IDs of this process's threads."""
    return set(os.listdir("/proc/self/task"))


def task_times() -> Dict[str, Tuple[int, int]]:
    """Return CPU time in ns and the last core of each thread."""
    times = {}
    tick_ns = 1000000000 // os.sysconf("SC_CLK_TCK")
    for task in os.listdir("/proc/self/task"):
        stat = _read("/proc/self/task/{}/stat".format(task))
        if stat is None:
            continue
        fields = stat.rpartition(")")[2].split()
        schedstat = _read("/proc/self/task/{}/schedstat".format(task))
        # schedstat counts ns; a kernel without it has only the clock ticks of stat.
        spent = int(schedstat.split()[0]) if schedstat else (int(fields[11]) + int(fields[12])) * tick_ns
        times[task] = (spent, int(fields[36]))
    return times


def peak_memory_bytes() -> Optional[int]:
    """Return the peak resident memory of this process (VmHWM), bytes."""
    for line in (_read("/proc/self/status") or "").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def core_readings() -> List[Dict[str, Any]]:
    """Return frequencies and governors of the cores from cpufreq."""
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
    """Return temperatures of thermal zones in degrees Celsius, by type (numbered where several share one)."""
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
    """Return level, current and voltage of the first battery; empty without a battery."""
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
