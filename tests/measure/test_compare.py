"""Comparison: intervals cover what they say, noise is called noise, real changes are found."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from edgekit.core.measurement import InstructionCount, Result
from edgekit.errors import UsageError
from edgekit.measure.ab import decide_ab
from edgekit.measure.compare import Change, compare, decide
from edgekit.measure.intervals import Interval, latency_interval, ratio_interval
from edgekit.measure.results import save_result
from tests.conftest import RunCli
from tests.measure.points import point, process, result, samples


def noisy_medians(rng: random.Random, count: int, center: float = 3.0, sd: float = 0.01) -> list[float]:
    return [center * (1 + rng.gauss(0, sd)) for _ in range(count)]


@pytest.mark.parametrize("count", [3, 5, 10])
def test_the_interval_covers_the_true_latency(count: int) -> None:
    rng = random.Random(count)
    covered = 0
    for _ in range(100):
        interval = latency_interval(noisy_medians(rng, count))
        assert interval is not None
        covered += interval.low <= 3.0 <= interval.high
    assert covered >= 88


def test_one_process_has_no_interval() -> None:
    assert latency_interval([3.0]) is None
    assert ratio_interval([3.0], [3.0, 3.1]) is None


def bench_of(centers: list[float], reference_ns: int = 1_000_000, **target: object) -> Result:
    runs = [
        process(samples(center, seed=seed), reference_ns=reference_ns) for seed, center in enumerate(centers)
    ]
    return result(point(*runs), **target)


def change_of(old: Result, new: Result) -> Change:
    [one] = compare(old, new, threshold=0.03)
    return one.change


def test_a_slowdown_of_ten_per_cent_is_found_and_equal_runs_are_not() -> None:
    rng = random.Random(8)
    found = alarms = 0
    for _ in range(20):
        old, same, slow = (bench_of(noisy_medians(rng, 5, center, 0.006)) for center in (3.0, 3.0, 3.3))
        found += change_of(old, slow) is Change.SLOWER
        alarms += change_of(old, same) in (Change.SLOWER, Change.FASTER)
    assert found >= 18
    assert alarms == 0


def test_a_gain_is_faster() -> None:
    assert change_of(bench_of([3.0, 3.01, 2.99]), bench_of([2.5, 2.51, 2.49])) is Change.FASTER


def test_noise_is_not_a_verdict() -> None:
    assert change_of(bench_of([3.0, 3.3, 2.8]), bench_of([3.1, 3.6, 2.9])) is Change.TOO_NOISY


def test_drift_of_the_machine_is_not_the_models() -> None:
    old, new = bench_of([3.0, 3.01, 2.99]), bench_of([3.3, 3.31, 3.29], reference_ns=1_100_000)
    [one] = compare(old, new, threshold=0.03)
    assert one.change is Change.TOO_NOISY
    assert "the machine itself changed by +10.0%" in one.reason


def test_exact_counts_decide_on_emulated_devices() -> None:
    def counted(instructions: int) -> Result:
        count = InstructionCount(total=instructions, main_thread=instructions)
        return result(point(process((1, 2, 3)), instruction_count=count), emulated=True)

    assert change_of(counted(1000), counted(1020)) is Change.SAME
    assert change_of(counted(1000), counted(1040)) is Change.SLOWER


def test_differences_are_told() -> None:
    old, new = bench_of([3.0, 3.0, 3.0]), bench_of([3.0, 3.0, 3.0], kernel="6.9")
    changed = msgspec.structs.replace(new.points[0], engine_version="1.99")
    [one] = compare(old, msgspec.structs.replace(new, points=(changed,)), threshold=0.03)
    assert "engine version None -> 1.99" in one.differences
    assert "kernel None -> 6.9" in one.differences


def test_another_device_or_model_is_refused_unless_asked_for() -> None:
    old = bench_of([3.0, 3.0, 3.0])
    other = bench_of([3.0, 3.0, 3.0], soc="Another CPU")
    with pytest.raises(UsageError, match="another device"):
        compare(old, other, threshold=0.03)
    assert len(compare(old, other, threshold=0.03, anyway=True)) == 1
    renamed = msgspec.structs.replace(old.points[0], model="PPLCNet_x0_5")
    with pytest.raises(UsageError, match="model PPLCNet_x1_0 and PPLCNet_x0_5"):
        compare(old, msgspec.structs.replace(old, points=(renamed,)), threshold=0.03)


def test_decide_without_an_interval() -> None:
    assert decide(None, None, 0.03)[0] is Change.TOO_NOISY


@pytest.mark.parametrize(
    ("ratio", "control", "change"),
    [
        ((1.03, 1.022, 1.038), (1.0, 0.995, 1.006), Change.SLOWER),
        ((0.97, 0.962, 0.978), (1.0, 0.995, 1.006), Change.FASTER),
        ((1.005, 1.001, 1.009), (1.0, 0.995, 1.006), Change.SAME),
        ((1.03, 1.022, 1.038), (1.0, 0.98, 1.006), Change.TOO_NOISY),
    ],
)
def test_ab_is_decided_beside_its_control(
    ratio: tuple[float, float, float], control: tuple[float, float, float], change: Change
) -> None:
    intervals = [Interval(estimate=mid, low=low, high=high) for mid, low, high in (ratio, control)]
    assert decide_ab(*intervals, 0.03)[0] is change


def test_the_command_ends_with_9_on_a_regression(tmp_path: Path, run_cli: RunCli) -> None:
    for name, centers in (("old", [3.0, 3.01, 2.99]), ("new", [3.4, 3.41, 3.39])):
        save_result(tmp_path / f"{name}.json", bench_of(centers))
    slower = run_cli(["compare", "old.json", "new.json"], cwd=tmp_path)
    assert slower.exit_code == 9
    assert "slower (+13.3%)" in slower.stdout
    assert "1 of 1 points are slower by more than 3.0%" in slower.stderr
    assert run_cli(["compare", "old.json", "new.json", "--fail-above", "30%"], cwd=tmp_path).exit_code == 0
    assert run_cli(["compare", "old.json", "new.json", "--fail-above", "30"], cwd=tmp_path).exit_code == 2
