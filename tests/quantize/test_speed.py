"""The speed of int8 beside float: the process is the unit."""

from __future__ import annotations

import pytest

from edgekit.core.measurement import Status
from edgekit.errors import RunnerError
from edgekit.quantize.speed import float_over_int8, latency_of
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


def test_a_point_that_failed_has_no_latency() -> None:
    with pytest.raises(RunnerError, match="timing PPLCNet_x1_0 at fp32 on onnxruntime: failed"):
        latency_of(point(status=Status.FAILED))
