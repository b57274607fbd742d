"""Choosing a network, the models of more SoCs, and adapting one to a new phone."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

import edgekit
from edgekit.bench.document import save_result
from edgekit.core.device import Cluster
from edgekit.core.spec import Precision
from edgekit.errors import InputError, UsageError
from edgekit.estimate.adapt import EXPERIENCE, adapt, nearest_soc, of_kind
from edgekit.estimate.cores import is_old, takes_dot_products
from edgekit.estimate.estimate import estimate, known_count
from edgekit.estimate.fit import adapt_results
from edgekit.estimate.least_squares import FitPoint, fit_weighted
from edgekit.estimate.soc_model import WEIGHTS, load_soc, prediction_error, ratio_error, shipped_socs
from edgekit.zoo.registry import find_model
from scripts import fit_socs
from tests.conftest import RunCli
from tests.estimate.test_estimate import phone

# Paddle Lite v2.11, docs/performance/benchmark.md, ARMv8 CPU, one thread: PP-LCNet is in none of these fits.
PUBLISHED = {
    ("sd865", "MobileNetV2"): 18.52,
    ("sd845", "MobileNetV3_large_x1_0"): 29.55,
    ("sd835", "MobileNetV1"): 82.48,
    ("sd625", "MobileNetV3_small_x1_0"): 39.08,
    ("k990", "ResNet50"): 222.21,
    ("k980", "MobileNetV1"): 32.50,
    ("rk3399", "MobileNetV2"): 73.37,
    ("sd855-v2.11", "ResNet50"): 161.13,
}
# Largest errors that the models promise on a network left out of the fit; docs/estimate.md says why those of
# the RK3399 are larger.
PROMISED = {
    "sd865": 0.04,
    "sd845": 0.04,
    "sd835": 0.04,
    "sd625": 0.06,
    "k990": 0.04,
    "k980": 0.05,
    "rk3399": 0.10,
    "sd855-v2.11": 0.05,
}


def test_published_latencies_lie_within_the_intervals() -> None:
    for (name, network), truth in PUBLISHED.items():
        count = known_count(network, Precision.FP32)
        assert count is not None
        [one] = estimate(load_soc(name), count, [1]).estimates
        assert one.low_ms < truth < one.high_ms, (name, network)
        assert one.level == 0.9
    assert set(shipped_socs()) == {"sd855", *(name for name, _ in PUBLISHED)}


@pytest.mark.parametrize("name", PROMISED)
def test_a_network_left_out_is_foretold_by_the_others(name: str) -> None:
    """The shipped constants and the SoC's cache, the two coefficients fitted to the four other networks."""
    shipped, points = load_soc(name).fit(1, layers=True), fit_socs.points(name)
    for left_out in points:
        others = [one for one in points if one is not left_out]
        fit = fit_weighted(1, others, shipped.weights, shipped.cache_mib)
        foretold = fit.latency_ms(left_out.millions, left_out.nb_mb, left_out.layers)
        assert ratio_error(foretold, left_out.latency_ms) < PROMISED[name], left_out.network
    assert shipped.leave_one_out_error < PROMISED[name]


def test_what_exceeds_the_cache_is_read_from_memory() -> None:
    count = known_count("MobileNetV2", Precision.FP32)
    assert count is not None and count.layers is not None
    asked, fit = (count.millions["1"], count.nb_mb, count.layers), load_soc("sd625").fit(1, layers=True)
    assert (fit.cache_mib, fit.weights) == (1, WEIGHTS)
    larger = msgspec.structs.replace(fit, cache_mib=4)
    beyond = count.layers.beyond_cache_mb
    assert beyond["1"] > beyond["2"] > beyond["4"] > 0
    more = fit.ms_per_mb * WEIGHTS.spill * (beyond["1"] - beyond["4"])
    assert fit.latency_ms(*asked) - larger.latency_ms(*asked) == pytest.approx(more)
    unknown = msgspec.structs.replace(fit, cache_mib=None)
    assert larger.latency_ms(*asked) > unknown.latency_ms(*asked)


def test_int8_on_cores_without_dot_products_has_counts_and_a_fit_of_its_own() -> None:
    """One network takes other kernels on each SoC: every figure lies within the interval of its own SoC."""
    for name, dot_product, truth in (("sd865", True, 11.18), ("sd845", False, 44.12)):
        soc = load_soc(name)
        assert (soc.kernels("int8") is None) is dot_product
        count = known_count("MobileNetV1", Precision.INT8, soc.kernels("int8"))
        assert count is not None
        [one] = estimate(soc, count, [1]).estimates
        assert one.low_ms < truth < one.high_ms
        assert takes_dot_products([soc.part]) is dot_product
        assert (soc.fit(1, precision="int8").precision == "int8") is not dot_product
        other = load_soc("sd845" if dot_product else "sd865")
        with pytest.raises(InputError, match="it was counted with other kernels") as caught:
            estimate(other, count, [1])
        assert f"--soc {other.name} --precision int8 --count" in str(caught.value.hint)
    assert soc.threads("int8") == (1,) and soc.threads() == (1, 2, 4)
    with pytest.raises(
        UsageError, match="estimating int8 for Snapdragon 845 at 4 threads: the model knows 1"
    ):
        soc.fit(4, precision="int8")


def test_int8_networks_left_out_are_foretold_by_the_others() -> None:
    """Nine of ten lie within the interval of the others, over the SoCs without dot products."""
    inside = []
    for name, soc in fit_socs.PAGE.socs.items():
        every = [] if soc.dot_product else fit_socs.points(name, Precision.INT8)
        for one in every:
            fit = fit_weighted(1, [each for each in every if each is not one], None)
            width = prediction_error(fit.leave_one_out_rms, fit.networks - fit.coefficients)
            inside.append(ratio_error(fit.latency_ms(one.millions, one.nb_mb), one.latency_ms) < width)
    assert len(inside) == 20 and sum(inside) >= 17


def test_an_int8_network_that_was_counted_for_other_cores_alone_is_refused(
    tmp_path: Path, run_cli: RunCli
) -> None:
    asked = ["estimate", "PPLCNet_x1_0", "--precision", "int8", "--soc"]
    assert run_cli([*asked, "sd865"], cwd=tmp_path).exit_code == 0
    refused = run_cli([*asked, "sd865,sd845"], cwd=tmp_path)
    assert refused.exit_code == 3
    assert "edgekit estimate PPLCNet_x1_0 --soc sd845 --precision int8 --count" in refused.stderr
    both = run_cli(
        ["estimate", "MobileNetV1", "--precision", "int8", "--soc", "sd865,sd845", "--json"], cwd=tmp_path
    )
    first, second = json.loads(both.stdout)
    assert first["estimates"][0]["latency_ms"] < second["estimates"][0]["latency_ms"] / 3


@pytest.mark.parametrize(
    ("limits", "best"),
    [
        ({"max_ms": 12.0, "threads": 1}, "PPLCNet_x1_0_ssld"),
        ({"min_accuracy": 70.0}, "MobileNetV3_small_x1_25"),
        ({"max_mb": 7.0}, "ShuffleNetV2_x0_5"),
        ({"max_ms": 12.0, "min_accuracy": 75.0}, None),
    ],
)
def test_the_choice_is_the_best_within_the_limits(limits: dict[str, float], best: str | None) -> None:
    choice = edgekit.choose("sd855", **limits)  # type: ignore[arg-type]
    assert choice.best == best
    for one in choice.candidates:
        faster = [other for other in choice.candidates if other.latency_ms < one.latency_ms]
        assert one.front is all(other.accuracy < one.accuracy for other in faster), one.model
        within = one.latency_ms <= limits.get("max_ms", 1e9) and one.accuracy >= limits.get("min_accuracy", 0)
        if one.fits == "yes":
            assert within and (one.nb_mb or 1e9) <= limits.get("max_mb", 1e9)
    figures = {one.model: one for one in choice.candidates}
    assert figures["PPLCNet_x1_0"].latency_is == "published"
    assert figures["PPLCNet_x1_0_ssld"].latency_is == "estimated"


def test_a_limit_within_an_interval_is_said(tmp_path: Path, run_cli: RunCli) -> None:
    done = run_cli(["choose", "--soc", "sd845", "--max-ms", "19.5"], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "PPLCNet_x1_0_ssld's interval reaches beyond the limit" in done.stdout
    assert "perhaps" in done.stdout
    choice = edgekit.choose("sd845", max_ms=19.5)
    assert choice.best == "PPLCNet_x1_0_ssld" != choice.surest
    none = run_cli(["choose", "--max-ms", "0.1"], cwd=tmp_path)
    assert none.exit_code == 9
    assert "no network of at most 0.1 ms" in none.stderr


def test_detectors_are_chosen_by_published_figures() -> None:
    choice = edgekit.choose("sd865", threads=4, precision="fp16", task="detection", max_ms=15)
    assert choice.best == "PicoDet_s_320_LCNet"
    assert {one.latency_is for one in choice.candidates} == {"published"}
    with pytest.raises(InputError, match="no network has a latency"):
        edgekit.choose("sd845", task="segmentation")


def test_measured_figures_and_own_networks_come_first(tmp_path: Path, run_cli: RunCli) -> None:
    save_result(tmp_path / "phone.json", phone(("PPLCNet_x0_5",), 2.0))
    asked = ["choose", "--results", "phone.json", "--also", "PPLCNet_x1_0_doc_ori=99.1", "--json"]
    done = run_cli(asked, cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    figures = {one["model"]: one for one in json.loads(done.stdout)["candidates"]}
    assert figures["PPLCNet_x0_5"]["latency_is"] == "measured"
    assert figures["PPLCNet_x1_0_doc_ori"]["accuracy_is"] == "given"
    assert figures["PPLCNet_x1_0_doc_ori"]["front"]
    emulated = msgspec.structs.replace(phone(("PPLCNet_x0_5",), 2.0))
    target = msgspec.structs.replace(emulated.target, emulated=True)
    save_result(tmp_path / "virtual.json", msgspec.structs.replace(emulated, target=target))
    refused = run_cli(["choose", "--results", "virtual.json"], cwd=tmp_path)
    assert refused.exit_code == 3 and "has no milliseconds" in refused.stderr


@pytest.mark.parametrize("word", ["mine", "mine=much", "mine=170", "=70"])
def test_an_own_network_needs_its_accuracy(tmp_path: Path, run_cli: RunCli, word: str) -> None:
    done = run_cli(["choose", "--also", word], cwd=tmp_path)
    assert done.exit_code == 2 and "NAME=PERCENT" in done.stderr


def measured(soc: str, *networks: str, factor: float) -> list[FitPoint]:
    fit, points = load_soc(soc).fit(1, layers=True), []
    for network in networks:
        count = known_count(network, Precision.FP32)
        assert count is not None
        millions = count.millions["1"]
        ms = factor * fit.latency_ms(millions, count.nb_mb, count.layers)
        points.append(
            FitPoint(
                network=network,
                threads=1,
                millions=millions,
                nb_mb=count.nb_mb,
                layers=count.layers,
                latency_ms=ms,
            )
        )
    return points


def test_one_point_makes_a_soc_as_fast_as_the_phone() -> None:
    """The fits at other numbers of threads follow it."""
    base = load_soc("sd855")
    points = measured("sd855", "PPLCNet_x1_0", factor=1.5)
    adapted = adapt(base, points, name="new", title="New", source="run")
    for threads in (1, 2, 4):
        assert adapted.fit(threads).ms_per_million == pytest.approx(
            1.5 * base.fit(threads).ms_per_million, rel=0.02
        )
    assert (adapted.adapted_from, adapted.fitted_on) == ("sd855", ("PPLCNet_x1_0",))
    count = known_count("PPLCNet_x2_5", Precision.FP32)
    assert count is not None
    [one] = estimate(adapted, count, [1]).estimates
    assert "each left out and adapted by 1 network" in one.interval
    assert one.high_ms > 1.1 * one.latency_ms


def test_three_points_find_the_share_of_the_weights_and_the_nearest_soc() -> None:
    networks = ("MobileNetV3_small_x1_0", "MobileNetV1", "ResNet50")
    points = measured("rk3399", *networks, factor=1.1)
    known = [load_soc(name) for name in shipped_socs()]
    # One network says nothing of the kind of cores, so the usual kind is taken; three speak for an old one.
    usual = {"sd865", "sd845", "sd835", "k990", "k980"}
    assert nearest_soc(known, points[:1]).name in usual
    assert nearest_soc(known, points).name not in usual
    truth = load_soc("rk3399").fit(1, layers=True)
    fit = adapt(load_soc("sd855"), points, name="new", title="New", source="run").fit(1, layers=True)
    for network in networks:
        count = known_count(network, Precision.FP32)
        assert count is not None
        asked = (count.millions["1"], count.nb_mb, count.layers)
        assert fit.latency_ms(*asked) == pytest.approx(1.1 * truth.latency_ms(*asked), rel=0.05)


@pytest.mark.parametrize(
    ("name", "largest"), [("sd865", 0.04), ("sd845", 0.04), ("sd835", 0.06), ("k990", 0.04)]
)
def test_auto_adapts_a_usual_soc_to_a_soc_that_it_has_not_seen(name: str, largest: float) -> None:
    """Every choice of one published network foretells the four others."""
    others = fit_socs.others(load_soc(name), [load_soc(one) for one in shipped_socs()])
    assert max(fit_socs.left_out_errors(others, fit_socs.points(name), 1)) < largest


@pytest.mark.parametrize("old", [True, False])
def test_the_interval_of_an_adapted_model_is_that_of_its_kind_of_cores(old: bool) -> None:
    """Its width is the error that each SoC of the kind has when it is left out."""
    known = [load_soc(name) for name in shipped_socs()]
    kind = [one for one in known if is_old(one.part) is old and one.name != "sd855"]
    errors = [
        error
        for own in kind
        for error in fit_socs.left_out_errors(
            of_kind(fit_socs.others(own, known), own.part), fit_socs.points(own.name), 1
        )
    ]
    assert EXPERIENCE[old].socs == len(kind)
    assert EXPERIENCE[old].rms[1] == pytest.approx(fit_socs.root(errors), abs=2e-4)


OLD, USUAL = "0xd08", "0xd0b"


@pytest.mark.parametrize(
    ("parts", "seen", "socs"),
    [
        ((OLD,), (), 2),
        ((OLD, USUAL), (), 6),
        ((OLD, USUAL), (0,), 2),
        ((OLD, USUAL), (0, 1), 8),
        ((None,), (), 8),
        (("0xfff",), (), 8),
    ],
)
def test_the_cores_of_the_points_say_the_kind(
    parts: tuple[str | None, ...], seen: tuple[int, ...], socs: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The cores that the processes ran on; where nobody saw them, the fastest."""
    clusters = tuple(
        Cluster(cores=(core,), max_frequency_khz=1000 * (core + 1), part=part)
        for core, part in enumerate(parts)
    )
    result = phone(("PPLCNet_x1_0",), 2.0, clusters=clusters)
    [point] = result.points
    [run] = point.processes
    point = msgspec.structs.replace(point, processes=(msgspec.structs.replace(run, cores_seen=seen),))
    model = adapt_results([msgspec.structs.replace(result, points=(point,))], "mine", "auto")
    assert {one.networks for one in model.unfitted} == {socs}
    assert model.adapted_from is not None
    assert (model.adapted_from in ("sd625", "rk3399")) is (socs == 2)
    assert ("measure a small and a large network" in caplog.text) is (socs == 2)


def test_a_phone_is_adapted_to_from_results(tmp_path: Path, run_cli: RunCli) -> None:
    save_result(tmp_path / "one.json", phone(("PPLCNet_x1_0",), 2.0))
    adapt_ = ["estimate", "--adapt", "sd855", "one.json", "-o", "mine.toml"]
    done = run_cli(adapt_, cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    shown = run_cli(["estimate", "PPLCNet_x2_0", "--soc", "mine.toml,sd855"], cwd=tmp_path)
    assert shown.exit_code == 0, shown.stderr
    assert "adapted from sd855 by PPLCNet_x1_0" in shown.stdout
    four = ("PPLCNet_x0_25", "PPLCNet_x0_5", "PPLCNet_x1_0", "PPLCNet_x2_5")
    save_result(tmp_path / "four.json", phone(four, 2.0))
    for arguments, said in (
        (["four.json", "-o", "x.toml"], "--fit RESULT -o FILE.toml"),
        (["one.json"], "and -o FILE.toml"),
        (["-o", "x.toml"], "takes one or more RESULT files"),
    ):
        refused = run_cli(["estimate", "--adapt", "sd855", *arguments], cwd=tmp_path)
        assert refused.exit_code in (2, 3) and said in refused.stderr, refused.stderr
    assert not (tmp_path / "x.toml").exists()


def test_several_socs_make_one_table(tmp_path: Path, run_cli: RunCli) -> None:
    asked = ["estimate", "PPLCNet_x1_0", "--soc", "sd865,rk3399", "--threads", "1"]
    shown = run_cli(asked, cwd=tmp_path)
    assert shown.exit_code == 0, shown.stderr
    assert "Snapdragon 865" in shown.stdout and "RK3399" in shown.stdout
    documents = json.loads(run_cli([*asked, "--json"], cwd=tmp_path).stdout)
    assert [one["soc"] for one in documents] == ["sd865", "rk3399"]
    unknown = run_cli(["estimate", "PPLCNet_x1_0", "--soc", "sd86"], cwd=tmp_path)
    assert unknown.exit_code == 2 and "did you mean sd865 or " in unknown.stderr
    assert find_model("PPLCNet_x1_0").name == documents[0]["model"]


def test_the_page_has_the_choice_its_limit_and_every_candidate(run_cli: RunCli, tmp_path: Path) -> None:
    words = ["choose", "--soc", "sd845", "--html", "choice.html"]
    done = run_cli([*words, "--max-ms", "30", "--json"], cwd=tmp_path)
    assert (done.exit_code, done.stderr) == (0, "choice.html written\n")
    choice = json.loads(done.stdout)
    page = (tmp_path / "choice.html").read_text(encoding="utf-8")
    answer = page[page.index("</h1>") : page.index("<h2>")].replace("<wbr>", "")
    assert choice["best"] in answer and "at most 30 ms" in answer
    assert page.count('class="limit"') == 1
    assert page.count("<title>") - 1 == len(choice["candidates"]) == page.count('<th scope="row">')
    # Without a network that fits the page says so, and the command ends with 9.
    done = run_cli([*words, "--max-ms", "1"], cwd=tmp_path)
    assert done.exit_code == 9
    assert "No network of at most 1 ms" in (tmp_path / "choice.html").read_text(encoding="utf-8")
    assert run_cli([*words, "--list-socs"], cwd=tmp_path).exit_code == 2


def test_a_hosts_latency_is_no_phones(tmp_path: Path, run_cli: RunCli) -> None:
    save_result(tmp_path / "host.json", phone(("PPLCNet_x1_0",), 2.0, transport="local", serial="host"))
    done = run_cli(["choose", "--results", "host.json"], cwd=tmp_path)
    assert (done.exit_code, done.stdout) == (3, "")
    assert "measured on a host (SM1), no device" in done.stderr


def test_the_hint_of_a_limit_that_nothing_meets_keeps_what_was_asked(tmp_path: Path, run_cli: RunCli) -> None:
    done = run_cli(["choose", "--soc", "sd865", "--precision", "int8", "--max-ms", "0.01"], cwd=tmp_path)
    assert done.exit_code == 9
    assert (
        "edgekit choose --soc sd865 --threads 1 --precision int8 --task classification --all" in done.stderr
    )


def test_the_command_that_counts_estimates_for_the_soc_that_was_asked(
    tmp_path: Path, run_cli: RunCli
) -> None:
    name = "SwinTransformer_base_patch4_window7_224"  # of too many instructions to be counted
    done = run_cli(["estimate", name, "--soc", "sd845"], cwd=tmp_path)
    assert done.exit_code == 3
    assert f"edgekit estimate {name} --soc sd845 --precision fp32 --count" in done.stderr


def test_a_network_at_threads_that_the_base_does_not_know_counts_for_nothing() -> None:
    [one], [other] = measured("sd865", "PPLCNet_x1_0", factor=1.5), measured("sd865", "ResNet50", factor=1.5)
    points = [one, msgspec.structs.replace(other, threads=4)]
    adapted = adapt(load_soc("sd865"), points, name="new", title="New", source="run")
    assert adapted.fitted_on == ("PPLCNet_x1_0",)
    assert {each.rms for each in adapted.unfitted} == {EXPERIENCE[None].rms[1]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--adapt", "sd855", "r.json", "-o", "m.toml", "--json"], "RESULT files and -o alone"),
        (["--adapt", "sd855", "r.json", "-o", "m.toml", "--threads", "1"], "RESULT files and -o alone"),
        (["--fit", "r.json", "-o", "m.toml", "--soc", "sd845"], "leave one of them out"),
        (["--fit", "r.json", "-o", "m.toml", "--json"], "give a NAME too"),
    ],
)
def test_options_that_would_be_ignored_are_refused(run_inside: RunCli, words: list[str], said: str) -> None:
    done = run_inside("estimate", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_wrong_precision_is_named() -> None:
    with pytest.raises(UsageError, match="precision='fp8'"):
        edgekit.choose("sd855", precision="fp8")
