"""Estimates: the shipped data keep their promise on the published rows, and fitting finds what was put in."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgekit.bench.document import save_result
from edgekit.bench.results import load_result
from edgekit.convert.manifest import load_manifest, write_manifest
from edgekit.core.artifact import Artifact, ArtifactFile, ArtifactKind, Manifest, TensorSpec
from edgekit.core.bench_options import PowerMode
from edgekit.core.device import Cluster
from edgekit.core.measurement import ArtifactRef, Point, Result, Verdict
from edgekit.core.preprocess import Preprocess
from edgekit.core.spec import Platform, Precision
from edgekit.errors import InputError, UsageError
from edgekit.estimate.count import count_network
from edgekit.estimate.estimate import Estimate, estimate, known_count
from edgekit.estimate.fit import fit_results
from edgekit.estimate.layers import read_layers
from edgekit.estimate.least_squares import FitPoint, fit_points, fit_weighted
from edgekit.estimate.soc_model import Layers, NetworkCount, load_soc, prediction_error
from edgekit.targets.target import Subject
from edgekit.zoo.registry import find_model, list_models
from tests.conftest import RunCli
from tests.points import point, process, result

FOUR = ("PPLCNet_x0_25", "PPLCNet_x0_5", "PPLCNet_x1_0", "PPLCNet_x2_5")
# Width at one thread of the interval of networks that were not fitted.
WIDTH = prediction_error(0.0592, 12)
SCALES = ("x0_25", "x0_35", "x0_5", "x0_75", "x1_0", "x1_5", "x2_0", "x2_5")


def layers_like_the_fitted(millions: float) -> Layers:
    """The layers of a network of the fitted ones' kind, of which both ways to estimate say the same."""
    return Layers(
        pointwise_m=3.3 * millions, spatial_m=0, activations_mb=0.126 * millions, head_mb=5, layers=33
    )


def published(name: str, threads: int) -> float:
    figures = find_model(name).published
    assert figures is not None
    return next(
        one.latency_ms
        for one in figures.latencies
        if one.platform is Platform.SD855 and one.threads == threads
    )


def fit_point(name: str, threads: int) -> FitPoint:
    count = known_count(name, Precision.FP32)
    assert count is not None
    return FitPoint(
        network=name,
        threads=threads,
        millions=count.millions[str(threads)],
        nb_mb=count.nb_mb,
        layers=count.layers,
        latency_ms=published(name, threads),
    )


def test_published_rows_are_foretold_by_a_fit_without_them() -> None:
    """Nine of ten lie within the interval of a fit to the other seven networks."""
    soc, inside = load_soc("sd855"), []
    for threads in (1, 2, 4):
        points = [fit_point(f"PPLCNet_{scale}", threads) for scale in SCALES]
        for left_out in points:
            weights = soc.fit(threads, layers=True).weights
            blind = fit_weighted(threads, [point for point in points if point is not left_out], weights)
            count = known_count(left_out.network, Precision.FP32)
            assert count is not None
            [one] = estimate(msgspec.structs.replace(soc, fits=(blind,)), count, [threads]).estimates
            assert one.latency_ms == pytest.approx(left_out.latency_ms, rel=0.06)
            inside.append(one.low_ms < left_out.latency_ms < one.high_ms)
            assert (one.level, one.networks) == (level(one), 7)
    assert sum(inside) >= 0.85 * len(inside)


PADDLE_LITE = {
    Precision.FP32: {
        "MobileNetV1": 29.04, "MobileNetV2": 19.37, "MobileNetV3_large_x1_0": 15.59,
        "MobileNetV3_small_x1_0": 5.39, "ResNet50": 161.13,
    },
    Precision.INT8: {
        "MobileNetV1": 11.86, "MobileNetV2": 11.38, "MobileNetV3_large_x1_0": 8.88,
        "MobileNetV3_small_x1_0": 3.29, "ResNet50": 66.81,
    },
}  # fmt: skip


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.INT8])
def test_unfitted_networks_lie_within_the_interval_of_the_others(precision: Precision) -> None:
    """Paddle Lite's own figures, v2.11, one thread: docs/performance/benchmark.md, ARMv8, Snapdragon 855."""
    soc, errors = load_soc("sd855"), {}
    for name, truth in PADDLE_LITE[precision].items():
        count = known_count(name, precision)
        assert count is not None
        [one] = estimate(soc, count, [1]).estimates
        errors[name] = abs(math.log(truth / one.latency_ms))
        assert "not among those" in one.reasons[0] or "less sure" in one.reasons[0]
        assert (one.level, one.networks) == (level(one), 12 if precision is Precision.FP32 else 5)
    for name, error in errors.items():
        others = [errors[other] for other in errors if other != name]
        assert error < math.log1p(prediction_error(rms(others), len(others))), name
    found = list(errors.values())
    if precision is Precision.FP32:
        found += paddle_clas_errors(1)
    [shipped] = [one for one in soc.unfitted if (one.precision, one.threads) == (precision.value, 1)]
    assert rms(found) == pytest.approx(shipped.rms, abs=2e-4)


# PaddleClas, docs/zh_CN/models/ImageNet1k, SD855 columns: milliseconds at 1, 2 and 4 threads.
PADDLE_CLAS = {
    "MobileNetV1": (30.24, 17.86, 10.30), "MobileNetV2_x0_25": (3.46, 2.51, 2.03),
    "MobileNetV2_x0_5": (7.69, 4.92, 3.57), "MobileNetV2": (20.74, 12.71, 8.10),
    "MobileNetV3_large_x1_0": (16.55, 10.09, 6.84), "MobileNetV3_large_x0_35": (4.43, 3.11, 2.41),
    "MobileNetV3_small_x1_25": (7.88, 4.91, 3.45), "MobileNetV3_small_x1_0": (5.63, 3.65, 2.60),
    "MobileNetV3_small_x0_35": (2.23, 1.66, 1.43), "ShuffleNetV2_x0_5": (3.67, 2.63, 2.06),
    "ShuffleNetV2_x0_33": (2.23, 1.70, 1.79),
}  # fmt: skip


def paddle_clas_errors(threads: int) -> list[float]:
    errors = []
    for name, row in PADDLE_CLAS.items():
        count = known_count(name, Precision.FP32)
        assert count is not None
        [one] = estimate(load_soc("sd855"), count, [threads]).estimates
        errors.append(abs(math.log(row[(1, 2, 4).index(threads)] / one.latency_ms)))
    return errors


@pytest.mark.parametrize(("threads", "largest"), [(1, 0.08), (2, 0.08), (4, 0.10)])
def test_other_families_are_met_at_every_number_of_threads(threads: int, largest: float) -> None:
    errors = paddle_clas_errors(threads)
    assert max(errors) < largest
    if threads > 1:
        [shipped] = [
            one for one in load_soc("sd855").unfitted if (one.precision, one.threads) == ("fp32", threads)
        ]
        assert rms(errors) == pytest.approx(shipped.rms, abs=2e-4)


def level(one: Estimate) -> float | None:
    """The level that an interval may claim: none where it is doubled, far from the fitted networks."""
    return None if any("far from" in reason for reason in one.reasons) else 0.9


def rms(errors: list[float]) -> float:
    return math.sqrt(sum(error**2 for error in errors) / len(errors))


@pytest.mark.parametrize("layers", [False, True])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_leave_one_out_is_what_the_data_say(threads: int, layers: bool) -> None:
    points = [fit_point(f"PPLCNet_{scale}", threads) for scale in SCALES]
    shipped = load_soc("sd855").fit(threads, layers=layers)
    assert (shipped.weights is not None) is layers
    again = fit_weighted(threads, points, shipped.weights)
    assert again.ms_per_million == pytest.approx(shipped.ms_per_million, rel=1e-3)
    assert again.ms_per_mb == pytest.approx(shipped.ms_per_mb, rel=1e-3)
    assert again.leave_one_out_error == pytest.approx(shipped.leave_one_out_error, abs=0.001)
    assert again.leave_one_out_rms == pytest.approx(shipped.leave_one_out_rms, abs=1e-4)
    assert again.networks == shipped.networks == 8
    assert again.leave_one_out_error <= 0.06


def test_a_prediction_interval_holds_nine_of_ten_networks_that_it_has_not_seen() -> None:
    """Invented networks whose latencies scatter by 5 % around two true coefficients."""
    rng, inside, trials = random.Random(90), 0, 200
    for _ in range(trials):
        points = [
            FitPoint(
                network=str(index),
                threads=1,
                millions=(millions := rng.uniform(10, 300)),
                nb_mb=(nb_mb := rng.uniform(5, 40)),
                latency_ms=(0.2 * millions + 0.1 * nb_mb) * math.exp(rng.gauss(0, 0.05)),
            )
            for index in range(9)
        ]
        [fit] = fit_points(points[1:])
        foretold = fit.ms_per_million * points[0].millions + fit.ms_per_mb * points[0].nb_mb
        error = max(foretold / points[0].latency_ms, points[0].latency_ms / foretold) - 1
        inside += error < prediction_error(fit.leave_one_out_rms, fit.networks - 2)
    assert 0.85 <= inside / trials <= 0.96


@pytest.mark.parametrize(("networks", "few"), [(3, True), (4, True), (5, False)])
def test_a_fit_to_few_networks_says_so_and_is_wider(networks: int, few: bool) -> None:
    exact = [
        FitPoint(network=str(index), threads=1, millions=50.0 * index, nb_mb=10, latency_ms=10.0 * index)
        for index in range(1, networks + 1)
    ]
    soc = msgspec.structs.replace(load_soc("sd855"), fits=fit_points(exact), fitted_on=("1",), unfitted=())
    count = NetworkCount(model="1", network="1", precision="fp32", nb_mb=10, millions={"1": 100})
    [one] = estimate(soc, count, [1]).estimates
    assert any(f"fitted to {networks} networks only" in reason for reason in one.reasons) is few
    assert one.high_ms == pytest.approx(one.latency_ms * (1.1 if few else 1.0))
    assert one.level == (None if few else 0.9)


def test_an_unfitted_network_and_another_precision_are_said_to_be_so() -> None:
    soc = load_soc("sd855")
    layers = layers_like_the_fitted(50)
    other = NetworkCount(
        model="Other", precision="fp32", nb_mb=10, millions={"1": 50, "2": 25}, layers=layers
    )
    one, two = estimate(soc, other, [1, 2]).estimates
    assert one.high_ms == pytest.approx(one.latency_ms * (1 + WIDTH), rel=1e-4)
    assert one.interval == "a 90% prediction interval from 12 networks that it was not fitted on"
    assert two.interval == "a 90% prediction interval from 11 networks that it was not fitted on"
    assert "not among those" in one.reasons[0]
    bare = msgspec.structs.replace(other, layers=None)
    [alone] = estimate(soc, bare, [1]).estimates
    assert (alone.interval, alone.level, alone.networks) == ("±10%, a guess", None, 0)
    assert any("its layers are not known" in reason for reason in alone.reasons)
    int8 = msgspec.structs.replace(bare, precision="int8")
    assert "less sure" in estimate(soc, int8, [1]).estimates[0].reasons[0]


@pytest.mark.parametrize(
    ("millions", "nb_mb", "said"),
    [
        (5000.0, 30.0, "9.131 to 294.403 M instructions"),
        (150.0, 244.0, "6.159 to 36.096 MB"),
        (5000.0, 244.0, "9.131 to 294.403 M instructions and 6.159 to 36.096 MB"),
    ],
)
def test_far_from_what_was_fitted_the_interval_is_twice_as_wide(
    millions: float, nb_mb: float, said: str
) -> None:
    layers = layers_like_the_fitted(millions)
    far = NetworkCount(model="Other", precision="fp32", nb_mb=nb_mb, millions={"1": millions}, layers=layers)
    [one] = estimate(load_soc("sd855"), far, [1]).estimates
    assert one.reasons[1] == f"far from what it was fitted on: {said}"
    assert one.interval.startswith("twice a 90% prediction interval")
    assert one.level is None
    assert one.high_ms == pytest.approx(one.latency_ms * (1 + 2 * WIDTH), rel=1e-4)


def test_two_estimates_that_disagree_are_both_within_the_interval() -> None:
    """A network with twice the instructions that its convolutions and matrix products take."""
    layers = layers_like_the_fitted(50)
    other = NetworkCount(model="Other", precision="fp32", nb_mb=10, millions={"1": 100}, layers=layers)
    bare = msgspec.structs.replace(other, layers=None)
    for soc in map(load_soc, ("sd855", "sd865")):
        [one], [second] = estimate(soc, other, [1]).estimates, estimate(soc, bare, [1]).estimates
        assert one.low_ms < one.latency_ms < one.high_ms == second.latency_ms
        assert one.level is None
        assert any(f"by instructions and size alone {one.high_ms:.2f} ms" in reason for reason in one.reasons)


def test_the_interval_holds_what_the_fit_has_not_seen() -> None:
    """A network that was underestimated lies further above its estimate than the estimate below it."""
    slow = FitPoint(network="Slow", threads=1, millions=100, nb_mb=10, latency_ms=60.0)
    others = [
        FitPoint(network=name, threads=1, millions=millions, nb_mb=10, latency_ms=0.2 * millions)
        for name, millions in (("A", 50.0), ("B", 100.0), ("C", 200.0))
    ]
    [blind], [whole] = fit_points(others), fit_points([*others, slow])
    foretold = blind.ms_per_million * slow.millions + blind.ms_per_mb * slow.nb_mb
    assert foretold * (1 + whole.leave_one_out_error) == pytest.approx(slow.latency_ms)


def test_weights_make_no_difference_but_classes_do() -> None:
    ssld, plain = (known_count(name, Precision.FP32) for name in ("PPLCNet_x0_5_ssld", "PPLCNet_x0_5"))
    assert ssld is not None and plain is not None
    assert (ssld.model, ssld.network) == ("PPLCNet_x0_5_ssld", "PPLCNet_x0_5")
    assert msgspec.structs.replace(ssld, model=plain.model) == plain
    four_classes = known_count("PPLCNet_x1_0_doc_ori", Precision.FP32)
    assert four_classes is not None and four_classes.network == "PPLCNet_x1_0_doc_ori"


def write_artifacts(
    directory: Path, *, side: int | None = 224, classes: int = 1000, sha256: str = ""
) -> None:
    """An invented manifest of PPLCNet_x0_25, as an export with this input and these classes leaves it."""
    inputs = (TensorSpec(name="x", dtype="float32", shape=(None, 3, side, side)),)
    nb = Artifact(
        kind=ArtifactKind.NB_ARM,
        files=(ArtifactFile(path="inference.arm.nb", sha256=sha256, size_bytes=6_159_518),),
        tool="paddle_lite_opt", tool_version="2.12", parent_sha256=None, inputs=inputs, outputs=inputs,
    )  # fmt: skip
    manifest = Manifest(
        edgekit_version="0", name=directory.name, model="PPLCNet_x0_25", source="random (seed 0)",
        source_sha256=None, num_classes=classes, output_activation="softmax", preprocess=Preprocess(),
        labels=None, inputs=inputs, outputs=inputs, artifacts={"nb-arm": nb},
    )  # fmt: skip
    directory.mkdir(parents=True)
    write_manifest(directory, manifest)


@pytest.mark.parametrize("changes", [{"side": 448}, {"classes": 10}])
def test_another_input_or_other_classes_are_another_network(
    tmp_path: Path, run_cli: RunCli, changes: dict[str, int]
) -> None:
    write_artifacts(tmp_path / "models/PPLCNet_x0_25", **changes)
    refused = run_cli(["estimate", "PPLCNet_x0_25"], cwd=tmp_path)
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert "--count" in refused.stderr


@pytest.mark.parametrize("asked", ["Mine", "models/Mine"])
def test_a_path_or_a_name_of_ones_own_is_the_network_that_was_exported(
    tmp_path: Path, run_cli: RunCli, asked: str
) -> None:
    write_artifacts(tmp_path / "models/Mine", side=None)
    shown = run_cli(["estimate", asked, "--json"], cwd=tmp_path)
    assert shown.exit_code == 0, shown.stderr
    report = json.loads(shown.stdout)
    assert (report["model"], report["network"]) == ("Mine", "PPLCNet_x0_25")
    assert [one["reasons"] for one in report["estimates"]] == [[], [], []]
    missing = run_cli(["estimate", "models/PPLCNet_x0_25"], cwd=tmp_path)
    assert missing.exit_code == 3
    assert "no models/PPLCNet_x0_25/manifest.json" in missing.stderr


def test_a_damaged_manifest_is_not_passed_over(tmp_path: Path, run_cli: RunCli) -> None:
    write_artifacts(tmp_path / "models/PPLCNet_x0_25")
    (tmp_path / "models/PPLCNet_x0_25/manifest.json").write_text("{")
    refused = run_cli(["estimate", "PPLCNet_x0_25"], cwd=tmp_path)
    assert refused.exit_code == 3
    assert "damaged" in refused.stderr


def test_a_model_keeps_the_name_that_was_asked_for(tmp_path: Path, run_cli: RunCli) -> None:
    shown = run_cli(["estimate", "PPLCNet_x1_0_ssld"], cwd=tmp_path)
    assert shown.stdout.startswith("PPLCNet_x1_0_ssld fp32")
    assert "counted on PPLCNet_x1_0, the same network" in shown.stdout


def measured_point(name: str, slowness: float, **changes: Any) -> Point:
    count = known_count(name, Precision.FP32)
    assert count is not None
    latency_ns = round(slowness * (0.2 * count.millions["1"] + 0.1 * count.nb_mb) * 1e6)
    return point(process((latency_ns,) * 100), model=name, engine="paddlelite", **changes)


def phone(models: tuple[str, ...], slowness: float, **target: Any) -> Result:
    points = [measured_point(name, slowness) for name in models]
    return result(*points, **{"serial": "phone", "transport": "adb", "soc": "SM1", "model": "One", **target})


def test_a_users_own_phone_is_fitted(tmp_path: Path, run_cli: RunCli) -> None:
    measured = phone(FOUR, 2.0)
    save_result(tmp_path / "phone.json", measured)
    fitted = run_cli(["estimate", "--fit", "phone.json", "-o", "mine.toml"], cwd=tmp_path)
    assert fitted.exit_code == 0, fitted.stderr
    model = load_soc(str(tmp_path / "mine.toml"))
    assert model.fit(1).ms_per_million == pytest.approx(0.4)
    assert model.fit(1).ms_per_mb == pytest.approx(0.2)
    shown = run_cli(["estimate", "PPLCNet_x2_0", "--soc", "mine.toml", "--threads", "1"], cwd=tmp_path)
    assert shown.exit_code == 0, shown.stderr
    assert "estimated" in shown.stdout
    assert f"{0.4 * 195.843 + 0.2 * 26.123:.2f}" in shown.stdout


def test_what_was_not_counted_is_named() -> None:
    count = known_count("ResNet50", Precision.FP32)
    assert count is not None
    partly = msgspec.structs.replace(count, millions={"1": count.millions["1"]})
    with pytest.raises(InputError, match="ResNet50 at 4 threads: it was counted at 1") as caught:
        estimate(load_soc("sd855"), partly, [1, 4])
    assert caught.value.hint == "edgekit estimate ResNet50 --precision fp32 --count --threads 4"


UNCOUNTED = {
    "Res2Net200_vd_26w_4s_ssld", "ResNeXt101_32x48d_wsl", "PPHGNetV2_B6",
    "SwinTransformer_tiny_patch4_window7_224", "SwinTransformer_base_patch4_window7_224",
}  # fmt: skip


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.INT8])
def test_every_network_of_the_zoo_is_counted(precision: Precision) -> None:
    """Classifiers are, but for the largest and some that are newer, which are named."""
    for card in list_models():
        count = known_count(card.name, precision)
        if card.task == "classification" or count is not None:
            assert (count is None) is (card.name in UNCOUNTED), card.name
        assert count is None or set(count.millions) == {"1", "2", "4"}


def test_a_poor_fit_of_unsteady_points_says_so(tmp_path: Path, run_cli: RunCli) -> None:
    measured = phone(FOUR, 2.0)
    slow = msgspec.structs.replace(
        measured.points[1],
        processes=(process((90_000_000,) * 100),),
        verdict=Verdict.UNSTABLE,
        reasons=("drifts",),
    )
    measured = msgspec.structs.replace(measured, points=(measured.points[0], slow, *measured.points[2:]))
    save_result(tmp_path / "phone.json", measured)
    fit = ["estimate", "PPLCNet_x2_0", "--fit", "phone.json", "--threads", "1", "--json"]
    fitted = run_cli(fit, cwd=tmp_path)
    assert fitted.exit_code == 0, fitted.stderr
    assert "not sure: PPLCNet_x0_5 at 1 threads (unstable: drifts)" in fitted.stderr
    [one] = json.loads(fitted.stdout)["estimates"]
    assert 0 < one["low_ms"] < one["latency_ms"] < one["high_ms"]
    assert any("the fit is poor" in reason for reason in one["reasons"])


def test_a_fit_takes_no_phone_for_another(tmp_path: Path, run_cli: RunCli) -> None:
    measured = phone(("PPLCNet_x0_25", "PPLCNet_x0_5", "PPLCNet_x1_0"), 2.0)
    save_result(tmp_path / "phone.json", measured)
    fit = ["estimate", "--fit", "phone.json", "-o"]
    assert run_cli([*fit, "mine.toml"], cwd=tmp_path).exit_code == 0
    model = load_soc(str(tmp_path / "mine.toml"))
    assert model.virtual_soc is None
    assert run_cli([*fit, "named.toml", "--virtual-soc", "sd888"], cwd=tmp_path).exit_code == 0
    assert load_soc(str(tmp_path / "named.toml")).virtual_soc == "sd888"
    unknown = run_cli([*fit, "never.toml", "--virtual-soc", "sd999"], cwd=tmp_path)
    assert unknown.exit_code == 2
    assert not (tmp_path / "never.toml").exists()


@pytest.mark.parametrize("how", ["--fit", "--adapt"])
@pytest.mark.parametrize(
    ("parts", "millions"),
    [
        (("0x805", "0x804"), 70.609),
        (("0xd03",), 165.85),
        # One core without dot products rules them out for all; Paddle Lite does not know a plain Cortex-A76.
        (("0xd05", "0xd0b"), 165.85),
        (("0x803", "0x802"), 165.85),
        ((None, "0x804"), None),
        ((), None),
    ],
)
def test_int8_on_a_phone_of_ones_own_takes_the_counts_of_its_cores(
    how: str, parts: tuple[str | None, ...], millions: float | None, tmp_path: Path, run_inside: RunCli
) -> None:
    cores = tuple(
        Cluster(cores=(core,), max_frequency_khz=1000 * (core + 1), part=part)
        for core, part in enumerate(parts)
    )
    save_result(tmp_path / "phone.json", phone(FOUR[: 3 if how == "--adapt" else 4], 2.0, clusters=cores))
    words = ["--fit", "phone.json"] if how == "--fit" else ["--adapt", "sd865", "phone.json"]
    made = run_inside("estimate", *words, "-o", "mine.toml")
    assert made.exit_code == 0, made.stderr
    int8 = ["--precision", "int8", "--soc", "mine.toml", "--threads", "1", "--json"]
    done = run_inside("estimate", "MobileNetV1", *int8)
    if millions is None:
        assert done.exit_code == 2 and "does not know the kernels of its cores" in done.stderr
        return
    assert done.exit_code == 0, done.stderr
    [one] = json.loads(done.stdout)["estimates"]
    assert one["instructions_millions"] == millions
    assert one["level"] is None and "a guess" in one["interval"]
    if millions > 100:
        uncounted = run_inside("estimate", "PPLCNet_x0_5", *int8)
        assert uncounted.exit_code == 3
        assert "PPLCNet_x0_5 --soc mine.toml --precision int8 --count" in uncounted.stderr


def test_the_chip_that_a_phone_is_like_says_its_int8_kernels(tmp_path: Path, run_inside: RunCli) -> None:
    save_result(tmp_path / "phone.json", phone(FOUR, 2.0))
    fit = ["estimate", "MobileNetV1", "--fit", "phone.json", "--precision", "int8", "--json"]
    counted = {}
    for chip in ("sd888", "rpi4"):
        done = run_inside(*fit, "--virtual-soc", chip)
        assert done.exit_code == 0, done.stderr
        [one] = json.loads(done.stdout)["estimates"]
        counted[chip] = one["instructions_millions"]
    assert counted == {"sd888": 70.609, "rpi4": 165.85}
    assert run_inside(*fit).exit_code == 2


@pytest.mark.parametrize(
    ("name", "precision", "commands"),
    [
        ("PPLCNet_x0_25", "fp32", "edgekit export NAME"),
        ("PPHGNet_small", "int8", "edgekit export NAME; edgekit quantize NAME"),
    ],
)
def test_the_hint_makes_what_is_to_be_counted(
    tmp_path: Path, run_cli: RunCli, name: str, precision: str, commands: str
) -> None:
    refused = run_cli(["estimate", name, "--precision", precision, "--count"], cwd=tmp_path)
    assert refused.exit_code == 3
    hint = f"hint: {commands}; edgekit estimate NAME --precision {precision} --count"
    assert refused.stderr.splitlines()[-1] == hint.replace("NAME", name)


def test_a_soc_that_can_only_be_emulated_is_told_from_an_unknown_one() -> None:
    with pytest.raises(UsageError, match="it can be emulated, no latency model is shipped") as caught:
        load_soc("sd888")
    assert "--virtual-soc sd888" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="no such model"):
        load_soc("sd999")


@pytest.mark.slow
def test_the_layers_of_a_program_are_those_that_ship(x0_25: Path) -> None:
    count = known_count("PPLCNet_x0_25", Precision.FP32)
    assert count is not None
    assert read_layers(x0_25, load_manifest(x0_25)) == count.layers


def test_the_layers_of_a_damaged_program_are_an_input_error(x0_25: Path, tmp_path: Path) -> None:
    manifest = load_manifest(x0_25)
    program = manifest.artifacts["paddle"].main_file
    (tmp_path / program).write_bytes((x0_25 / program).read_bytes()[:-100])
    with pytest.raises(InputError, match="it is damaged"):
        read_layers(tmp_path, manifest)


@pytest.mark.slow
def test_counting_for_a_phone_without_a_virtual_twin_is_refused(x0_25: Path) -> None:
    soc = msgspec.structs.replace(load_soc("sd855"), virtual_soc=None)
    with pytest.raises(UsageError, match="names no virtual device's SoC") as caught:
        count_network(
            Subject(directory=x0_25, manifest=load_manifest(x0_25)),
            soc,
            precision=Precision.FP32,
            threads=[1],
            work=x0_25,
            show=lambda _: None,
        )
    assert "--virtual-soc" in (caught.value.hint or "")


@pytest.mark.slow
@pytest.mark.usefixtures("adb_host")
def test_a_count_takes_three_inferences_at_each_number_of_threads(x0_25: Path, tmp_path: Path) -> None:
    subject = Subject(directory=x0_25, manifest=load_manifest(x0_25))
    soc = msgspec.structs.replace(load_soc("sd855"), engine="onnxruntime")
    one = count_network(
        subject, soc, precision=Precision.FP32, threads=[1], work=tmp_path, show=lambda _: None
    )
    [point] = load_result(tmp_path / "counts.json").points
    [process] = point.processes
    assert point.instruction_count is not None and point.instruction_count.spread < 1e-3
    assert one.millions == {"1": round(point.instruction_count.main_thread / 1e6, 3)}
    assert (process.warmup_runs, len(process.samples_ns)) == (1, 2)
    # No outputs are computed for a comparison that no count shows.
    assert point.parity is None


def test_too_few_networks_and_emulated_ones_are_refused() -> None:
    with pytest.raises(InputError, match="three networks"):
        fit_results([phone(("PPLCNet_x0_25", "PPLCNet_x0_5"), 1.0)], "x")
    with pytest.raises(InputError, match="emulated"):
        fit_results([result(emulated=True)], "x")
    same = ("PPLCNet_x1_0", "PPLCNet_x1_0", "PPLCNet_x1_0_ssld")
    with pytest.raises(InputError, match=r"three networks .* 1 are there"):
        fit_results([phone(same, 1.0)], "x")


def test_a_fit_is_of_one_phone() -> None:
    with pytest.raises(InputError, match="on a host"):
        fit_results([phone(FOUR, 1.0, transport="local")], "x")
    with pytest.raises(InputError, match=r"2 devices, One \(SM1\) and Two \(SM1\)"):
        fit_results([phone(FOUR, 1.0), phone(FOUR, 9.0, model="Two")], "x")
    assert fit_results([phone(FOUR[:2], 1.0), phone(FOUR[2:], 1.0, serial="10.0.0.7:5555")], "x").fits


@pytest.mark.parametrize("changes", [{"power_mode": PowerMode.LOW}, {"requested_cores": "little"}])
def test_a_fit_is_of_one_setting(changes: dict[str, Any]) -> None:
    slow = [measured_point(name, 4.0, **changes) for name in FOUR]
    both = msgspec.structs.replace(phone(FOUR, 1.0), points=(*phone(FOUR, 1.0).points, *slow))
    with pytest.raises(InputError, match="several power modes or cores"):
        fit_results([both], "x")
    alone = fit_results([msgspec.structs.replace(both, points=tuple(slow))], "x")
    assert alone.fit(1).ms_per_million == pytest.approx(0.8)
    assert alone.source.startswith("run, --")


def test_unverified_points_are_left_out_and_named(caplog: pytest.LogCaptureFixture) -> None:
    wrong = measured_point(
        "PPLCNet_x1_5", 9.0, verdict=Verdict.UNVERIFIED, reasons=("4 threads asked, 1 took effect",)
    )
    mixed = msgspec.structs.replace(phone(FOUR, 1.0), points=(*phone(FOUR, 1.0).points, wrong))
    model = fit_results([mixed], "x")
    assert model.fitted_on == FOUR
    assert model.fit(1).leave_one_out_error == pytest.approx(0, abs=1e-6)
    assert (
        "left out, they are unverified: PPLCNet_x1_5 at 1 threads (unverified: 4 threads asked" in caplog.text
    )


def test_what_was_measured_is_told_by_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    nb = ArtifactRef(kind="nb-arm", format="nb", sha256="b" * 64, converter="opt", converter_version="2.12")
    others = phone(FOUR[1:], 1.0)
    measured = msgspec.structs.replace(
        others, points=(*others.points, measured_point(FOUR[0], 1.0, artifact=nb))
    )
    assert fit_results([measured], "x").fitted_on == (*FOUR[1:], FOUR[0])
    assert f"by name: {', '.join([*FOUR[1:], FOUR[0]])}" in caplog.text
    caplog.clear()
    write_artifacts(tmp_path / "models" / FOUR[0], side=448, sha256="b" * 64)
    assert fit_results([measured], "x").fitted_on == FOUR[1:]
    assert f"instructions are not known: {FOUR[0]}" in caplog.text


def test_a_network_measured_twice_is_left_out_twice() -> None:
    """Were its other point kept, the fit would have seen what it is to foretell."""
    odd = [
        FitPoint(network="Odd", threads=1, millions=100, nb_mb=10, latency_ms=ms) for ms in (40.0, 40.0, 40.0)
    ]
    regular = [
        FitPoint(network=name, threads=1, millions=millions, nb_mb=10, latency_ms=0.2 * millions)
        for name, millions in (("A", 50.0), ("B", 100.0), ("C", 200.0))
    ]
    [fit] = fit_points([*odd, *regular])
    assert fit.leave_one_out_error >= 0.9


def test_unknown_names_threads_and_socs(tmp_path: Path, run_cli: RunCli) -> None:
    unknown = run_cli(["estimate", "PPLCNet_x0_26"], cwd=tmp_path)
    assert unknown.exit_code == 3
    assert "did you mean PPLCNet_x0_25" in unknown.stderr
    assert run_cli(["estimate", "PPLCNet_x0_5", "--threads", "3"], cwd=tmp_path).exit_code == 2
    with pytest.raises(UsageError, match="no such model"):
        load_soc("sd999")
    (tmp_path / "bad.toml").write_text('name = "x"\n')
    with pytest.raises(InputError, match="missing required field"):
        load_soc(str(tmp_path / "bad.toml"))
