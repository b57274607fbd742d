"""Student's t beside scipy's."""

from __future__ import annotations

import pytest
from scipy.stats import t

from edgekit.core.student import student_outside, student_quantile


@pytest.mark.parametrize("freedom", [1, 1.001, 1.5, 2, 3, 3.7, 4, 5, 8, 11, 11.99, 30, 57.3, 999, 12345.6])
def test_quantile_is_scipys(freedom: float) -> None:
    for level in (0.01, 0.5, 0.9, 0.95, 0.9999):
        assert student_quantile(level, freedom) == pytest.approx(t.ppf((1 + level) / 2, freedom), rel=1e-10)


@pytest.mark.parametrize("freedom", [1, 1.3, 4, 9.5, 120.7, 1e4])
def test_chance_is_scipys(freedom: float) -> None:
    for value in (0.0, 1e-9, 0.3, -1.0, 2.5, 40.0, 1e5):
        expected = 2 * t.sf(abs(value), freedom)
        assert student_outside(value, freedom) == pytest.approx(expected, rel=1e-9, abs=1e-300)
    assert student_outside(float("inf"), freedom) == 0
