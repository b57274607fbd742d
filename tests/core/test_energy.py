"""Energy of an inference from the readings that its runner made."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgekit.core.energy import energy_per_inference_j
from edgekit.core.measurement import Environment
from tests.points import MS, point, process

DRAWING = Environment(battery_current_ua=-500_000, battery_voltage_uv=4_000_000, charging=False)


def energy_with(*readings: Environment) -> float | None:
    return energy_per_inference_j(point(process((9 * MS, 10 * MS, 11 * MS), readings=readings)))


def test_power_times_the_median_latency() -> None:
    # 0.5 A at 4 V are 2 W; 10 ms of that are 20 mJ. Some drivers count a discharge as positive.
    positive = msgspec.structs.replace(DRAWING, battery_current_ua=500_000)
    assert energy_with(DRAWING, positive) == pytest.approx(0.020)


@pytest.mark.parametrize(
    "changes",
    [
        {"battery_current_ua": None},
        {"battery_voltage_uv": None},
        {"charging": True},
        {"charging": None},
        {"battery_current_ua": -500},  # of a driver that counts in mA
    ],
)
def test_what_cannot_be_known_is_none(changes: dict[str, Any]) -> None:
    assert energy_with(*[msgspec.structs.replace(DRAWING, **changes)] * 2) is None


def test_a_point_without_readings_has_none() -> None:
    assert energy_with() is None
