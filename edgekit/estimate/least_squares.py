"""Fits of a SoC's coefficients to measured latencies: least squares of the relative error."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from edgekit.errors import InputError
from edgekit.estimate.soc_model import WEIGHTS, Fit, Layers, Weights, ratio_error, weigh

FEWEST_NETWORKS = 3
# Share of the largest determinant from which two columns count as different.
RANK = 1e-12


class FitPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A measured or published latency beside the network's count.

    Attributes:
        network: See `NetworkCount`; several points may be of one network.
    """

    network: str
    threads: int
    millions: float
    nb_mb: float
    layers: Layers | None = None
    latency_ms: float


def fit_points(points: Sequence[FitPoint], weights: Weights = WEIGHTS) -> tuple[Fit, ...]:
    """A fit for every number of threads, by non-negative least squares of the relative error.

    Where the layers of all networks are known, a second fit weighs them, if it is closer to networks that
    were left out.

    Raises:
        InputError: Fewer than three networks at every number of threads.
    """
    by_threads: dict[int, list[FitPoint]] = {}
    for point in points:
        by_threads.setdefault(point.threads, []).append(point)
    networks = {threads: len({point.network for point in group}) for threads, group in by_threads.items()}
    enough = {threads: group for threads, group in by_threads.items() if networks[threads] >= FEWEST_NETWORKS}
    if not enough:
        most = max(networks.values(), default=0)
        raise InputError(
            f"fitting: three networks at one number of threads are needed, {most} are there whose "
            "instructions are known",
            hint="edgekit bench PPLCNet_x0_25 PPLCNet_x0_5 PPLCNet_x1_0 PPLCNet_x2_0 --threads 1,2,4",
        )
    fits = []
    for threads, group in sorted(enough.items()):
        plain = fit_weighted(threads, group, None)
        fits.append(plain)
        if all(point.layers is not None for point in group):
            weighted = fit_weighted(threads, group, weights)
            if weighted.leave_one_out_rms < plain.leave_one_out_rms:
                fits.append(weighted)
    return tuple(fits)


def fit_weighted(
    threads: int, points: Sequence[FitPoint], weights: Weights | None, cache_mib: int | None = None
) -> Fit:
    """Fit points at one number of threads, each network left out once for the errors."""
    loads = [weigh(one.millions, one.nb_mb, one.layers, threads, weights, cache_mib) for one in points]
    per_million, per_mb = _solve(points, loads)
    errors, squares = [], []
    for network in sorted({point.network for point in points}):
        others = [index for index, point in enumerate(points) if point.network != network]
        a, b = _solve([points[index] for index in others], [loads[index] for index in others])
        own = [
            ratio_error(a * load[0] + b * load[1], point.latency_ms)
            for point, load in zip(points, loads, strict=True)
            if point.network == network
        ]
        errors += own
        squares.append(math.fsum(math.log1p(error) ** 2 for error in own) / len(own))
    millions, nb_mb = [point.millions for point in points], [point.nb_mb for point in points]
    return Fit(
        threads=threads,
        ms_per_million=per_million,
        ms_per_mb=per_mb,
        leave_one_out_error=max(errors),
        leave_one_out_rms=math.sqrt(math.fsum(squares) / len(squares)),
        networks=len(squares),
        millions=(min(millions), max(millions)),
        nb_mb=(min(nb_mb), max(nb_mb)),
        weights=weights,
        cache_mib=cache_mib if weights is not None else None,
    )


def _solve(points: Sequence[FitPoint], loads: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the factors, none negative, of the least sum of squares of relative errors."""
    rows = [
        (work / point.latency_ms, size / point.latency_ms)
        for point, (work, size) in zip(points, loads, strict=True)
    ]
    aa, bb = (math.fsum(row[side] ** 2 for row in rows) for side in (0, 1))
    ab = math.fsum(a * b for a, b in rows)
    to_a, to_b = (math.fsum(row[side] for row in rows) for side in (0, 1))
    # Normal equations; where a factor is negative, or both columns are the same, one column does it alone.
    determinant = aa * bb - ab * ab
    if determinant > RANK * aa * bb:
        a, b = (bb * to_a - ab * to_b) / determinant, (aa * to_b - ab * to_a) / determinant
        if min(a, b) >= 0:
            return a, b
    alone = [(to_a**2 / aa, (to_a / aa, 0.0))] if aa else []
    alone += [(to_b**2 / bb, (0.0, to_b / bb))] if bb else []
    return max(alone)[1]
