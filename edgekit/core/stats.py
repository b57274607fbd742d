"""Statistics of samples, computed for display and never stored."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any, Protocol


class Rising(Protocol):
    """List or array of samples sorted ascending."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


# Number of samples that a percentile needs to be shown: MLPerf's early stopping at confidence 0.99.
SAMPLES_FOR_PERCENTILE = {50: 11, 90: 64, 95: 130, 99: 662}


def pareto_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Return for each point whether no other is as cheap and worth more; of equal points the first one is.

    Args:
        points: Cost and worth of each point, ascending by cost; of equal costs the most worth comes first.
    """
    best, found = -math.inf, []
    for _, worth in points:
        found.append(worth > best)
        best = max(best, worth)
    return found


def median(samples: Sequence[float]) -> float:
    """Return the median of at least one sample. Raises ValueError without samples."""
    return float(statistics.median(samples))


def percentile(samples: Sequence[float], rank: float) -> float:
    """Return the `rank`th percentile by linear interpolation, numpy's default."""
    ordered = sorted(samples)
    if not ordered:
        raise ValueError("percentile of no samples")
    return rising_percentile(ordered, rank)


def rising_percentile(rising: Rising, rank: float) -> float:
    """Return the `rank`th percentile, by linear interpolation, of at least one sample sorted ascending."""
    position = (len(rising) - 1) * rank / 100
    low = math.floor(position)
    here, there = float(rising[low]), float(rising[min(low + 1, len(rising) - 1)])
    return here + (there - here) * (position - low)


def relative_spread(samples: Sequence[float]) -> float:
    """Return half the distance between the 10th and 90th percentile, over the median (robust to outliers)."""
    middle = median(samples)
    return (percentile(samples, 90) - percentile(samples, 10)) / 2 / middle if middle else 0.0
