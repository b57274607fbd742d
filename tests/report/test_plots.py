"""What the plots over all points draw: which dots, which front, which names."""

from __future__ import annotations

import re

from edgekit.core.measurement import Point, Verdict
from edgekit.report.canvas import FAINT, Plot
from edgekit.report.plots import accuracy_plot
from edgekit.report.rows import result_rows
from tests.measure.points import point, process, result, samples

# In the order of their published Top-1.
MODELS = ("PPLCNet_x0_25", "PPLCNet_x0_5", "PPLCNet_x1_0", "PPLCNet_x2_0")


def timed(model: str, ms: float, **changes: object) -> Point:
    return point(process(samples(ms)), **{"model": model, "verdict": Verdict.VALID, **changes})


def front(plot: Plot) -> int:
    """How many dots the dashed line joins."""
    (line,) = re.findall(rf'<path d="([^"]*)"[^>]*stroke-dasharray[^>]*{FAINT}', plot.svg)
    return len(re.findall("[ML]", line))


def test_only_valid_points_decide_what_no_other_beats() -> None:
    points = [timed(model, ms) for model, ms in zip(MODELS, (1, 2, 3, 4), strict=True)]
    plot = accuracy_plot(result_rows([result(*points)]))
    assert plot is not None
    assert front(plot) == 4
    fast = timed("PPLCNet_x2_5", 0.5, verdict=Verdict.UNSTABLE)
    plot = accuracy_plot(result_rows([result(*points, fast)]))
    assert plot is not None
    assert front(plot) == 4
