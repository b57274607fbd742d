"""Every rule catches what it is for, and a quiet run passes all of them."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from edgekit.core.bench_options import PowerMode
from edgekit.core.measurement import (
    CoreState,
    Environment,
    GpuState,
    InstructionCount,
    Point,
    ProcessRun,
    Status,
    Verdict,
)
from edgekit.judge.verdicts import judge
from tests.points import MS, QUIET, point, process, samples


def quiet_point(**changes: Any) -> Point:
    return point(*(process(samples(seed=seed)) for seed in range(3)), **changes)


def verdict_of(one: Point, *, emulated: bool = False) -> tuple[Verdict, str]:
    judged = judge(one, emulated=emulated)
    assert judged is not None
    return judged.verdict, " | ".join(judged.reasons)


@pytest.mark.parametrize("seed", range(20))
def test_a_quiet_run_is_valid(seed: int) -> None:
    one = point(*(process(samples(noise=0.02, seed=100 * seed + n)) for n in range(3)))
    assert verdict_of(one) == (Verdict.VALID, "")


def test_skewed_samples_with_outliers_are_valid() -> None:
    rng = random.Random(3)
    times = tuple(round((3 + rng.expovariate(20)) * MS) for _ in range(190)) + (30 * MS,) * 2
    assert verdict_of(point(process(times), process(times), process(times)))[0] is Verdict.VALID


def test_a_point_without_processes_is_not_judged() -> None:
    assert judge(point(status=Status.SKIPPED), emulated=False) is None


@pytest.mark.parametrize(
    ("reasons", "clocks", "verdict", "why"),
    [
        ((), (1500, 1500), Verdict.VALID, ""),
        (("sw_power_cap",), (1500, 1490), Verdict.VALID, ""),
        (("hw_thermal_slowdown",), (1500, 1500), Verdict.THROTTLED, "slowed down (hw_thermal_slowdown)"),
        ((), (1500, 1200), Verdict.THROTTLED, "clock fell from 1500 to 1200 MHz"),
        (("gpu_idle",), (1500, 300), Verdict.VALID, ""),
        (None, (None, None), Verdict.VALID, ""),
    ],
)
def test_a_gpu_that_was_slowed_down_is_throttled(
    reasons: tuple[str, ...] | None, clocks: tuple[int | None, ...], verdict: Verdict, why: str
) -> None:
    states = tuple(GpuState(sm_clock_mhz=clock, throttle_reasons=reasons) for clock in clocks)
    found, said = verdict_of(point(*(process(samples(seed=seed), gpu_states=states) for seed in range(3))))
    assert found is verdict
    assert why in said


def test_a_drifting_engine_is_unstable() -> None:
    times = tuple(round((3 + 0.6 * index / 200) * MS) for index in range(200))
    verdict, why = verdict_of(point(*[process(times)] * 3))
    assert verdict is Verdict.UNSTABLE
    assert "drifts by +" in why


def test_samples_are_looked_at_once_all_processes_have_run() -> None:
    times = tuple(round((3 + 0.6 * index / 200) * MS) for index in range(200))
    verdict, why = verdict_of(point(process(times), process(times), status=Status.INTERRUPTED))
    assert verdict is Verdict.UNSTABLE
    assert why.startswith("interrupted after 2 process(es)")
    assert "drifts" not in why


def test_a_bimodal_engine_is_unstable() -> None:
    rng = random.Random(1)
    times = tuple(round(rng.gauss(3.0 if rng.random() < 0.7 else 3.3, 0.02) * MS) for _ in range(300))
    verdict, why = verdict_of(point(*[process(times)] * 3))
    assert verdict is Verdict.UNSTABLE
    assert "two modes, 3.00 and 3.29 ms" in why


def test_processes_that_differ_are_unstable() -> None:
    one = point(*(process(samples(center)) for center in (3.0, 3.0, 3.4)))
    verdict, why = verdict_of(one)
    assert verdict is Verdict.UNSTABLE
    assert "processes differ by" in why


def test_an_interval_as_narrow_as_asked_excuses_processes_that_differ() -> None:
    runs = [process(samples(3.0 + 0.05 * step)) for step in range(-5, 6)] * 7
    assert "processes differ by ±5.3%" in verdict_of(point(*runs))[1]
    assert verdict_of(point(*runs, requested_ci=0.04))[0] is Verdict.VALID


def test_a_wide_spread_is_unstable() -> None:
    assert "samples spread by" in verdict_of(point(*[process(samples(noise=0.15))] * 3))[1]


@pytest.mark.parametrize(
    ("changes", "verdict", "why"),
    [
        ({"parity": None}, Verdict.UNVERIFIED, "parity was not checked"),
        ({"requested_threads": 4, "effective_threads": 2}, Verdict.UNVERIFIED, "4 threads asked, 2 took"),
        (
            {"requested_threads": 8, "effective_threads": 4, "power_mode": PowerMode.HIGH},
            Verdict.UNVERIFIED,
            "4 took effect: ask for 4, or leave --power-mode HIGH out",
        ),
        ({"requested_threads": 4, "effective_threads": None}, Verdict.UNVERIFIED, "is not known"),
        ({"status": Status.INTERRUPTED}, Verdict.UNSTABLE, "--resume"),
        ({"requested_repeats": 5000}, Verdict.UNSTABLE, "200 of the 5000 inferences asked"),
        ({"requested_ci": 0.0001}, Verdict.UNSTABLE, "asked: a longer --max-secs"),
    ],
)
def test_what_the_point_says_of_itself(changes: dict[str, Any], verdict: Verdict, why: str) -> None:
    judged = verdict_of(quiet_point(**changes))
    assert judged[0] is verdict
    assert why in judged[1]


def test_what_was_not_looked_at_is_not_valid() -> None:
    assert "of one process alone" in verdict_of(point(process(samples())))[1]
    cold = point(*(process(samples(seed=seed), steady=None) for seed in range(3)))
    assert "whether it was warm" in verdict_of(cold)[1]


def test_busy_processes_are_named() -> None:
    busy = msgspec.structs.replace(QUIET, busy_processes=("backup",))
    assert "backup" in verdict_of(quiet_point(environment_after=busy))[1]


def test_stolen_time_is_told() -> None:
    def read(at: str, ticks: int) -> Environment:
        return msgspec.structs.replace(QUIET, steal_ticks=ticks, read_at=f"2026-11-23T12:00:{at}+00:00")

    # 100 ticks of 2 cores over 10 s: 5 %.
    one = quiet_point(environment_before=read("00.000", 1000), environment_after=read("10.000", 1100))
    assert "the hypervisor took 5%" in verdict_of(one)[1]
    one = quiet_point(environment_before=read("00.000", 1000), environment_after=read("59.000", 1100))
    assert verdict_of(one)[0] is Verdict.VALID


def frequencies(*khz: int, count: int | None = None) -> Any:
    cores = tuple(
        CoreState(core=core, frequency_khz=value, throttle_count=count) for core, value in enumerate(khz)
    )
    return msgspec.structs.replace(QUIET, cores=cores)


def test_a_frequency_drop_under_load_is_throttling() -> None:
    readings = (frequencies(1_700_000, 2_800_000), frequencies(1_700_000, 2_000_000))
    verdict, why = verdict_of(point(*[process(samples(), readings=readings, cores_seen=(1,))] * 3))
    assert verdict is Verdict.THROTTLED
    assert "core 1 fell from 2800 to 2000 MHz" in why
    # A core that did not compute may rest.
    assert (
        verdict_of(point(*[process(samples(), readings=readings, cores_seen=(0,))] * 3))[0] is Verdict.VALID
    )


def test_a_drop_between_processes_is_throttling() -> None:
    def run(*khz: int, core: int = 0) -> ProcessRun:
        return process(samples(), readings=[frequencies(*khz)] * 2, cores_seen=(core,))

    fast, slow = run(2_841_000, 2_841_000), run(2_614_000, 2_841_000)
    assert "core 0 fell from 2841 to 2614 MHz" in verdict_of(point(fast, fast, slow))[1]
    # A governor that is slow to rise is none, and a process on another core lets the first one rest.
    assert verdict_of(point(slow, fast, fast))[0] is Verdict.VALID
    elsewhere = run(300_000, 2_841_000, core=1)
    assert verdict_of(point(fast, elsewhere, fast))[0] is Verdict.VALID


def test_a_limit_or_heat_in_the_middle_is_throttling() -> None:
    def reading(limit_khz: int, celsius: float) -> Environment:
        core = CoreState(core=0, max_frequency_khz=limit_khz)
        return msgspec.structs.replace(QUIET, cores=(core,), temperatures_celsius={"cpu": celsius})

    def middle(one: Environment) -> Point:
        around = reading(2_841_000, 40.0)
        runs = [process(samples(), readings=(each, each)) for each in (around, one, around)]
        return point(*runs, environment_before=around, environment_after=around)

    assert verdict_of(middle(reading(2_841_000, 50.0)))[0] is Verdict.VALID
    limited = verdict_of(middle(reading(2_000_000, 50.0)))
    assert limited[0] is Verdict.THROTTLED
    assert "core 0 was limited from 2841 to 2000 MHz" in limited[1]
    assert "cpu rose from 40 to 85 °C" in verdict_of(middle(reading(2_841_000, 85.0)))[1]
    # Work itself heats a core at once.
    busy, rest = reading(2_841_000, 70.0), reading(2_841_000, 45.0)
    runs = [process(samples(), readings=(busy, busy))] * 3
    assert verdict_of(point(*runs, environment_before=rest, environment_after=rest))[0] is Verdict.VALID


def test_throttle_counters_and_heat_are_throttling() -> None:
    counted = quiet_point(
        environment_before=frequencies(1, count=4), environment_after=frequencies(1, count=9)
    )
    assert "core 0 throttled 5 times" in verdict_of(counted)[1]
    hot = [msgspec.structs.replace(QUIET, temperatures_celsius={"cpu": value}) for value in (40.0, 60.0)]
    heated = quiet_point(environment_before=hot[0], environment_after=hot[1])
    assert verdict_of(heated)[0] is Verdict.THROTTLED


def test_emulated_points_are_judged_by_their_counts() -> None:
    count = InstructionCount(total=10, main_thread=10, spread=0.0)
    times = (10 * MS, 30 * MS, 90 * MS)
    quiet = point(process(times, steady=None), instruction_count=count)
    assert verdict_of(quiet, emulated=True)[0] is Verdict.EMULATED
    wild = msgspec.structs.replace(quiet, instruction_count=msgspec.structs.replace(count, spread=0.05))
    assert verdict_of(wild, emulated=True)[0] is Verdict.UNSTABLE
