"""The bar of `export` of several models and of `bench`; the lines of `predict` and `eval`."""

from __future__ import annotations

import re
import time

import pytest

from edgekit.bench.sweep import Progress, describe
from edgekit.cli import progress
from edgekit.cli.commands.bench import LastFigures
from edgekit.cli.progress import counting_bar


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_narrow_terminal_cuts_the_description_alone(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    label = "onnxruntime on PPLCNet_x1_0_doc_ori (fp32, 1 thread, batch 1)"
    step = Progress(done=3, total=30, label=label, latency_ns=3_412_000)
    assert describe(step) == f"[3/30] {label}: 3.41 ms"
    bar = counting_bar()
    task = bar.add_task(describe(step, counted=False), completed=step.done, total=step.total)
    with bar.console.capture() as shown:
        bar.console.print(bar.get_renderable())
    [line] = shown.get().splitlines()
    assert "━" in line and " 3/30 -:--:-- left 3.41 ms  onnxr" in line
    assert (label in line) == (width == 200) and ("…" in line) == (width < 200)
    bar.update(task, completed=5)
    with bar.console.capture() as shown:
        bar.console.print(bar.get_renderable())
    assert re.search(r" 5/30 \d:\d\d:\d\d left 3\.41", shown.get())


def test_a_points_last_figure_stays_while_its_next_turn_runs() -> None:
    figures = LastFigures()
    start, other = (Progress(done=1, total=4, label=label) for label in ("a", "b"))
    assert figures.onto(start) == start
    ended = Progress(done=2, total=4, label="a", latency_ns=5.0)
    assert figures.onto(ended) == ended
    assert figures.onto(other) == other
    assert figures.onto(start).latency_ns == 5.0


def test_pictures_are_told_with_their_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_INTERVAL_S", 0.0)
    shown = progress.PicturesProgress()
    shown(100, 400)  # an earlier command's pictures have no rate
    time.sleep(0.1)
    shown(120, 400)
    shown(400, 400)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "100 of 400 pictures"
    found = re.fullmatch(r"120 of 400 pictures, (\d+) a second", second)
    assert found and 0 < int(found[1]) <= 200
    assert shown.done == 400
