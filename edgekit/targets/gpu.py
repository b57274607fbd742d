"""Read the NVIDIA GPUs of this machine with NVML, at one moment and while a model runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from edgekit.core.measurement import GpuState

WATCH_S = 0.25
# NVML's bits (nvml.h, nvmlClocksEventReason*) by the names that nvidia-smi prints.
THROTTLE_REASONS = {
    0x1: "gpu_idle",
    0x2: "applications_clocks_setting",
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake_slowdown",
    0x100: "display_clocks_setting",
}


class GpuReading(msgspec.Struct, frozen=True, kw_only=True):
    """All GPUs at one moment.

    Attributes:
        gpus: None without NVML.
        unreadable: Values that could not be read, each once with its reason.
    """

    gpus: tuple[GpuState, ...] | None = None
    unreadable: tuple[str, ...] = ()


def read_gpus() -> GpuReading:
    """Read clocks, temperature, power and throttle reasons of every GPU, in order of PCI address."""
    with _nvml() as (nvml, reason):
        if nvml is None:
            return GpuReading(unreadable=(f"GPUs ({reason})",))
        missing: dict[str, str] = {}
        states = []
        for index in range(nvml.nvmlDeviceGetCount()):
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
            except nvml.NVMLError as error:
                missing[f"GPU {index}"] = str(error)
                continue
            states.append(_state(nvml, handle, missing))
        return GpuReading(
            gpus=tuple(states), unreadable=tuple(f"{name} ({why})" for name, why in missing.items())
        )


@contextmanager
def watch_gpu(uuid: str | None) -> Iterator[list[GpuState]]:
    """Read one GPU on entry, every WATCH_S seconds in a thread, and on exit; the list is empty without NVML.

    Args:
        uuid: The UUID of the GPU; None watches nothing.
    """
    states: list[GpuState] = []
    with _nvml() as (nvml, _):
        handle = None if nvml is None or uuid is None else _find(nvml, uuid)
        if handle is None:
            yield states
            return
        ended = threading.Event()

        def watch() -> None:
            while True:
                states.append(_state(nvml, handle, {}))
                if ended.wait(WATCH_S):
                    return

        thread = threading.Thread(target=watch, name="NVML", daemon=True)
        thread.start()
        try:
            yield states
        finally:
            ended.set()
            thread.join()
            states.append(_state(nvml, handle, {}))


@contextmanager
def _nvml() -> Iterator[tuple[Any, str | None]]:
    """Yield the initialised module of NVML and None, or None and the reason why it is missing."""
    try:
        import pynvml
    except ImportError:
        yield None, "NVML: the package nvidia-ml-py is not installed"
        return
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        yield None, f"NVML: {error}"
        return
    try:
        yield pynvml, None
    finally:
        pynvml.nvmlShutdown()


def _find(nvml: Any, uuid: str) -> Any:
    try:
        return nvml.nvmlDeviceGetHandleByUUID(uuid)
    except nvml.NVMLError:
        return None


def _state(nvml: Any, handle: Any, missing: dict[str, str]) -> GpuState:
    """Read one GPU; values that it does not report are added to `missing` by name."""

    def read(name: str, value: Callable[[], Any]) -> Any:
        try:
            return value()
        except nvml.NVMLError as error:
            missing[name] = str(error)
            return None

    reasons = read("GPU throttle reasons", lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
    utilization = read("GPU utilization", lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
    memory = read("GPU memory", lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    sm, memory_clock = nvml.NVML_CLOCK_SM, nvml.NVML_CLOCK_MEM
    return GpuState(
        uuid=read("GPU UUID", lambda: nvml.nvmlDeviceGetUUID(handle)),
        name=read("GPU name", lambda: nvml.nvmlDeviceGetName(handle)),
        sm_clock_mhz=read("GPU SM clock", lambda: nvml.nvmlDeviceGetClockInfo(handle, sm)),
        max_sm_clock_mhz=read("GPU highest SM clock", lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, sm)),
        memory_clock_mhz=read("GPU memory clock", lambda: nvml.nvmlDeviceGetClockInfo(handle, memory_clock)),
        temperature_celsius=read(
            "GPU temperature", lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
        ),
        power_milliwatts=read("GPU power", lambda: nvml.nvmlDeviceGetPowerUsage(handle)),
        power_limit_milliwatts=read("GPU power limit", lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle)),
        throttle_reasons=None if reasons is None else _words(reasons),
        utilization_percent=None if utilization is None else utilization.gpu,
        memory_used_bytes=None if memory is None else memory.used,
    )


def _words(reasons: int) -> tuple[str, ...]:
    known = [name for bit, name in THROTTLE_REASONS.items() if reasons & bit]
    rest = reasons & ~sum(THROTTLE_REASONS)
    return (*known, *([f"other {rest:#x}"] if rest else []))
