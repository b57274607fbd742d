"""Intervals of latencies. The process is the unit: its samples agree with each other better than with those
of another process, so a bootstrap over samples calls noise significant."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from edgekit.core.measurement import Point
from edgekit.core.stats import median, percentile

CONFIDENCE = 0.95
# What ratios are taken of: other work only adds time, and the quarter of samples below has the least of it.
# Seen beside each other on noisy machines, it varies by a seventh to a third less than the median.
COMPARED_PERCENTILE = 25
# Left out at each end of the processes' values; what is left of three is the median.
TRIMMED = 1 / 3
RESAMPLES = 2000
SEED = 855


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
    """The lower quartile of each process of a point, ns: what ratios are taken of."""
    return [percentile(run.samples_ns, COMPARED_PERCENTILE) for run in point.processes if run.samples_ns]


def latency_interval(processes: Sequence[float]) -> Interval | None:
    """The typical process's median latency; None with fewer than two processes.

    Args:
        processes: The median of each process, any unit.
    """
    if len(processes) < 2:
        return None
    import numpy

    return _interval([processes], numpy.median)


def paired_interval(ratios: Sequence[float]) -> Interval | None:
    """The typical one of ratios whose two sides were measured side by side; None with fewer than two."""
    return _interval([ratios], _trimmed_mean) if len(ratios) > 1 else None


def ratio_interval(old: Sequence[float], new: Sequence[float]) -> Interval | None:
    """New over old, of processes that were measured apart; None with fewer than two on either side."""
    # A ratio of nothing is none, whatever clock or hand wrote it.
    sides = [[value for value in side if value > 0] for side in (old, new)]
    return _interval(sides, _trimmed_mean) if min(map(len, sides)) > 1 else None


def _trimmed_mean(rows: Any, axis: int = 0) -> Any:
    """Robust as a median, and of a tenth to a fifth less variance where values are normal."""
    from scipy.stats import trim_mean

    return trim_mean(rows, TRIMMED, axis=axis)


def _interval(sides: Sequence[Sequence[float]], statistic: Callable[..., Any]) -> Interval:
    """Of one side's statistic, or of the second's over the first's: a percentile bootstrap, by scipy."""
    import numpy
    from scipy.stats import bootstrap

    logs = [numpy.log(numpy.asarray(side, dtype=float)) for side in sides]

    def difference(*rows: Any, axis: int = 0) -> Any:
        values = [statistic(row, axis=axis) for row in rows]
        return values[-1] - values[0] if len(values) > 1 else values[0]

    drawn = bootstrap(
        logs,
        difference,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=numpy.random.default_rng(SEED),
        vectorized=True,
    ).confidence_interval
    counts = [len(side) for side in sides]
    return _widened(float(difference(*logs)), drawn.low, drawn.high, counts)


def _widened(estimate: float, low: float, high: float, counts: Sequence[int]) -> Interval:
    """Out of logarithms, with the bootstrap's too narrow intervals of few units mended.

    A bootstrap divides by n where n - 1 is right, and uses the normal's quantile where Student's is
    (Hesterberg, "What Teachers Should Know About the Bootstrap", 2015, section 3.1).
    """
    from scipy.stats import norm, t

    tail = (1 + CONFIDENCE) / 2
    freedom, fewest = sum(counts) - len(counts), min(counts)
    factor = float(t.ppf(tail, freedom) / norm.ppf(tail)) * math.sqrt(fewest / (fewest - 1))
    return Interval(
        estimate=math.exp(estimate),
        low=math.exp(estimate + min(0.0, low - estimate) * factor),
        high=math.exp(estimate + max(0.0, high - estimate) * factor),
    )
