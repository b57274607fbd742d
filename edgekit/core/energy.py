"""Energy of an inference, from the battery's current and voltage during the inferences."""

from __future__ import annotations

from edgekit.core.measurement import Environment, Point
from edgekit.core.stats import median

# A computing machine draws at least this many watts; smaller readings mean a kernel that counts in mA.
LEAST_WATTS = 0.05


def energy_per_inference_j(point: Point) -> float | None:
    """Return the joules that the whole device, screen included, draws from its battery during one inference.

    The power is the median of the runner's readings at the start and the end of its timed inferences.

    Returns:
        None where current or voltage cannot be read, where the battery was charging, or where the current is
        implausible in microamperes, which the kernel's ABI prescribes (Documentation/ABI, power_supply).
    """
    readings = [reading for run in point.processes for reading in run.readings]
    powers = [_watts(reading) for reading in readings]
    known = [power for power in powers if power is not None]
    # Sorting the samples is wasted on the many points without a battery.
    if not known or len(known) < len(powers) or (latency_ns := point.latency_ns) is None:
        return None
    watts = median(known)
    return watts * latency_ns / 1e9 if watts >= LEAST_WATTS else None


def _watts(reading: Environment) -> float | None:
    current, voltage = reading.battery_current_ua, reading.battery_voltage_uv
    if current is None or voltage is None or reading.charging is not False:
        return None
    # Drivers disagree on the sign of the current while discharging.
    return abs(current) * voltage / 1e12
