"""The speed of int8 beside float: the process is the unit."""

from __future__ import annotations

import pytest

from edgekit.cli.commands.quantize import describe_speed
from edgekit.core.measurement import Status
from edgekit.errors import RunnerError
from edgekit.judge.intervals import Interval
from edgekit.quantize.speed import Speed, float_over_int8, latency_of
from tests.points import point, process, samples


def test_what_the_machine_does_to_both_of_a_turn_is_not_the_ratio() -> None:
    """It slows down by half from the first turn to the last; int8 takes half of float's time throughout."""
    speeds = [1.0, 1.1, 1.2, 1.4, 1.5]
    as_float = point(*[process(samples(6.0 * speed, seed=1)) for speed in speeds])
    as_int8 = point(*[process(samples(3.0 * speed, seed=2)) for speed in speeds])
    ratio = float_over_int8(as_float, as_int8)
    assert ratio.estimate == pytest.approx(2.0, rel=0.01)
    assert ratio.relative_half_width < 0.01
    assert latency_of(as_float).relative_half_width > 0.15


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.37, 0.41, "SLOWER than float here, 0.39 times the speed [0.37, 0.41]"),
        (0.35, 1.02, "0.39 times the speed [0.35, 1.02]"),
    ],
)
def test_int8_is_told_slower_only_where_the_interval_says_so(low: float, high: float, words: str) -> None:
    latency = point(process(samples(3.0)))
    speed = Speed(
        float_ns=Interval(estimate=2.38e6, low=2.3e6, high=2.4e6),
        int8_ns=Interval(estimate=6.17e6, low=6.1e6, high=6.2e6),
        ratio=Interval(estimate=0.39, low=low, high=high),
        doubts=(),
        points=(latency, latency),
    )
    assert describe_speed(speed) == f"; 6.17 ms against float's 2.38 ms: {words}"


def test_a_point_that_failed_has_no_latency() -> None:
    with pytest.raises(RunnerError, match="timing PPLCNet_x1_0 at fp32 on onnxruntime: failed"):
        latency_of(point(status=Status.FAILED))
