"""How often does a comparison of equal results raise an alarm, and how often is a slowdown found?

Four rules judge sweeps of 56 points whose processes differ by a normal standard deviation on logarithms, at a
threshold of 3 %:

- each: what `decide` says of each point alone
- low: the interval lies above 1 + threshold
- holm: what `compare` does: as `each`, and Holm's p-value against equal latencies is at most 5 %
- holm 1+t: Holm's p-value against a slowdown by the threshold is at most 5 %

The first table of figures is the share of sweeps of equal points with an alarm, the others the share of one
slower point among equal ones that is found. They are those of docs/validity.md:

    .venv/bin/python scripts/simulate_gate.py
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from edgekit.judge.gate import (
    DEFAULT_THRESHOLD,
    FALSE_ALARMS,
    Chances,
    Change,
    decide,
    family_chances,
    holm,
)
from edgekit.judge.intervals import Interval, welch_bounds, welch_chance

SWEEPS = 500
POINTS = 56
SEED = 856
NOISES = (0.01, 0.02, 0.03, 0.06)
COUNTS = (5, 10)
SLOWDOWNS = (0.0, 0.05, 0.1, 0.2)
RULES = ("each", "low", "holm", "holm 1+t")


def alarms(noise: float, count: int, slowdown: float, *, sweeps: int = SWEEPS) -> dict[str, float]:
    """Share of sweeps with an alarm by each rule; with a slowdown, of sweeps that find the slower point.

    Args:
        noise: Standard deviation between processes, on logarithms.
        count: Processes of each point and side.
        slowdown: Of the first point; the others are equal.
    """
    rng = np.random.default_rng([SEED, round(noise * 1000), count, round(slowdown * 1000)])
    old, new = (rng.normal(0, noise, (sweeps, POINTS, count)) for _ in range(2))
    new[:, 0] += math.log1p(slowdown)
    lows, highs = welch_bounds(old, new)
    slower, faster = welch_chance(old, new), welch_chance(new, old)
    beyond = welch_chance(old, new - math.log1p(DEFAULT_THRESHOLD))
    judged = range(1 if slowdown else POINTS)
    found = dict.fromkeys(RULES, 0)
    for sweep in range(sweeps):
        family = family_chances(
            [Chances(slower=a, faster=b) for a, b in zip(slower[sweep], faster[sweep], strict=True)]
        )
        against_threshold = holm([float(chance) for chance in beyond[sweep]])
        told: dict[str, list[bool]] = {rule: [] for rule in RULES}
        for point in judged:
            low, high = float(lows[sweep, point]), float(highs[sweep, point])
            ratio = Interval(estimate=math.exp((low + high) / 2), low=math.exp(low), high=math.exp(high))
            told["each"].append(decide(ratio, None, DEFAULT_THRESHOLD)[0] is Change.SLOWER)
            told["low"].append(ratio.low > 1 + DEFAULT_THRESHOLD)
            told["holm"].append(decide(ratio, None, DEFAULT_THRESHOLD, family[point])[0] is Change.SLOWER)
            told["holm 1+t"].append(against_threshold[point] <= FALSE_ALARMS)
        for rule in RULES:
            found[rule] += any(told[rule])
    return {rule: number / sweeps for rule, number in found.items()}


def table() -> Iterator[str]:
    yield f"| noise | processes | slowdown | {' | '.join(RULES)} |"
    yield "|---|---|---|" + "---:|" * len(RULES)
    for noise in NOISES:
        for count in COUNTS:
            for slowdown in SLOWDOWNS:
                shares = alarms(noise, count, slowdown)
                cells = " | ".join(f"{shares[rule]:.1%}" for rule in RULES)
                yield f"| {noise:.0%} | {count} | {f'{slowdown:.0%}' if slowdown else 'none'} | {cells} |"


if __name__ == "__main__":
    print("\n".join(table()))
