"""Intervals of latencies. The process is the unit: its samples agree with each other better than with those
of another process, so a bootstrap over samples calls noise significant."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from edgekit.core.measurement import Point
from edgekit.core.stats import median

CONFIDENCE = 0.95
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


def process_medians(point: Point) -> list[float]:
    """The median of each process of a point, ns: the unit of every interval."""
    return [median(run.samples_ns) for run in point.processes if run.samples_ns]


def latency_interval(processes: Sequence[float]) -> Interval | None:
    """The typical process's median latency; None with fewer than two processes.

    Args:
        processes: The median of each process, any unit.
    """
    if len(processes) < 2:
        return None
    import numpy

    logs = numpy.log(numpy.asarray(processes, dtype=float))
    low, high = _bootstrap([logs], lambda rows: rows[0])
    return _widened(math.log(median(processes)), low, high, len(processes))


def ratio_interval(old: Sequence[float], new: Sequence[float]) -> Interval | None:
    """New over old, of processes that were measured apart; None with fewer than two on either side."""
    if min(len(old), len(new)) < 2:
        return None
    import numpy

    sides = [numpy.log(numpy.asarray(side, dtype=float)) for side in (old, new)]
    low, high = _bootstrap(sides, lambda rows: rows[1] - rows[0])
    return _widened(math.log(median(new) / median(old)), low, high, min(len(old), len(new)))


def _bootstrap(sides: list, combine) -> tuple[float, float]:  # type: ignore[no-untyped-def,type-arg]
    """Percentile bootstrap of medians, by scipy."""
    import numpy
    from scipy.stats import bootstrap

    drawn = bootstrap(
        sides,
        lambda *rows, axis: combine([numpy.median(row, axis=axis) for row in rows]),
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=numpy.random.default_rng(SEED),
        vectorized=True,
    ).confidence_interval
    return float(drawn.low), float(drawn.high)


def _widened(estimate: float, low: float, high: float, count: int) -> Interval:
    """Out of logarithms, with the bootstrap's too narrow intervals of few units mended.

    A bootstrap divides by n where n - 1 is right, and uses the normal's quantile where Student's is
    (Hesterberg, "What Teachers Should Know About the Bootstrap", 2015, section 3.1).
    """
    from scipy.stats import norm, t

    tail = (1 + CONFIDENCE) / 2
    factor = float(t.ppf(tail, count - 1) / norm.ppf(tail)) * math.sqrt(count / (count - 1))
    return Interval(
        estimate=math.exp(estimate),
        low=math.exp(estimate + min(0.0, low - estimate) * factor),
        high=math.exp(estimate + max(0.0, high - estimate) * factor),
    )
