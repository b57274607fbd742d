"""`estimate --adapt`: a known SoC's model, adapted to a new phone by the points of one to three networks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from edgekit.errors import InputError
from edgekit.estimate.soc_model import Fit, FitPoint, SocModel, Unfitted

MOST_NETWORKS = 3
# Standard deviations of logarithms: of a measured latency about the model, of the weights' share
# (`ms_per_mb / ms_per_million`) between SoCs, and of the speed of SoCs that are taken for alike; of 12
# combinations, that of the least error by scripts/fit_socs.py.
NOISE = 0.05
SHARE_SPREAD = 1.0
SPEED_SPREAD = 0.2
# Bounds of the search for the share's logarithm; its steps end within 1e-9 of the best.
MOST_SHARE = 8.0
SECTIONS = 50
GOLDEN = (math.sqrt(5) - 1) / 2
# Root of the mean square of the logarithm of truth over estimate, by the number of networks measured:
# scripts/fit_socs.py, each published SoC left out in turn.
RMS = {1: 0.1022, 2: 0.0672, 3: 0.0499}
SOCS_LEFT_OUT = 7


class _Shift(msgspec.Struct, frozen=True, kw_only=True):
    """Logarithms of the factors of speed and of the weights' share, and what they cost in squares."""

    speed: float
    share: float
    cost: float

    def of(self, fit: Fit) -> Fit:
        factor = math.exp(self.speed)
        return msgspec.structs.replace(
            fit,
            ms_per_million=fit.ms_per_million * factor,
            ms_per_mb=fit.ms_per_mb * factor * math.exp(self.share),
        )


def adapt(base: SocModel, measured: Sequence[FitPoint], *, name: str, title: str, source: str) -> SocModel:
    """Return the model of a new phone: the base's, made as fast as the phone.

    One network says the speed alone. With more, the share of reading the weights follows them as far as it
    differs between SoCs. Numbers of threads that were not measured take the mean factors of those that were.

    Args:
        base: The model of a similar SoC.
        measured: Points of the phone, float.
        name: Name of the new model.
        title: Name of the phone.
        source: Where the points come from.

    Raises:
        InputError: There are more than three networks, or no point at the base's numbers of threads.
    """
    networks = tuple(dict.fromkeys(point.network for point in measured))
    shifts = _shifts(base, measured)
    if not shifts:
        threads = ",".join(str(fit.threads) for fit in base.fits)
        raise InputError(
            f"adapting the model of {base.title}: no usable point at {threads} threads of a network whose "
            "instructions are known",
            hint=f"edgekit bench PPLCNet_x0_5 --device SERIAL --threads {threads}",
        )
    if len(networks) > MOST_NETWORKS:
        raise InputError(
            f"adapting the model of {base.title} to {len(networks)} networks: so many make a model "
            "of their own",
            hint="edgekit estimate --fit RESULT -o FILE.toml",
        )
    mean = _Shift(
        speed=math.fsum(one.speed for one in shifts.values()) / len(shifts),
        share=math.fsum(one.share for one in shifts.values()) / len(shifts),
        cost=0.0,
    )
    return msgspec.structs.replace(
        base,
        name=name,
        title=title,
        adapted_from=base.name,
        source=f"{source}; adapted from {base.title}: {base.source}",
        fitted_on=networks,
        fits=tuple(shifts.get(fit.threads, mean).of(fit) for fit in base.fits),
        unfitted=tuple(
            Unfitted(precision="fp32", threads=fit.threads, rms=RMS[len(networks)], networks=SOCS_LEFT_OUT)
            for fit in base.fits
        ),
    )


def nearest_soc(models: Sequence[SocModel], measured: Sequence[FitPoint]) -> SocModel:
    """Return the model that needs the least change to meet the points: in speed for one network, and in the
    order of networks for more.
    """

    def cost(model: SocModel) -> float:
        shifts = _shifts(model, measured)
        return math.fsum(one.cost for one in shifts.values()) / len(shifts) if shifts else math.inf

    return min(models, key=cost)


def _shifts(base: SocModel, measured: Sequence[FitPoint]) -> dict[int, _Shift]:
    """Return the change of each fit that has measured points, by the number of threads."""
    by_threads = {
        fit.threads: (fit, [point for point in measured if point.threads == fit.threads]) for fit in base.fits
    }
    return {threads: _shift(fit, points) for threads, (fit, points) in by_threads.items() if points}


def _shift(fit: Fit, points: Sequence[FitPoint]) -> _Shift:
    """Return the most likely change of the two factors."""

    def logs(share: float) -> list[float]:
        """Logarithms of measured over estimated, with the base's speed."""
        changed = _Shift(speed=0.0, share=share, cost=0.0).of(fit)
        return [
            math.log(point.latency_ms / changed.latency_ms(point.millions, point.nb_mb)) for point in points
        ]

    def at(share: float) -> _Shift:
        """Return the change with this share; the speed is a sum of logarithms, so its best is their mean."""
        off = logs(share)
        speed = math.fsum(off) / len(off)
        squares = math.fsum(((one - speed) / NOISE) ** 2 for one in off) + (share / SHARE_SPREAD) ** 2
        return _Shift(speed=speed, share=share, cost=squares)

    # A search by the golden section.
    low, high = -MOST_SHARE, MOST_SHARE
    for _ in range(SECTIONS):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        if at(left).cost <= at(right).cost:
            high = right
        else:
            low = left
    found = at((low + high) / 2)
    return msgspec.structs.replace(found, cost=found.cost + (found.speed / SPEED_SPREAD) ** 2)
