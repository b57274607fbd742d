"""Student's quantile beside scipy's."""

from __future__ import annotations

import pytest
from scipy.stats import t

from edgekit.core.student import student_quantile


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 8, 11, 30, 999])
def test_quantile_is_scipys(freedom: int) -> None:
    for level in (0.01, 0.5, 0.9, 0.95, 0.9999):
        assert student_quantile(level, freedom) == pytest.approx(t.ppf((1 + level) / 2, freedom), rel=1e-10)
