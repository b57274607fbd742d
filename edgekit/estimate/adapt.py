"""`estimate --adapt`: a known SoC's model, adapted to a new phone by the points of one to three networks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from edgekit.errors import InputError
from edgekit.estimate.cores import is_old
from edgekit.estimate.least_squares import FitPoint
from edgekit.estimate.soc_model import Fit, SocModel, Unfitted

MOST_NETWORKS = 3
# Standard deviations of logarithms: of a measured latency about the model, and of the weights' share
# (`ms_per_mb / ms_per_million`) between SoCs, which holds both a model's share and the choice of a model; of
# several combinations, that of the least error by scripts/fit_socs.py.
NOISE = 0.03
SHARE_SPREAD = 1.0
# Bounds of the search for the share's logarithm; its steps end within 1e-9 of the best.
MOST_SHARE = 8.0
SECTIONS = 50
GOLDEN = (math.sqrt(5) - 1) / 2


class Experience(msgspec.Struct, frozen=True, kw_only=True):
    """How well SoCs that were left out were met: scripts/fit_socs.py.

    Attributes:
        socs: How many were left out in turn.
        rms: Root of the mean square of the logarithm of truth over estimate, by the number of networks
            measured.
    """

    socs: int
    rms: dict[int, float]


# By `is_old` of the phone's cores.
EXPERIENCE = {
    False: Experience(socs=6, rms={1: 0.0392, 2: 0.0268, 3: 0.0208}),
    True: Experience(socs=2, rms={1: 0.1589, 2: 0.0742, 3: 0.0451}),
    None: Experience(socs=8, rms={1: 0.1194, 2: 0.0549, 3: 0.0317}),
}


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


def of_kind(models: Sequence[SocModel], part: str | None) -> list[SocModel]:
    """Return the models of cores of a part's kind; all where the kind is not known."""
    kind = is_old(part)
    return [one for one in models if kind is None or is_old(one.part) is kind]


def adapt(
    base: SocModel,
    measured: Sequence[FitPoint],
    *,
    name: str,
    title: str,
    source: str,
    part: str | None = None,
) -> SocModel:
    """Return the model of a new phone: the base's, made as fast as the phone.

    One network says the speed alone. With more, the share of reading the weights follows them as far as it
    differs between SoCs. Numbers of threads that were not measured take the mean factors of those that were.

    Args:
        base: The model of a similar SoC.
        measured: Points of the phone, float.
        name: Name of the new model.
        title: Name of the phone.
        source: Where the points come from.
        part: CPU part number of the cores that they were measured on.

    Raises:
        InputError: There are more than three networks, or no point at the base's numbers of threads.
    """
    known_threads = base.threads()
    networks = tuple(dict.fromkeys(one.network for one in measured if one.threads in known_threads))
    shifts = _shifts(base, measured)
    if not shifts:
        threads = ",".join(map(str, known_threads))
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
    known = EXPERIENCE[is_old(part)]
    return msgspec.structs.replace(
        base,
        name=name,
        title=title,
        part=part,
        adapted_from=base.name,
        source=f"{source}; adapted from {base.title}: {base.source}",
        fitted_on=networks,
        # What was measured is float: it says nothing of another precision's own fits.
        precisions=tuple(one for one in base.precisions if one not in {fit.precision for fit in base.fits}),
        counted_on={},
        fits=tuple(shifts.get(fit, mean).of(fit) for fit in base.fits if fit.precision is None),
        unfitted=tuple(
            Unfitted(precision="fp32", threads=threads, rms=known.rms[len(networks)], networks=known.socs)
            for threads in known_threads
        ),
    )


def nearest_soc(models: Sequence[SocModel], measured: Sequence[FitPoint]) -> SocModel:
    """Return the model that the points ask for, held by what most SoCs are like.

    One network says the speed alone, and speed says nothing of the kind of cores. So models whose share of
    reading the weights is the usual one are taken before others, unless more networks speak for those.
    """
    shares = [share for one in models if (share := _share(one)) is not None]
    usual = _densest(shares)

    def cost(model: SocModel) -> float:
        shifts = _shifts(model, measured)
        best = [shifts[fit] for fit in model.main_fits() if fit in shifts]
        if not best:
            return math.inf
        share = _share(model)
        unusual = 0.0 if share is None else ((share - usual) / SHARE_SPREAD) ** 2
        return math.fsum(one.cost for one in best) / len(best) + unusual

    return min(models, key=cost)


def _densest(shares: Sequence[float]) -> float:
    """Return the share that a third of the others lie closest to; 0 without shares.

    The median would be no SoC's usual share: old cores, and chips with two models, pull it to one side.
    """
    return min(
        shares, key=lambda own: sorted(abs(own - one) for one in shares)[len(shares) // 3], default=0.0
    )


def _share(model: SocModel) -> float | None:
    """Return the logarithm of the weights' share at the fewest threads; None without one."""
    fit = model.main_fits()[0]
    return math.log(fit.ms_per_mb / fit.ms_per_million) if fit.ms_per_mb > 0 else None


def _shifts(base: SocModel, measured: Sequence[FitPoint]) -> dict[Fit, _Shift]:
    """Return the change of each fit that has measured points."""
    found = {}
    for fit in base.fits:
        if fit.precision is not None:
            continue
        points = [
            point
            for point in measured
            if point.threads == fit.threads and (fit.weights is None or point.layers is not None)
        ]
        if points:
            found[fit] = _shift(fit, points)
    return found


def _shift(fit: Fit, points: Sequence[FitPoint]) -> _Shift:
    """Return the most likely change of the two factors."""

    def logs(share: float) -> list[float]:
        """Logarithms of measured over estimated, with the base's speed."""
        changed = _Shift(speed=0.0, share=share, cost=0.0).of(fit)
        return [
            math.log(point.latency_ms / changed.latency_ms(point.millions, point.nb_mb, point.layers))
            for point in points
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
    return at((low + high) / 2)
