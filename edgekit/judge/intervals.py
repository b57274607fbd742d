"""Intervals of latencies and of their ratios, on logarithms, with the process as the unit.

Samples of one process agree with each other better than with those of another process, so an interval over
samples calls noise significant. scripts/simulate_coverage.py measures how often they hold the truth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit.core.measurement import Point
from edgekit.core.stats import median, percentile
from edgekit.core.student import student_outside, student_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIDENCE = 0.95
# Ratios are taken of this percentile of each process: other work only adds time, and the fastest quarter of
# samples has the least of it. On noisy machines it varies by a seventh to a third less than the median.
COMPARED_PERCENTILE = 25
# Share of the processes left out at each end (K. K. Yuen, The two-sample trimmed t for unequal population
# variances, Biometrika 61, 1974), and the fewest processes at which that pays: with one outlier in ten it
# halves the interval at eight processes, and costs a tenth of it without outliers; at five it costs a third.
TRIMMED = 0.2
TRIMMED_FROM = 8


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """An estimate with its 95 % interval."""

    estimate: float
    low: float
    high: float

    @property
    def relative_half_width(self) -> float:
        return (self.high - self.low) / 2 / self.estimate if self.estimate else math.inf

    def is_within(self, threshold: float) -> bool:
        """Whether a ratio lies within the threshold of 1 in either direction, interval and all."""
        return self.low >= 1 / (1 + threshold) and self.high <= 1 + threshold


def process_medians(point: Point) -> list[float]:
    """The median of each process of a point, ns: the unit of every interval."""
    return [median(run.samples_ns) for run in point.processes if run.samples_ns]


def compared_latencies(point: Point) -> list[float]:
    """Lower quartile of each process of a point, ns. Ratios are taken of these."""
    return [percentile(run.samples_ns, COMPARED_PERCENTILE) for run in point.processes if run.samples_ns]


def latency_interval(processes: Sequence[float]) -> Interval | None:
    """Latency of the typical process, by Student's t; None with fewer than two processes.

    Args:
        processes: The median of each process, any unit.
    """
    return paired_interval(processes)


def latency_intervals(points: Sequence[Sequence[float]]) -> list[Interval | None]:
    """Latency intervals of many points, as `latency_interval` gives one: one computation for each count.

    Args:
        points: The median of each process of each point, any unit.
    """
    import numpy

    found: list[Interval | None] = [None] * len(points)
    logs = [_logarithms(processes) for processes in points]
    for count in {len(one) for one in logs} - {0, 1}:
        numbers = [number for number, one in enumerate(logs) if len(one) == count]
        bounds = student_bounds(numpy.array([logs[number] for number in numbers]))
        for number, low, high in zip(numbers, *bounds, strict=True):
            found[number] = _exponential(low, high)
    return found


def paired_interval(ratios: Sequence[float]) -> Interval | None:
    """Typical ratio of sides that were measured side by side, by Student's t; None with fewer than two."""
    logs = _logarithms(ratios)
    return _exponential(*student_bounds(logs)) if len(logs) > 1 else None


def ratio_interval(old: Sequence[float], new: Sequence[float]) -> Interval | None:
    """New over old, of processes that were measured apart, by Welch's t.

    Values of 0 are left out. None with fewer than two values on either side.
    """
    sides = _logarithms(old), _logarithms(new)
    return _exponential(*welch_bounds(*sides)) if min(map(len, sides)) > 1 else None


def chance_of_more(old: Sequence[float], new: Sequence[float], bound: float) -> float:
    """One-sided p-value of new over old against the hypothesis that it is at most `bound`.

    Args:
        old, new: A value of each process, at least two on a side.
        bound: A ratio, greater than 0.
    """
    return float(welch_chance(_logarithms(old), _logarithms(new) - math.log(bound)))


def student_bounds(logs: NDArray[Any]) -> tuple[Any, Any]:
    """Ends of Student's interval of the mean, or of the trimmed mean where there are processes enough.

    J. W. Tukey and D. H. McLaughlin, Less vulnerable confidence and significance procedures for location
    based on a single sample, Sankhya A 25 (1963). scipy's `trimmed_mean_ci` takes the asked share for the
    share left out, which at eight values is a fifth too wide.

    Args:
        logs: float64[..., processes], at least two.
    """
    import numpy

    count = logs.shape[-1]
    ends = int(_trimmed(logs) * count)
    kept = count - 2 * ends
    ordered = numpy.sort(logs, axis=-1)
    limits = ordered[..., ends, None], ordered[..., count - 1 - ends, None]
    spread = numpy.clip(ordered, *limits).std(axis=-1, ddof=1)
    error = spread * math.sqrt((count - 1) / (kept * (kept - 1)))
    middle = ordered[..., ends : count - ends].mean(axis=-1)
    half = student_quantile(CONFIDENCE, kept - 1) * error
    return middle - half, middle + half


def welch_bounds(old: NDArray[Any], new: NDArray[Any]) -> tuple[Any, Any]:
    """Ends of Welch's interval of new less old, trimmed where there are processes enough.

    Args:
        old, new: float64[..., processes], logarithms, at least two processes each.
    """
    import numpy

    middle, error, freedom = _welch(old, new)
    half = numpy.vectorize(student_quantile, otypes=[float])(CONFIDENCE, freedom) * error
    # Without any spread the interval is the estimate.
    alone = numpy.median(new, axis=-1) - numpy.median(old, axis=-1)
    still = error == 0
    return numpy.where(still, alone, middle - half), numpy.where(still, alone, middle + half)


def welch_chance(old: NDArray[Any], new: NDArray[Any]) -> Any:
    """One-sided p-value of Welch's test that new exceeds old; arguments: see `welch_bounds`."""
    import numpy

    middle, error, freedom = _welch(old, new)
    still = error == 0
    multiple = middle / numpy.where(still, 1.0, error)
    tail = numpy.vectorize(student_outside, otypes=[float])(multiple, freedom) / 2
    # Without any spread the middle ones decide.
    alone = numpy.where(numpy.median(new, axis=-1) > numpy.median(old, axis=-1), 0.0, 1.0)
    return numpy.where(still, alone, numpy.where(multiple > 0, tail, 1 - tail))


def _logarithms(values: Sequence[float]) -> NDArray[Any]:
    import numpy

    # A ratio of nothing is none, whatever clock or hand wrote it.
    return numpy.log([value for value in values if value > 0])


def _trimmed(*sides: NDArray[Any]) -> float:
    """Share to leave out at each end, by the number of processes on the smaller side."""
    return TRIMMED if min(side.shape[-1] for side in sides) >= TRIMMED_FROM else 0.0


def _welch(old: NDArray[Any], new: NDArray[Any]) -> tuple[Any, Any, Any]:
    """Difference of the trimmed means, its standard error, and Welch's degrees of freedom.

    K. K. Yuen, The two-sample trimmed t for unequal population variances, Biometrika 61 (1974).
    """
    import numpy

    means, squares, freedoms = [], [], []
    for side in (old, new):
        count = side.shape[-1]
        ends = int(_trimmed(old, new) * count)
        kept = count - 2 * ends
        ordered = numpy.sort(side, axis=-1)
        limits = ordered[..., ends, None], ordered[..., count - 1 - ends, None]
        spread = numpy.clip(ordered, *limits).var(axis=-1) * count / (kept - 1)
        means.append(ordered[..., ends : count - ends].mean(axis=-1))
        squares.append(spread / kept)
        freedoms.append(kept - 1)
    whole = squares[0] + squares[1]
    parts = sum(square**2 / freedom for square, freedom in zip(squares, freedoms, strict=True))
    still = parts == 0
    freedom = numpy.where(still, 1.0, whole**2 / numpy.where(still, 1.0, parts))
    return means[1] - means[0], numpy.sqrt(whole), freedom


def _exponential(low: float, high: float) -> Interval:
    """Out of logarithms, in which the estimate is the middle of its interval."""
    return Interval(estimate=math.exp((low + high) / 2), low=math.exp(low), high=math.exp(high))
