"""Intervals: they hold the truth as often as they say, and outliers do not make them useless."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit.judge.intervals import (
    chance_of_more,
    latency_interval,
    paired_interval,
    ratio_interval,
    welch_bounds,
    welch_chance,
)
from scripts.simulate_coverage import COUNTS, INTERVALS, coverage


@pytest.mark.parametrize("machine", ["clean", "outliers", "drifting"])
@pytest.mark.parametrize("interval", INTERVALS)
def test_the_interval_holds_the_truth_as_often_as_it_says(interval: str, machine: str) -> None:
    shares = {count: coverage(interval, machine, count, trials=3000)[0] for count in COUNTS}
    assert all(0.93 <= share <= 0.98 for share in shares.values()), shares


def test_one_process_has_no_interval() -> None:
    assert paired_interval([1.0]) is None
    assert latency_interval([3.0]) is None
    assert ratio_interval([3.0], [3.0, 3.1]) is None
    assert ratio_interval([3.0, 0.0], [3.0, 3.1]) is None


def test_the_interval_of_three_processes_is_students() -> None:
    """Logarithms 0, 1 and 2: standard deviation 1, Student's quantile of two degrees of freedom 4.3027."""
    interval = latency_interval([1.0, 2.718281828, 7.389056099])
    assert interval is not None
    assert interval.estimate == pytest.approx(2.718281828)
    assert interval.high / interval.estimate == pytest.approx(2.718281828 ** (4.302653 / 3**0.5))


@pytest.mark.parametrize("outliers", [1, 2])
def test_outliers_on_a_side_of_ten_hardly_widen_the_interval(outliers: int) -> None:
    """Without trimming it would be three times as wide."""
    quiet = [3.0 * (1 + 0.01 * ((7 * index) % 10 - 4.5)) for index in range(10)]
    slow = [*quiet[: 10 - outliers], *[4.5] * outliers]
    alone, beside = ratio_interval(quiet, quiet), ratio_interval(quiet, slow)
    assert alone is not None and beside is not None
    assert beside.relative_half_width < 1.3 * alone.relative_half_width


def test_equal_values_have_an_interval_of_no_width() -> None:
    interval = ratio_interval([3.0] * 3, [3.3] * 3)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((1.1, 1.1))
    assert chance_of_more([3.0] * 3, [3.3] * 3, 1.0) == 0
    assert chance_of_more([3.0] * 3, [3.3] * 3, 1.2) == 1


def test_the_chance_agrees_with_the_interval() -> None:
    """A truth at the lower end of a two-sided 95 % interval leaves 2.5 % above it."""
    old, new = [3.0, 3.05, 2.96, 3.01], [3.2, 3.31, 3.18, 3.25]
    interval = ratio_interval(old, new)
    assert interval is not None
    assert chance_of_more(old, new, interval.low) == pytest.approx(0.025)


@pytest.mark.parametrize(("olds", "news"), [(2, 3), (5, 5), (8, 9), (30, 12)])
def test_welch_is_scipys(olds: int, news: int) -> None:
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(olds)
    old, new = rng.normal(0, 0.1, (20, olds)), rng.normal(0.05, 0.3, (20, news))
    options: dict[str, Any] = {"axis": -1, "equal_var": False, "trim": 0.2 if min(olds, news) >= 8 else 0.0}
    bounds = ttest_ind(new, old, **options).confidence_interval(0.95)
    np.testing.assert_allclose(welch_bounds(old, new), bounds, rtol=1e-9)
    chance = ttest_ind(new, old, alternative="greater", **options).pvalue
    np.testing.assert_allclose(welch_chance(old, new), chance, rtol=1e-9)
