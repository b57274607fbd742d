"""How often do 95 % intervals hold the truth, and how wide are they?

Values of processes are drawn 20,000 times on three machines: clean (normal on logarithms, standard deviation
3 %), outliers (one process in ten is 10 to 20 % slower besides) and drifting (3 % slower from a file's first
process to its last, in both files alike; the two sides of a pair drift together). A fourth machine wanders:
each process adds a random step of 1 % to all later ones, which no interval of one file can know of.
The table is the one of docs/validity.md:

    .venv/bin/python scripts/simulate_coverage.py
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgekit.judge.intervals import student_bounds, welch_bounds

Array = NDArray[np.float64]

TRIALS = 20_000
SEED = 855
NOISE = 0.03
OUTLIER_SHARE = 0.1
OUTLIER = (0.1, 0.2)
DRIFT = 0.03
STEP = 0.01
MACHINES = ("clean", "outliers", "drifting", "wandering")
COUNTS = (3, 5, 8, 12)
INTERVALS = ("latency", "ratio", "paired")


def draw(rng: np.random.Generator, machine: str, trials: int, count: int) -> Array:
    """Logarithms of a file's latencies over the typical one's: float64[trials, processes]."""
    logs = rng.normal(0, NOISE, (trials, count))
    if machine == "outliers":
        slower = np.log1p(rng.uniform(*OUTLIER, logs.shape))
        logs += np.where(rng.random(logs.shape) < OUTLIER_SHARE, slower, 0)
    return logs + course(rng, machine, trials, count)


def course(rng: np.random.Generator, machine: str, trials: int, count: int) -> Array:
    """Logarithms of the machine's own slowness while the processes run one after the other."""
    if machine == "drifting":
        return np.broadcast_to(np.linspace(-DRIFT / 2, DRIFT / 2, count), (trials, count))
    if machine == "wandering":
        return np.cumsum(rng.normal(0, STEP, (trials, count)), axis=1)
    return np.zeros((trials, count))


def bounds(
    rng: np.random.Generator, interval: str, machine: str, trials: int, count: int
) -> tuple[Array, Array]:
    """Ends of intervals whose truth is 0."""
    if interval == "latency":
        return student_bounds(draw(rng, machine, trials, count))
    if interval == "ratio":
        return welch_bounds(*(draw(rng, machine, trials, count) for _ in range(2)))
    # What the machine does, it does to both sides of a pair.
    alone = "outliers" if machine == "outliers" else "clean"
    one, two = (draw(rng, alone, trials, count) for _ in range(2))
    return student_bounds(two - one)


def coverage(interval: str, machine: str, count: int, *, trials: int = TRIALS) -> tuple[float, float]:
    """Share of intervals that hold the truth, and their median half-width, relative."""
    rng = np.random.default_rng([SEED, INTERVALS.index(interval), MACHINES.index(machine), count])
    low, high = bounds(rng, interval, machine, trials, count)
    return float(np.mean((low <= 0) & (high >= 0))), float(np.median(np.expm1((high - low) / 2)))


def table() -> Iterator[str]:
    yield "| interval | machine | " + " | ".join(f"{count} processes" for count in COUNTS) + " |"
    yield "|---|---|" + "---:|" * len(COUNTS)
    for interval in INTERVALS:
        for machine in MACHINES:
            found = [coverage(interval, machine, count) for count in COUNTS]
            cells = [f"{share:.1%}, ±{width:.1%}" for share, width in found]
            yield f"| {interval} | {machine} | {' | '.join(cells)} |"


if __name__ == "__main__":
    print("\n".join(table()))
