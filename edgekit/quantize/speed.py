"""How fast int8 is beside float: benched like any model, in fresh processes that take turns."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgekit.bench.bench import bench
from edgekit.core.bench_options import BenchOptions
from edgekit.core.measurement import Point, Status, Verdict
from edgekit.core.spec import Precision
from edgekit.errors import RunnerError
from edgekit.judge.intervals import (
    Interval,
    compared_latencies,
    latency_interval,
    paired_interval,
    process_medians,
)
from edgekit.targets.target import HostTarget, Subject

PROCESSES = 5
REPEATS, MIN_S, MAX_S = 50, 0.5, 10.0


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies of batch 1 at one thread, with their intervals over processes.

    Attributes:
        float_ns, int8_ns: Median latency of the typical process, ns.
        ratio: Float's latency over int8's in processes that followed each other; below 1 int8 is slower.
        doubts: Why the figures may not be believed, with the remedy.
        points: The measured points, float first, as a result file has them: samples, circumstances, verdicts.
    """

    float_ns: Interval
    int8_ns: Interval
    ratio: Interval
    doubts: tuple[str, ...]
    points: tuple[Point, Point]


def measure_speed(target: HostTarget, subject: Subject, engine: str, work: Path) -> Speed:
    """Bench the float and the int8 artifact of an engine.

    Args:
        subject: Has both artifacts in its directory.
        work: A directory for the result file, which is left there.

    Raises:
        RunnerError: A point failed.
    """
    options = BenchOptions(
        host=True,
        engines=(engine,),
        precisions=(Precision.FP32, Precision.INT8),
        processes=PROCESSES,
        repeats=REPEATS,
        min_s=MIN_S,
        max_s=MAX_S,
        output=str(work / f"{engine}.json"),
    )
    outcome = bench(target, [subject], options, show=lambda _: None)
    if outcome.interrupted:
        raise KeyboardInterrupt
    as_float, as_int8 = outcome.result.points
    return Speed(
        float_ns=latency_of(as_float),
        int8_ns=latency_of(as_int8),
        ratio=float_over_int8(as_float, as_int8),
        doubts=tuple(
            f"{point.precision.value}: {reason}"
            for point in (as_float, as_int8)
            if point.verdict is not Verdict.VALID
            for reason in point.reasons
        ),
        points=(as_float, as_int8),
    )


def float_over_int8(as_float: Point, as_int8: Point) -> Interval:
    """The ratio of lower quartiles of processes that followed each other."""
    pairs = zip(compared_latencies(as_float), compared_latencies(as_int8), strict=True)
    interval = paired_interval([one / other for one, other in pairs])
    assert interval is not None, "there are several processes"
    return interval


def latency_of(point: Point) -> Interval:
    """Latency of the typical process, ns. Raises RunnerError for a point that was not measured."""
    interval = latency_interval(process_medians(point)) if point.status is Status.DONE else None
    if interval is None:
        said = point.error.message if point.error else point.status.value
        raise RunnerError(
            f"timing {point.model} at {point.precision.value} on {point.engine}: {said}",
            hint=point.error.hint if point.error else None,
        )
    return interval
