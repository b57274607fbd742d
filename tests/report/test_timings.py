"""Figures that numpy sorts for are those of `core.stats`, to the last bit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgekit.core.energy import energy_per_inference_j
from edgekit.core.measurement import Environment
from edgekit.core.stats import percentile, relative_spread, rising_percentile
from edgekit.report import timings
from tests.points import point, process, result, samples

# From a nanosecond to an hour.
TIMES = st.lists(st.integers(1, 3_600_000_000_000), min_size=1, max_size=90).map(tuple)


@given(st.lists(TIMES, max_size=4))
def test_they_are_those_of_core(runs: list[tuple[int, ...]]) -> None:
    one = point(*(process(run) for run in runs))
    found = timings.timings(one)
    assert found.latency_ns == timings.latency_ns(one) == one.latency_ns
    every = one.samples_ns
    assert found.p90_ns == (percentile(every, 90) if len(every) >= 64 else None)
    assert found.spread == (relative_spread(every) if every else None)


@given(TIMES, st.floats(0, 100))
def test_percentiles_are_those_of_core(times: tuple[int, ...], rank: float) -> None:
    assert rising_percentile(timings.ordered(times), rank) == percentile(times, rank)


def test_energy_is_that_of_core() -> None:
    reading = Environment(battery_current_ua=-500_000, battery_voltage_uv=4_000_000, charging=False)
    assert energy_per_inference_j(point(process((3_000_000,) * 5, readings=(reading, reading)))) == 2 * 0.003
    assert energy_per_inference_j(point(process(samples(), readings=(Environment(),)))) is None


@given(st.lists(TIMES, max_size=4))
def test_samples_of_eight_bytes_are_the_same_in_the_same_order(runs: list[tuple[int, ...]]) -> None:
    one = point(*(process(run) for run in runs))
    kept = timings.compact(result(one)).points[0]
    assert all(run.samples_ns.itemsize == 8 for run in kept.processes)  # type: ignore[attr-defined]
    assert timings.timings(kept) == timings.timings(one)
    assert kept.samples_ns == one.samples_ns
