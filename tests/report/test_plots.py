"""Plots over all points: their dots, their front, their names."""

from __future__ import annotations

import re

import msgspec

from edgekit.core.measurement import Point, Result, Verdict
from edgekit.report.canvas import FAINT, Plot, round_ticks
from edgekit.report.html import as_html
from edgekit.report.plots import accuracy_plot, accuracy_plots, scaling_plots
from edgekit.report.rows import result_rows
from tests.points import point, process, result, samples

# In the order of their published Top-1.
MODELS = ("PPLCNet_x0_25", "PPLCNet_x0_5", "PPLCNet_x1_0", "PPLCNet_x2_0")


def timed(model: str, ms: float, **changes: object) -> Point:
    return point(process(samples(ms)), **{"model": model, "verdict": Verdict.VALID, **changes})


def front(plot: Plot) -> int:
    """How many dots the dashed line joins."""
    (line,) = re.findall(rf'<path d="([^"]*)"[^>]*{FAINT}[^>]*stroke-dasharray', plot.svg)
    return len(re.findall("[ML]", line))


def hollow(plot: Plot) -> int:
    """How many dots have no filling."""
    return len(re.findall(r'<path class="dot"[^>]*fill="none"', plot.svg))


def test_only_valid_points_decide_what_no_other_beats() -> None:
    points = [timed(model, ms) for model, ms in zip(MODELS, (1, 2, 3, 4), strict=True)]
    plot = accuracy_plot(result_rows([result(*points)]))
    assert plot is not None
    assert front(plot) == 4
    fast = timed("PPLCNet_x2_5", 0.5, verdict=Verdict.UNSTABLE)
    plot = accuracy_plot(result_rows([result(*points, fast)]))
    assert plot is not None
    assert front(plot) == 4
    assert hollow(plot) == 1


def test_each_task_has_a_plot_of_its_figure() -> None:
    models = ("PPLCNet_x1_0", "PicoDet_LCNet_x1_0_320", "DeepLabV3P_PPLCNet_x1_0")
    points = [timed(model, 3, artifact=None) for model in models]
    plots = accuracy_plots(result_rows([result(*points)]))
    assert [plot.title[16:] for plot in plots] == ["accuracy", "mAP", "mIoU"]
    for plot, name, model in zip(plots, ("Top-1", "mAP", "mIoU"), models, strict=True):
        assert f">published {name}, %<" in plot.svg
        assert f"<title>{model}, onnxruntime fp32, 1 thread: 3.00 ms, {name} " in plot.svg


def test_ticks_are_round_figures_within_the_ends() -> None:
    assert list(round_ticks(0.391, 0.441, 4).values()) == ["0.40", "0.42", "0.44"]
    assert list(round_ticks(49, 74, 6).values()) == ["50", "55", "60", "65", "70"]
    assert list(round_ticks(1, 2, 4).values()) == ["1.00", "1.25", "1.50", "1.75", "2.00"]
    assert list(round_ticks(1e-7, 1.1e-6, 4)) == [2.5e-7, 5e-7, 7.5e-7, 1e-6]


def test_thread_scaling_is_hollow_where_a_verdict_is_not_valid() -> None:
    points = [timed("PPLCNet_x1_0", 4), timed("PPLCNet_x1_0", 2, requested_threads=2)]
    for verdict, count in ((Verdict.VALID, 0), (Verdict.UNSTABLE, 1)):
        last = timed("PPLCNet_x1_0", 1, requested_threads=4, verdict=verdict)
        (plot,), _ = scaling_plots(result_rows([result(*points, last)]))
        assert hollow(plot) == count


ZOO = (*MODELS, "PPLCNet_x0_35", "PPLCNet_x0_75", "PPLCNet_x1_5", "PPLCNet_x2_5")
ENGINES = ("paddle", "onnxruntime", "openvino", "paddlelite")


def sweep(*, count: int = 64, verdict: Verdict = Verdict.VALID) -> Result:
    """Eight models by four engines by two thread counts, `count` samples a point."""
    return result(*(
        point(
            process(samples((model + 1) * (engine + 2) / threads**0.7, count=count)),
            model=ZOO[model], engine=ENGINES[engine], requested_threads=threads, effective_threads=threads,
            verdict=verdict,
        )
        for engine in range(4) for model in range(8) for threads in (1, 2)
    ))  # fmt: skip


def test_a_sweep_is_shown_whole() -> None:
    rows = result_rows([sweep()])
    accuracy, (scaling, _) = accuracy_plot(rows), scaling_plots(rows)
    assert accuracy is not None
    assert len(accuracy.legend) == 8
    named = re.findall("<text[^>]*>(PPLCNet[^<]*)</text>", accuracy.svg)
    unnamed = accuracy.text.partition("Without room for their names: ")[2].rstrip(".").split(", ")
    assert len(named) >= 7
    assert sorted(filter(None, [*named, *unnamed])) == sorted(ZOO)
    assert [plot.title for plot in scaling] == [f"Thread scaling, {engine} fp32" for engine in ENGINES]
    assert all([entry.text for entry in plot.legend] == list(ZOO) for plot in scaling)
    page = as_html([sweep()], rows, published=False)
    assert page.count("<figure>") == 1 + 4 + 64
    assert "name fewer files" not in page


def test_models_without_room_for_their_names_are_listed() -> None:
    longest = [timed(model, 3 + number / 1000) for number, model in enumerate(ZOO * 2)]
    crowded = [msgspec.structs.replace(row, top1=70 + number / 1000, model=f"{row.model}_{number:050}")
               for number, row in enumerate(result_rows([result(*longest)]))]  # fmt: skip
    plot = accuracy_plot(crowded)
    assert plot is not None
    unnamed = plot.text.partition("Without room for their names: ")[2]
    assert unnamed
    assert all((f">{row.model}</text>" in plot.svg) != (row.model in unnamed) for row in crowded)


def test_a_page_of_many_files_is_small_and_shows_the_doubtful_first() -> None:
    many = [msgspec.structs.replace(sweep(count=400), run_id=f"run-{number}") for number in range(10)]
    doubtful = msgspec.structs.replace(sweep(verdict=Verdict.UNSTABLE), run_id="doubtful")
    results = [*many, msgspec.structs.replace(doubtful, points=doubtful.points[:5])]
    page = as_html(results, result_rows(results), published=True)
    shown = page[page.index('id="samples"') : page.index('id="tables"')]
    assert len(page) < 3_000_000
    assert re.findall(r"Verdict: (\w+)\.</figcaption>", shown) == 5 * ["unstable"] + 7 * ["valid"]
    assert f"{10 * 64 + 5 - 12} more points do not fit on this page" in shown


def test_of_many_machines_some_have_their_scaling_drawn() -> None:
    results = [result(timed("PPLCNet_x1_0", 2), timed("PPLCNet_x1_0", 1, requested_threads=2),
                      soc=f"Invented CPU {number}") for number in range(20)]  # fmt: skip
    page = as_html(results, result_rows(results), published=False)
    assert page.count("<h3>Thread scaling") == 16
    assert "4 more plots of thread scaling" in page
