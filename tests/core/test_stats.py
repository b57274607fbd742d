from __future__ import annotations

import random

import numpy as np
import pytest

from edgekit.core import stats, units


@pytest.mark.parametrize("count", [1, 2, 3, 10, 101])
def test_agrees_with_numpy(count: int) -> None:
    rng = random.Random(count)
    samples = [rng.uniform(1, 100) for _ in range(count)]
    assert stats.median(samples) == pytest.approx(np.median(samples))
    for rank in (10, 50, 90, 99):
        assert stats.percentile(samples, rank) == pytest.approx(np.percentile(samples, rank))


def test_no_samples_is_an_error() -> None:
    with pytest.raises(ValueError):
        stats.median([])
    with pytest.raises(ValueError):
        stats.percentile([], 50)


def test_spread_ignores_one_outlier() -> None:
    quiet = [100.0 + i % 3 for i in range(100)]
    assert stats.relative_spread([*quiet, 100_000.0]) < 0.02


def test_units() -> None:
    assert units.format_ms(2_304_999) == "2.30"
    assert units.format_bytes(999) == "999 B"
    assert units.format_bytes(9_600) == "9.6 kB"
    assert units.format_bytes(12_345_678) == "12.3 MB"
    assert units.format_count(58_577_000) == "58.58 M"
    assert units.format_count(950) == "950"


def test_the_front_is_what_no_other_point_beats_in_both() -> None:
    assert stats.pareto_front([(1, 5), (1, 4), (2, 5), (3, 7), (4, 6)]) == [True, False, False, True, False]
    assert stats.pareto_front([]) == []
