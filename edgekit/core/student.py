"""Student's t, without scipy: it is 143 MB large, and its import takes longer than most commands."""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist

# Newton's steps from the normal quantile, far more than it takes: the last ones double the right digits each.
NEWTON_STEPS = 100
RELATIVE = 1e-13
# Terms of the continued fraction; large degrees of freedom need about their root.
TERMS = 2000
_TINY = 1e-300


@cache
def student_quantile(level: float, freedom: float) -> float:
    """Return the multiple of the standard error within which Student's t lies with probability `level`.

    Args:
        level: Two-sided probability, more than 0 and less than 1.
        freedom: Degrees of freedom, at least 1.
    """
    # The probability is concave in t, so from below Newton's steps never go past the quantile.
    found = NormalDist().inv_cdf((1 + level) / 2)
    scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(freedom * math.pi) / 2
    for _ in range(NEWTON_STEPS):
        density = 2 * math.exp(scale - (freedom + 1) / 2 * math.log1p(found**2 / freedom))
        step = (student_outside(found, freedom) - (1 - level)) / density
        found += step
        if step <= RELATIVE * found:
            break
    return found


def student_outside(t: float, freedom: float) -> float:
    """Return the probability that |Student's t| is at least |t|.

    Args:
        t: A multiple of the standard error.
        freedom: Degrees of freedom, at least 1, not necessarily whole.
    """
    square = t * t
    if not math.isfinite(square):
        return 0.0
    return _beta(freedom / (freedom + square), square / (freedom + square), freedom / 2, 0.5)


def _beta(x: float, rest: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b); `rest` is 1 - x, without cancellation.

    NIST Digital Library of Mathematical Functions, 8.17.22, by Lentz's method.
    """
    if x <= 0 or rest <= 0:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _beta(rest, x, b, a)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    value, c, d = _TINY, _TINY, 0.0
    for number in range(TERMS):
        half = number // 2
        if number == 0:
            term = 1.0
        elif number % 2 == 0:
            term = half * (b - half) * x / ((a + number - 1) * (a + number))
        else:
            term = -(a + half) * (a + b + half) * x / ((a + number - 1) * (a + number))
        d = 1 / (1 + term * d or _TINY)
        c = 1 + term / c or _TINY
        value *= c * d
        if number and abs(c * d - 1) < RELATIVE / 100:
            break
    return math.exp(front) / a * value
