"""Accuracy over a labelled list, with the intervals that say how much of it is chance."""

from __future__ import annotations

import math

import msgspec

# Two-sided 95 % of the normal distribution.
Z_95 = 1.959964


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A share of trials with its 95 % interval by Wilson's score method.

    Attributes:
        hits: Trials that succeeded.
        trials: Number of trials.
        share: hits / trials, 0 to 1.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    hits: int
    trials: int
    share: float
    low: float
    high: float


def wilson(hits: int, trials: int) -> Share:
    """Return the share of hits with its interval.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    if not 0 <= hits <= trials or trials < 1:
        raise ValueError(f"{hits} hits of {trials} trials")
    share, z2 = hits / trials, Z_95 * Z_95
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z_95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Share(
        hits=hits,
        trials=trials,
        share=share,
        low=0.0 if hits == 0 else low,
        high=1.0 if hits == trials else high,
    )


class Drop(msgspec.Struct, frozen=True, kw_only=True):
    """Drop of a share below a reference's share on the same trials, with its 95 % interval.

    Attributes:
        lost: Number of trials that only the reference got right.
        gained: Number of trials that only the judged model got right.
        drop: (lost - gained) / trials; negative where the judged model is better.
        low: Lower end of the interval of the drop.
        high: Upper end of the interval of the drop.
    """

    lost: int
    gained: int
    trials: int
    drop: float
    low: float
    high: float


def paired_drop(lost: int, gained: int, trials: int) -> Drop:
    """Return the difference of two paired shares, with half a trial added to each of the four cells.

    A. Agresti and Y. Min, Simple improved confidence intervals for comparing matched proportions,
    Statistics in Medicine 24 (2005): this interval is honest where nothing was lost or gained, Wald's is not.
    """
    if trials < 1 or lost < 0 or gained < 0 or lost + gained > trials:
        raise ValueError(f"{lost} lost and {gained} gained of {trials} trials")
    total, b, c = trials + 2, lost + 0.5, gained + 0.5
    centre = (b - c) / total
    half = Z_95 * math.sqrt(b + c - (b - c) ** 2 / total) / total
    drop = (lost - gained) / trials
    return Drop(
        lost=lost, gained=gained, trials=trials, drop=drop,
        low=max(-1.0, min(drop, centre - half)), high=min(1.0, max(drop, centre + half)),
    )  # fmt: skip
