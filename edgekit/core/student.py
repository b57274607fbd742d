"""Student's t, without scipy: its import takes longer than most commands that need one quantile."""

from __future__ import annotations

import math
from functools import cache

# Halvings of the angle, after which a float no longer changes.
HALVINGS = 60


@cache
def student_quantile(level: float, freedom: int) -> float:
    """Return the multiple of the standard error within which Student's t lies with probability `level`.

    Args:
        level: Two-sided probability, more than 0 and less than 1.
        freedom: Degrees of freedom, at least 1.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _within(middle, freedom) < level:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _within(angle: float, freedom: int) -> float:
    """Return the probability that |t| is at most `sqrt(freedom) * tan(angle)`.

    M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    odd = freedom % 2
    square = math.cos(angle) ** 2
    # Terms of the finite series: a power of the cosine with its quotient of products.
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for number in range(1 + odd, freedom, 2):
        total += term
        term *= square * number / (number + 1)
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total
