"""Statistics of samples, computed when shown and never stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol


class Rising(Protocol):
    """What a list and an array have in common."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


# Samples that a percentile needs before it may be shown: MLPerf's early stopping at confidence 0.99.
SAMPLES_FOR_PERCENTILE = {50: 11, 90: 64, 95: 130, 99: 662}


def median(samples: Sequence[float]) -> float:
    """The middle sample, or the mean of the two middle ones."""
    ordered = sorted(samples)
    if not ordered:
        raise ValueError("median of no samples")
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return float(ordered[middle])
    return (ordered[middle - 1] + ordered[middle]) / 2


def percentile(samples: Sequence[float], rank: float) -> float:
    """The `rank`th percentile by linear interpolation, as numpy's default."""
    ordered = sorted(samples)
    if not ordered:
        raise ValueError("percentile of no samples")
    return rising_percentile(ordered, rank)


def rising_percentile(rising: Rising, rank: float) -> float:
    """The same of one sample or more that rise already, in a list or an array."""
    position = (len(rising) - 1) * rank / 100
    low = math.floor(position)
    here, there = float(rising[low]), float(rising[min(low + 1, len(rising) - 1)])
    return here + (there - here) * (position - low)


def supported_percentile(samples: Sequence[float], rank: int) -> float | None:
    """The percentile, or None where there are too few samples to show it honestly."""
    if len(samples) < SAMPLES_FOR_PERCENTILE[rank]:
        return None
    return percentile(samples, rank)


def mean(samples: Sequence[float]) -> float:
    return math.fsum(samples) / len(samples)


def relative_spread(samples: Sequence[float]) -> float:
    """Half the distance between the 10th and 90th percentile, over the median (robust to outliers)."""
    middle = median(samples)
    return (percentile(samples, 90) - percentile(samples, 10)) / 2 / middle if middle else 0.0


def geometric_mean(values: Sequence[float]) -> float:
    return math.exp(math.fsum(math.log(value) for value in values) / len(values))
