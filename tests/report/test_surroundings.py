"""Reports say the recorded circumstances."""

from __future__ import annotations

from edgekit.core.measurement import CoreState, Environment
from edgekit.report.surroundings import surroundings
from tests.points import point, process, result, samples


def test_all_that_was_recorded_is_said() -> None:
    readings = [
        Environment(
            cores=tuple(CoreState(core=core, throttle_count=count) for core, count in enumerate(counts)),
            steal_ticks=ticks,
            battery_percent=80,
            battery_current_ua=microamperes,
            battery_voltage_uv=microvolts,
            charging=False,
        )
        for counts, ticks, microamperes, microvolts in (
            ((3, 10), 1000, -812_000, 4_012_000),
            ((3, 12), 1130, -431_000, 3_987_000),
            ((4, 12), 1250, -600_000, 4_000_000),
        )
    ]
    runs = process(samples(), readings=tuple(readings))
    one = point(runs, environment_before=None, environment_after=None)
    facts = dict(surroundings(result(one, libraries={"onnxruntime": "1.23.2", "numpy": "2.3.5"})).facts)
    assert facts["libraries"] == "onnxruntime 1.23.2, numpy 2.3.5"
    assert facts["steal time"] == "2.5 s"
    assert facts["throttled"] == "3 times, all cores"
    assert facts["battery current"] == "-812 to -431 mA"
    assert facts["battery voltage"] == "3.99 to 4.01 V"
    assert facts["charger"] == "off"


def test_what_was_not_recorded_is_not_said() -> None:
    facts = dict(surroundings(result(point(process(samples())))).facts)
    assert not facts.keys() & {"libraries", "steal time", "throttled", "battery current", "charger"}
