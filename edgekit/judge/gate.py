"""The gate over many points: which of them have become slower or faster, and how sure that is."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import msgspec

from edgekit.core.measurement import Point
from edgekit.judge.intervals import Interval, chance_of_more, compared_latencies

DEFAULT_THRESHOLD = 0.03
# Comparisons of equal results in which any point is called slower; as many again call one faster.
FALSE_ALARMS = 0.05


class Change(enum.Enum):
    """Verdict on one point of a comparison."""

    SLOWER = "slower"
    FASTER = "faster"
    SAME = "same"
    TOO_NOISY = "too noisy to tell"


class Chances(msgspec.Struct, frozen=True, kw_only=True):
    """P-values of one point."""

    slower: float
    faster: float


def chances(old: Point, new: Point, machine: Interval | None) -> Chances | None:
    """P-values of a slowdown and of a gain beyond the machine's own; None with fewer than two processes."""
    sides = [[value for value in compared_latencies(point) if value > 0] for point in (old, new)]
    if min(map(len, sides)) < 2:
        return None
    drift = machine_drift(machine)
    slower = chance_of_more(sides[0], sides[1], max(1.0, drift))
    faster = chance_of_more(sides[1], sides[0], max(1.0, 1 / drift))
    return Chances(slower=slower, faster=faster)


def family_chances(chances: Sequence[Chances | None]) -> list[Chances | None]:
    """Holm's p-values over all points, slowdowns and gains each a family of their own."""
    known = [one for one in chances if one is not None]
    slower, faster = holm([one.slower for one in known]), holm([one.faster for one in known])
    made = iter([Chances(slower=a, faster=b) for a, b in zip(slower, faster, strict=True)])
    return [None if one is None else next(made) for one in chances]


def holm(chances: Sequence[float]) -> list[float]:
    """P-values adjusted for their number, so that a limit on them bounds the chance of any false one.

    S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6
    (1979). It assumes nothing of how the points depend on each other.
    """
    adjusted, highest = [1.0] * len(chances), 0.0
    for rank, index in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        highest = max(highest, min(1.0, (len(chances) - rank) * chances[index]))
        adjusted[index] = highest
    return adjusted


def machine_drift(machine: Interval | None) -> float:
    """The machine's own change; 1 where the fixed workload's interval cannot tell it from none."""
    return 1.0 if machine is None or machine.low <= 1 <= machine.high else machine.estimate


def decide(
    ratio: Interval | None, machine: Interval | None, threshold: float, chances: Chances | None = None
) -> tuple[Change, str]:
    """Slower or faster only where the interval and, with the machine's drift taken out, the ratio say so.

    Args:
        ratio: New over old.
        machine: New over old of the fixed workload.
        threshold: The change that counts.
        chances: Holm's p-values over all points; None where the point is judged alone.

    Returns:
        The change, and why in words.
    """
    if ratio is None:
        return Change.TOO_NOISY, "fewer than two processes on a side: --processes 5"
    drift = machine_drift(machine)
    slower = _judge_up(ratio, drift, threshold)
    faster = _judge_up(_inverse(ratio), 1 / drift, threshold)
    known = chances or Chances(slower=0.0, faster=0.0)
    for told, change, chance in (
        (slower, Change.SLOWER, known.slower),
        (faster, Change.FASTER, known.faster),
    ):
        if told is not Change.SLOWER:
            continue
        if chance <= FALSE_ALARMS:
            return change, f"{ratio.estimate - 1:+.1%}"
        return Change.TOO_NOISY, (
            f"{ratio.estimate - 1:+.1%}, which one of so many points shows by chance "
            f"(p = {chance:.2f}): more --processes"
        )
    if Change.TOO_NOISY not in (slower, faster):
        return Change.SAME, f"{ratio.estimate - 1:+.1%}, within {threshold:.1%}"
    if abs(drift - 1) > threshold / 2:
        return Change.TOO_NOISY, f"the machine itself changed by {drift - 1:+.1%}"
    return Change.TOO_NOISY, f"the interval is ±{ratio.relative_half_width:.1%}: more --processes"


def reconcile(quartiles: tuple[Change, str], medians: tuple[Change, str]) -> tuple[Change, str]:
    """Verdict of the lower quartiles, unless only the medians, which people read, show a change.

    A point that is slower in most inferences and not in the fastest quarter is not noisy, but may be slowed
    down by other work that came and went.
    """
    told = {Change.SLOWER, Change.FASTER}
    if medians[0] not in told or quartiles[0] in (medians[0], Change.TOO_NOISY):
        return quartiles
    return Change.TOO_NOISY, f"the lower quartile changed by {quartiles[1]}; the median by {medians[1]}"


def _inverse(ratio: Interval) -> Interval:
    return Interval(estimate=1 / ratio.estimate, low=1 / ratio.high, high=1 / ratio.low)


def _judge_up(ratio: Interval, drift: float, threshold: float) -> Change:
    """SLOWER, SAME or TOO_NOISY, looking upwards only."""
    # The model's own share: whichever of the raw and the corrected ratio says less.
    low = min(ratio.low, ratio.low / drift)
    estimate = min(ratio.estimate, ratio.estimate / drift)
    if low > 1 and estimate > 1 + threshold:
        return Change.SLOWER
    high = max(ratio.high, ratio.high / drift)
    return Change.SAME if high <= 1 + threshold else Change.TOO_NOISY
