"""Comparison: noise is called noise, real changes are found."""

from __future__ import annotations

import json
import random
from pathlib import Path

import msgspec
import pytest

from edgekit.bench.ab import decide_ab
from edgekit.bench.document import save_result
from edgekit.core.bench_options import PowerMode
from edgekit.core.device import Gpu
from edgekit.core.measurement import InstructionCount, Result, Status, Verdict
from edgekit.errors import UsageError
from edgekit.judge.compare import compare
from edgekit.judge.gate import Change, decide, holm
from edgekit.judge.intervals import Interval
from scripts.simulate_gate import alarms
from tests.conftest import RunCli
from tests.points import point, process, result, samples


def noisy_medians(rng: random.Random, count: int, center: float = 3.0, sd: float = 0.01) -> list[float]:
    return [center * (1 + rng.gauss(0, sd)) for _ in range(count)]


def bench_of(centers: list[float], reference_ns: int = 1_000_000, **target: object) -> Result:
    runs = [
        process(samples(center, seed=seed), reference_ns=reference_ns) for seed, center in enumerate(centers)
    ]
    return result(point(*runs), **target)


def change_of(old: Result, new: Result) -> Change:
    [one] = compare(old, new, threshold=0.03).points
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


def test_a_sweep_of_equal_points_raises_no_alarm_more_often_than_said() -> None:
    shares = alarms(0.03, 5, 0.0, sweeps=200)
    assert shares["each"] > 0.4
    assert shares["holm"] <= 0.05


def test_a_sweep_finds_the_one_slower_point() -> None:
    assert alarms(0.01, 5, 0.1, sweeps=50)["holm"] >= 0.9


def test_what_chance_shows_in_one_of_many_points_is_no_alarm() -> None:
    def sweep(points: int, last: list[float]) -> Result:
        centers = [[3.0, 3.02, 2.98, 3.01, 2.99]] * (points - 1) + [last]
        return result(
            *(
                point(*[process(samples(center, noise=0)) for center in one], model=f"model {index}")
                for index, one in enumerate(centers)
            )
        )

    old, new = [3.0, 3.1, 2.9, 3.05, 2.95], [3.2, 3.3, 3.1, 3.25, 3.15]
    [alone] = compare(sweep(1, old), sweep(1, new), threshold=0.03).points
    assert alone.change is Change.SLOWER
    assert alone.chance is not None and 0 < alone.chance < 0.01
    *others, last = compare(sweep(40, old), sweep(40, new), threshold=0.03).points
    assert {one.change for one in others} == {Change.SAME}
    assert last.change is Change.TOO_NOISY
    assert "one of so many points shows by chance (p = 0.08)" in last.reason
    assert last.chance == pytest.approx(40 * alone.chance)


def test_holm_multiplies_by_the_number_of_points_that_are_left() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_gain_is_faster() -> None:
    assert change_of(bench_of([3.0, 3.01, 2.99]), bench_of([2.5, 2.51, 2.49])) is Change.FASTER


def test_noise_is_not_a_verdict() -> None:
    assert change_of(bench_of([3.0, 3.3, 2.8]), bench_of([3.1, 3.6, 2.9])) is Change.TOO_NOISY


def test_drift_of_the_machine_is_not_the_models() -> None:
    old, new = bench_of([3.0, 3.01, 2.99]), bench_of([3.3, 3.31, 3.29], reference_ns=1_100_000)
    [one] = compare(old, new, threshold=0.03).points
    assert one.change is Change.TOO_NOISY
    assert "the machine itself changed by +10.0%" in one.reason


def test_a_reference_that_is_noisy_itself_is_no_drift() -> None:
    def with_references(centers: list[float], references: list[int]) -> Result:
        runs = [
            process(samples(center, seed=seed), reference_ns=reference)
            for seed, (center, reference) in enumerate(zip(centers, references, strict=True))
        ]
        return result(point(*runs))

    old = with_references([3.0, 3.01, 2.99], [1_000_000, 1_010_000, 990_000])
    new = with_references([3.3, 3.31, 3.29], [1_200_000, 1_000_000, 1_050_000])
    assert change_of(old, new) is Change.SLOWER


def test_exact_counts_decide_on_emulated_devices() -> None:
    def counted(instructions: int) -> Result:
        count = InstructionCount(total=instructions, main_thread=instructions)
        return result(point(process((1, 2, 3)), instruction_count=count), emulated=True)

    assert change_of(counted(1000), counted(1020)) is Change.SAME
    assert change_of(counted(1000), counted(1040)) is Change.SLOWER
    uncounted = result(point(process((1, 2, 3))), emulated=True)
    [one] = compare(uncounted, uncounted, threshold=0.03).points
    assert (one.change, one.reason) == (Change.TOO_NOISY, "no exact instruction counts on a side")


def test_differences_are_told() -> None:
    old, new = bench_of([3.0, 3.0, 3.0]), bench_of([3.0, 3.0, 3.0], kernel="6.9")
    changed = msgspec.structs.replace(new.points[0], engine_version="1.99")
    [one] = compare(old, msgspec.structs.replace(new, points=(changed,)), threshold=0.03).points
    assert "engine version - -> 1.99" in one.differences
    assert "kernel - -> 6.9" in one.differences


def test_settings_may_differ_and_are_told() -> None:
    quick, bound = bench_of([3.0, 3.0, 3.0]), bench_of([3.0, 3.0, 3.0])
    changed = msgspec.structs.replace(
        bound.points[0],
        engine_options={"spinning": "off"},
        requested_cores="0",
        verdict=Verdict.THROTTLED,
        reasons=("core 0 fell from 2800 to 2000 MHz",),
    )
    [one] = compare(quick, msgspec.structs.replace(bound, points=(changed,)), threshold=0.03).points
    assert one.differences == (
        "new is throttled: core 0 fell from 2800 to 2000 MHz",
        "engine option spinning - -> off",
        "requested cores - -> 0",
    )


def test_points_of_one_file_find_those_of_equal_settings() -> None:
    def modes(*pairs: tuple[PowerMode, float]) -> Result:
        return result(*(point(*[process(samples(center))] * 3, power_mode=mode) for mode, center in pairs))

    old = modes((PowerMode.HIGH, 3.0), (PowerMode.LOW, 9.0))
    new = modes((PowerMode.LOW, 9.0), (PowerMode.HIGH, 3.0))
    assert [one.change for one in compare(old, new, threshold=0.03).points] == [Change.SAME, Change.SAME]


def test_what_has_no_counterpart_is_named() -> None:
    old = bench_of([3.0, 3.0, 3.0])
    failed = msgspec.structs.replace(old.points[0], model="PPLCNet_x0_5", status=Status.FAILED)
    alone = msgspec.structs.replace(old.points[0], requested_threads=2)
    new = msgspec.structs.replace(old, points=(*old.points, failed, alone))
    report = compare(old, new, threshold=0.03)
    assert len(report.points) == 1
    assert list(report.not_compared) == [
        "PPLCNet_x0_5, onnxruntime fp32, 1 thread(s), bs1: NEW has it failed",
        "PPLCNet_x1_0, onnxruntime fp32, 2 thread(s), bs1: NEW has it alone",
    ]
    assert not compare(old, old, threshold=0.03).not_compared


def test_another_device_or_model_is_refused_unless_asked_for() -> None:
    old = bench_of([3.0, 3.0, 3.0])
    other = bench_of([3.0, 3.0, 3.0], soc="Another CPU")
    with pytest.raises(UsageError, match="another device"):
        compare(old, other, threshold=0.03)
    [one] = compare(old, other, threshold=0.03, anyway=True).points
    assert "SoC Invented CPU -> Another CPU" in one.differences
    renamed = msgspec.structs.replace(old.points[0], model="PPLCNet_x0_5")
    with pytest.raises(UsageError, match="model PPLCNet_x1_0 and PPLCNet_x0_5"):
        compare(old, msgspec.structs.replace(old, points=(renamed,)), threshold=0.03)


def test_samples_of_no_time_are_not_compared() -> None:
    nothing = result(point(*[process((0, 0, 0))] * 3))
    for old, new in ((nothing, bench_of([3.0, 3.0, 3.0])), (bench_of([3.0, 3.0, 3.0]), nothing)):
        assert change_of(old, new) is Change.TOO_NOISY


def test_a_slower_median_over_the_same_quartile_is_not_the_same() -> None:
    def of(share_slower: float) -> Result:
        count = round(100 * share_slower)
        times = tuple([3_000_000] * (100 - count) + [4_200_000] * count)
        return result(point(*[process(times)] * 5))

    [one] = compare(of(0.0), of(0.72), threshold=0.03).points
    assert one.change is Change.TOO_NOISY
    assert one.reason == "the lower quartile changed by +0.0%, within 3.0%; the median by +40.0%"
    assert change_of(of(0.72), of(0.0)) is Change.TOO_NOISY
    assert change_of(of(0.0), of(0.9)) is Change.SLOWER


def test_another_gpu_is_another_device() -> None:
    def on(name: str) -> Result:
        gpu = Gpu(name=name, uuid="GPU-1", compute_capability="7.0", cuda_version="12.4")
        return result(point(*[process(samples(3.0))] * 3, gpu=gpu))

    with pytest.raises(UsageError, match="on Tesla V100 with NVIDIA H200: another GPU"):
        compare(on("Tesla V100"), on("NVIDIA H200"), threshold=0.03)
    assert len(compare(on("Tesla V100"), on("NVIDIA H200"), threshold=0.03, anyway=True).points) == 1


def test_other_libraries_and_cpu_features_are_told() -> None:
    old = bench_of([3.0, 3.0, 3.0], libraries={"onnxruntime": "1.20", "numpy": "2.0"}, features=("avx2",))
    new = bench_of([3.0, 3.0, 3.0], libraries={"onnxruntime": "1.20"}, features=("avx2", "avx512f"))
    [one] = compare(old, new, threshold=0.03).points
    assert one.differences == ("numpy 2.0 -> -", "CPU features +avx512f")


def test_decide_without_an_interval() -> None:
    assert decide(None, None, 0.03)[0] is Change.TOO_NOISY


@pytest.mark.parametrize(
    ("ratio", "control", "change"),
    [
        ((1.03, 1.022, 1.038), (1.0, 0.995, 1.006), Change.SLOWER),
        ((0.97, 0.962, 0.978), (1.0, 0.995, 1.006), Change.FASTER),
        ((1.005, 1.001, 1.009), (1.0, 0.995, 1.006), Change.SAME),
        ((1.05, 0.99, 1.12), (1.0, 0.995, 1.006), Change.TOO_NOISY),
        ((1.0, 0.75, 1.3), (1.0, 0.995, 1.006), Change.TOO_NOISY),
        ((1.03, 1.022, 1.038), (1.0, 0.98, 1.02), Change.TOO_NOISY),
        ((1.03, 1.022, 1.038), (0.98, 0.975, 0.985), Change.TOO_NOISY),
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
    assert "its drift is not known" not in slower.stdout
    assert "1 of 1 points are slower by more than 3.0%" in slower.stderr
    assert run_cli(["compare", "old.json", "new.json", "--fail-above", "30%"], cwd=tmp_path).exit_code == 0
    assert run_cli(["compare", "old.json", "new.json", "--fail-above", "30"], cwd=tmp_path).exit_code == 2


def test_a_point_that_fails_now_ends_with_9_and_is_in_the_json(tmp_path: Path, run_cli: RunCli) -> None:
    old = bench_of([3.0, 3.01, 2.99])
    other = msgspec.structs.replace(old.points[0], model="PPLCNet_x0_5")
    save_result(tmp_path / "old.json", msgspec.structs.replace(old, points=(*old.points, other)))
    failed = msgspec.structs.replace(other, status=Status.FAILED, processes=())
    save_result(tmp_path / "new.json", msgspec.structs.replace(old, points=(*old.points, failed)))
    done = run_cli(["compare", "old.json", "new.json", "--json"], cwd=tmp_path)
    assert done.exit_code == 9
    assert "1 of its points failed: PPLCNet_x0_5, onnxruntime fp32" in done.stderr
    report = json.loads(done.stdout)
    assert [one["change"] for one in report["points"]] == ["same"]
    assert len(report["failed"]) == 1
    assert report["not_compared"] == [
        "PPLCNet_x0_5, onnxruntime fp32, 1 thread(s), bs1: OLD has it alone",
        "PPLCNet_x0_5, onnxruntime fp32, 1 thread(s), bs1: NEW has it failed",
    ]


def test_a_drift_that_nothing_tells_is_said_to_be_unknown(tmp_path: Path, run_cli: RunCli) -> None:
    save_result(tmp_path / "old.json", result(point(*[process(samples(3.0))] * 3)))
    done = run_cli(["compare", "old.json", "old.json"], cwd=tmp_path)
    assert done.exit_code == 0
    assert "machine -: no fixed workload ran beside both, so its drift is not known" in done.stdout
