"""No two points that differ are called the same, and nothing is drawn that no machine measured."""

from __future__ import annotations

import msgspec
import pytest

from edgekit.core.bench_options import PowerMode
from edgekit.core.device import Gpu
from edgekit.core.measurement import Point, Result, Status, Verdict
from edgekit.core.spec import Precision
from edgekit.report.html import as_html
from edgekit.report.names import point_names
from edgekit.report.plots import accuracy_plot, scaling_plots
from edgekit.report.rows import result_rows
from tests.points import point, process, result, samples
from tests.report.test_html import Page

FAST = {"serial": "A1", "transport": "adb", "soc": "SM8150"}
SLOW = {"serial": "B2", "transport": "adb", "soc": "SM4350"}


def timed(ms: float, **changes: object) -> Point:
    return point(process(samples(ms)), **{"engine": "paddlelite", "verdict": Verdict.VALID, **changes})


def phones() -> list[Result]:
    return [
        result(timed(10), timed(6, requested_threads=2), run_id="a", **FAST),
        result(timed(100), timed(80, requested_threads=2), run_id="b", **SLOW),
    ]


def test_two_phones_are_two_series() -> None:
    rows = result_rows(phones())
    accuracy, ((scaling,), _) = accuracy_plot(rows), scaling_plots(rows)
    assert accuracy is not None
    assert [entry.text for entry in accuracy.legend] == [
        "paddlelite fp32, A1, SM8150, 1 thread",
        "paddlelite fp32, A1, SM8150, 2 threads",
        "paddlelite fp32, B2, SM4350, 1 thread",
        "paddlelite fp32, B2, SM4350, 2 threads",
    ]
    assert [entry.text for entry in scaling.legend] == [
        "PPLCNet_x1_0, paddlelite fp32, A1, SM8150",
        "PPLCNet_x1_0, paddlelite fp32, B2, SM4350",
    ]


def test_verdicts_and_samples_say_whose_they_are() -> None:
    results = phones()
    text = as_html(results, result_rows(results), published=False)
    for section in ("samples", "verdicts"):
        words = Page(text[text.index(f'id="{section}"') :].partition("</section>")[0]).words
        for phone in ("A1, SM8150", "B2, SM4350"):
            assert words.count(f"PPLCNet_x1_0, paddlelite fp32, {phone}, 1 thread, bs1") >= 1


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        (({}, {"batch_size": 4}), ["1 thread, bs1", "1 thread, bs4"]),
        (
            ({"power_mode": PowerMode.HIGH}, {"power_mode": PowerMode.LOW}),
            ["power mode HIGH, 1 thread, bs1", "power mode LOW, 1 thread, bs1"],
        ),
        (({"requested_cores": "0-3"}, {}), ["cores 0-3, 1 thread, bs1", "1 thread, bs1"]),
    ],
)
def test_points_of_one_machine_are_told_apart(
    changes: tuple[dict[str, object], ...], names: list[str]
) -> None:
    rows = result_rows([result(*(timed(3, **one) for one in changes))])
    assert point_names(rows) == [f"PPLCNet_x1_0, paddlelite fp32, {name}" for name in names]


def test_what_did_not_run_on_a_gpu_is_no_other_machine() -> None:
    gpu = Gpu(name="Invented GPU", uuid="GPU-0", compute_capability="7.0", cuda_version="12.4")
    ran = timed(1, engine="paddle-gpu", gpu=gpu)
    skipped = point(engine="paddle-gpu", precision=Precision.INT8, status=Status.SKIPPED)
    assert point_names(result_rows([result(ran, skipped)])) == [
        "PPLCNet_x1_0, paddle-gpu fp32, 1 thread, bs1",
        "PPLCNet_x1_0, paddle-gpu int8, 1 thread, bs1",
    ]


def test_versions_and_runs_are_named_where_they_differ() -> None:
    old, new = timed(3, engine_version="2.13"), timed(3, engine_version="2.14")
    first = result(old, run_id="a")
    again = msgspec.structs.replace(first, run_id="b", started_at="2026-11-24T09:30:00.000+00:00")
    assert point_names(result_rows([first])) == ["PPLCNet_x1_0, paddlelite fp32, 1 thread, bs1"]
    assert point_names(result_rows([first, result(new)])) == [
        "PPLCNet_x1_0, paddlelite 2.13 fp32, 1 thread, bs1",
        "PPLCNet_x1_0, paddlelite 2.14 fp32, 1 thread, bs1",
    ]
    assert point_names(result_rows([first, again])) == [
        "PPLCNet_x1_0, paddlelite fp32, 1 thread, bs1 (2026-11-23T12:00)",
        "PPLCNet_x1_0, paddlelite fp32, 1 thread, bs1 (2026-11-24T09:30)",
    ]
