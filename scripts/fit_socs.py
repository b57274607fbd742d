"""Fit the models of `edgekit/estimate/data/socs` that rest on Paddle Lite's published latencies, and print
how far off they are on networks left out.

    scripts/fit_socs.py            # the tables of docs/estimate.md
    scripts/fit_socs.py --search   # the constants that all SoCs share, chosen by all and without each
    scripts/fit_socs.py --write    # write the models as well

The model `sd855` rests on PaddleClas's table of PP-LCNet; see scripts/experiment_estimate.py.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from edgekit.core.spec import Precision
from edgekit.estimate.adapt import adapt, nearest_soc, of_kind
from edgekit.estimate.cores import WITHOUT_DOT_PRODUCT, is_old
from edgekit.estimate.estimate import known_count
from edgekit.estimate.least_squares import FitPoint, fit_weighted
from edgekit.estimate.soc_model import (
    SOCS,
    WEIGHTS,
    Fit,
    SocModel,
    Unfitted,
    Weights,
    load_soc,
    prediction_error,
    ratio_error,
    write_soc,
)


class Published(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A SoC of Paddle Lite's page; scripts/published_latencies.toml says what its fields are."""

    title: str
    part: str
    cache_mib: int
    nearest: str
    dot_product: bool


class Page(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Milliseconds by network in the order of the SoCs; `threads` by SoC and network, at 1, 2 and 4."""

    socs: dict[str, Published]
    fp32: dict[str, tuple[float, ...]]
    int8: dict[str, tuple[float, ...]]
    fp32_before: dict[str, tuple[float, ...]]
    threads: dict[str, dict[str, tuple[float, float, float]]]


PAGE = msgspec.toml.decode(Path(__file__).with_name("published_latencies.toml").read_bytes(), type=Page)
THREADS, FP32, INT8, FP32_BEFORE = PAGE.threads, PAGE.fp32, PAGE.int8, PAGE.fp32_before
SOURCE = "Paddle Lite v2.11, docs/performance/benchmark.md, ARMv8 CPU, one thread on a big core"
NAMES = {name: soc.title for name, soc in PAGE.socs.items()}
CACHES = {name: soc.cache_mib for name, soc in PAGE.socs.items()}
# Models of one chip; none is adapted to foretell another.
SAME_CHIP = {"sd855-v2.11": "sd855"}
# The search leaves out the RK3399: its figures moved by 3 to 12 % between the two releases, each network's by
# its own share, and no other SoCs' figures foretell them.
SEARCHED = tuple(name for name in NAMES if name != "rk3399")
SPATIAL_SHARE = 0.75
# Networks of a new phone that a model is adapted to.
NUMBERS = (1, 2, 3)
GRID = [
    Weights(pointwise=a, spatial=round(SPATIAL_SHARE * a, 3), activations=b, head=c, spill=d)
    for a, b, c, d in itertools.product(
        (0.3, 0.4, 0.5, 0.6),
        (0.8, 1.0, 1.2, 1.4),
        (0.0, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5),
        (0.0, 0.1, 0.15, 0.2, 0.3, 0.4),
    )
]


def points(soc: str, precision: Precision = Precision.FP32) -> list[FitPoint]:
    column = list(NAMES).index(soc)
    table = FP32 if precision is Precision.FP32 else INT8
    kernels = WITHOUT_DOT_PRODUCT if precision is Precision.INT8 and not PAGE.socs[soc].dot_product else None
    return [point(network, precision, 1, row[column], kernels) for network, row in table.items()]


def threaded(soc: str, threads: int) -> list[FitPoint]:
    column = (1, 2, 4).index(threads)
    return [point(network, Precision.FP32, threads, row[column]) for network, row in THREADS[soc].items()]


def point(
    network: str, precision: Precision, threads: int, latency_ms: float, kernels: str | None = None
) -> FitPoint:
    count = known_count(network, precision, kernels)
    assert count is not None
    return FitPoint(
        network=network,
        threads=threads,
        millions=count.millions[str(threads)],
        nb_mb=count.nb_mb,
        layers=count.layers,
        latency_ms=latency_ms,
    )


def model(name: str) -> SocModel:
    plain = rounded(fit_weighted(1, points(name), None))
    fit = rounded(fit_of(name, WEIGHTS))
    more = [rounded(fit_speed(fit, threads, name)) for threads in (2, 4)] if name in THREADS else []
    # The fitted networks are of five kinds, so that one left out stands for any other.
    unfitted = [
        Unfitted(precision="fp32", threads=one.threads, rms=one.leave_one_out_rms, networks=one.networks)
        for one in (fit, *more)
    ]
    fits = [plain, fit, *more]
    if PAGE.socs[name].dot_product:
        off = round(rms(plain, points(name, Precision.INT8)), 4)
    else:
        int8 = fit_int8(name)
        off = int8.leave_one_out_rms
        fits.append(int8)
    unfitted.append(Unfitted(precision="int8", threads=1, rms=off, networks=len(INT8)))
    # Networks of other kinds than the fitted ones, by the largest error of a network left out.
    guess = max(0.10, round(2 * plain.leave_one_out_error, 2))
    return SocModel(
        name=name,
        title=NAMES[name],
        virtual_soc="sd855",
        engine="paddlelite",
        precision="fp32",
        precisions=("fp32", "int8"),
        counted_on={} if PAGE.socs[name].dot_product else {"int8": WITHOUT_DOT_PRODUCT},
        part=PAGE.socs[name].part,
        source=SOURCE if not more else f"{SOURCE}; v2.9.1 at 2 and 4 threads",
        fitted_on=tuple(FP32),
        other_error=guess,
        other_precision_error=max(0.17, guess),
        fits=tuple(fits),
        unfitted=tuple(unfitted),
    )


def fit_int8(name: str) -> Fit:
    """Fit the int8 networks of a SoC without dot products, whose instructions cost other than float ones."""
    fit = fit_weighted(1, points(name, Precision.INT8), None)
    return rounded(msgspec.structs.replace(fit, precision="int8"))


def rounded(fit: Fit) -> Fit:
    fields = ("ms_per_million", "ms_per_mb", "leave_one_out_error", "leave_one_out_rms")
    return msgspec.structs.replace(fit, **{field: round(getattr(fit, field), 5) for field in fields})


def fit_speed(base: Fit, threads: int, soc: str) -> Fit:
    """Fit the speed alone at more threads: three networks do not say the share of the weights' reading."""
    group = threaded(soc, threads)
    model = msgspec.structs.replace(base, threads=threads)
    logs = [math.log(one.latency_ms / model.latency_ms(one.millions, one.nb_mb, one.layers)) for one in group]
    off = off_others(logs)
    factor = math.exp(math.fsum(logs) / len(logs))
    return msgspec.structs.replace(
        model,
        ms_per_million=base.ms_per_million * factor,
        ms_per_mb=base.ms_per_mb * factor,
        leave_one_out_error=math.expm1(max(map(abs, off))),
        leave_one_out_rms=math.sqrt(math.fsum(one**2 for one in off) / len(off)),
        networks=len(group),
        coefficients=1,
        millions=(min(one.millions for one in group), max(one.millions for one in group)),
        nb_mb=(min(one.nb_mb for one in group), max(one.nb_mb for one in group)),
    )


def off_others(logs: Sequence[float]) -> list[float]:
    """Return by how much each is above the mean of the others."""
    # The mean of the others is further off than the mean of all by n / (n - 1).
    mean, scale = math.fsum(logs) / len(logs), len(logs) / (len(logs) - 1)
    return [(one - mean) * scale for one in logs]


def rms(fit: Fit, group: Sequence[FitPoint]) -> float:
    squares = [
        math.log1p(ratio_error(fit.latency_ms(one.millions, one.nb_mb, one.layers), one.latency_ms)) ** 2
        for one in group
    ]
    return math.sqrt(math.fsum(squares) / len(squares))


def speed_errors(base: Fit, threads: int, soc: str) -> list[str]:
    """Return each network's error by the speed of the two others."""
    group = threaded(soc, threads)
    model = msgspec.structs.replace(base, threads=threads)
    logs = [math.log(model.latency_ms(one.millions, one.nb_mb, one.layers) / one.latency_ms) for one in group]
    return [f"{math.expm1(off):+.1%}" for off in off_others(logs)]


def show(models: Sequence[SocModel]) -> None:
    print("| SoC | " + " | ".join(FP32) + " | largest left out | without layers | int8, rms |")
    print("|---|" + "---:|" * (len(FP32) + 3))
    for one in models:
        fit, plain = one.fit(1, layers=True), one.fit(1)
        errors = [
            f"{fit.latency_ms(point.millions, point.nb_mb, point.layers) / point.latency_ms - 1:+.1%}"
            for point in points(one.name)
        ]
        [int8] = [f"{seen.rms:.1%}" for seen in one.unfitted if seen.precision == "int8"]
        left_out = f"{fit.leave_one_out_error:.1%} | {plain.leave_one_out_error:.1%}"
        print(f"| {one.title} | {' | '.join(errors)} | {left_out} | {int8} |")
    print("\n| SoC | threads | " + " | ".join(next(iter(THREADS.values()))) + " |\n|---|---:|---:|---:|---:|")
    for name in THREADS:
        soc = next(one for one in models if one.name == name)
        for threads in (1, 2, 4):
            print(
                f"| {soc.title} | {threads} | "
                + " | ".join(speed_errors(soc.fit(1, layers=True), threads, name))
                + " |"
            )


def show_int8() -> None:
    """Print each int8 network's error by a fit to the others, where the cores have no dot products."""
    print("\n| SoC, int8 | " + " | ".join(INT8) + " | largest left out |\n|---|" + "---:|" * (len(INT8) + 1))
    for name, soc in PAGE.socs.items():
        if soc.dot_product:
            continue
        cells, every = [], points(name, Precision.INT8)
        for one in every:
            fit = fit_weighted(1, [each for each in every if each is not one], None)
            cells.append(f"{fit.latency_ms(one.millions, one.nb_mb) / one.latency_ms - 1:+.1%}")
        print(f"| {soc.title} | {' | '.join(cells)} | {fit_int8(name).leave_one_out_error:.1%} |")


def show_coverage() -> None:
    """Print how many networks lie within the interval of a fit to the others."""
    inside = []
    for name in NAMES:
        every = points(name)
        for left_out in every:
            rest = [one for one in every if one is not left_out]
            fit = fit_weighted(1, rest, WEIGHTS, CACHES[name])
            ms = fit.latency_ms(left_out.millions, left_out.nb_mb, left_out.layers)
            width = prediction_error(fit.leave_one_out_rms, fit.networks - fit.coefficients)
            inside.append(ratio_error(ms, left_out.latency_ms) < width)
    print(f"\nFloat networks within the interval of the other four: {sum(inside)} of {len(inside)}.")


def show_adapted(models: Sequence[SocModel], known: Sequence[SocModel]) -> None:
    """Print the error on a SoC's other networks of another SoC's model, adapted to some of them.

    The other SoC is the one that `auto` chooses, the one that a user would name, and the best with hindsight.
    `auto` knows the kind of the cores, and in the last row it does not.
    """
    heads = [f"{number} measured: median, largest" for number in NUMBERS]
    print(f"\n| SoC | {' | '.join(heads)} |\n|---|" + "---:|" * len(NUMBERS))
    found = {own.name: errors_of(own, of_kind(others(own, known), own.part)) for own in models}
    for own in models:
        cells = [f"{statistics.median(errors):.1%}, {max(errors):.1%}" for errors in found[own.name]]
        print(f"| {own.title} | {' | '.join(cells)} |")
    for kind, title in ((False, "usual cores"), (True, "in-order and older cores")):
        print_rms(title, [found[own.name] for own in models if is_old(own.part) is kind])
    print_rms("all, kind not known", [errors_of(own, others(own, known)) for own in models])
    inside = [[error < width(own, models, found, index) for own in models for error in found[own.name][index]]
              for index in range(len(NUMBERS))]  # fmt: skip
    words = ", ".join(f"{sum(each)} of {len(each)}" for each in inside)
    print(f"\nWithin the interval of the errors on the others of their kind: {words}.")
    print("\n| SoC | named | 1 measured: largest | 3 measured: largest | best of all, 1 | 3 |")
    print("|---|---|---:|---:|---:|---:|")
    for own in models:
        largest = {
            base.name: [max(left_out_errors([base], points(own.name), number)) for number in (1, 3)]
            for base in others(own, known)
        }
        best = [min(found[index] for found in largest.values()) for index in (0, 1)]
        cells = [f"{error:.1%}" for error in (*largest[PAGE.socs[own.name].nearest], *best)]
        print(f"| {own.title} | `{PAGE.socs[own.name].nearest}` | {' | '.join(cells)} |")


def errors_of(own: SocModel, bases: Sequence[SocModel]) -> list[list[float]]:
    """Return the errors on a SoC's networks by the number of networks that its model was adapted to."""
    return [left_out_errors(bases, points(own.name), number) for number in NUMBERS]


def print_rms(title: str, socs: Sequence[Sequence[Sequence[float]]]) -> None:
    cells = [f"rms {root([one for found in socs for one in found[index]]):.4f}" for index in (0, 1, 2)]
    print(f"| {title}, {len(socs)} SoCs | {' | '.join(cells)} |")


def root(errors: Sequence[float]) -> float:
    """Return the root of the mean square of the logarithms of ratios, given as `ratio_error`."""
    return math.sqrt(math.fsum(math.log1p(one) ** 2 for one in errors) / len(errors))


def width(
    own: SocModel, models: Sequence[SocModel], found: Mapping[str, Sequence[Sequence[float]]], index: int
) -> float:
    """Return the interval that the errors on the other SoCs of a SoC's kind make."""
    rest = [one.name for one in models if one is not own and is_old(one.part) is is_old(own.part)]
    errors = [error for name in rest for error in found[name][index]]
    return prediction_error(root(errors), len(rest))


def others(own: SocModel, known: Sequence[SocModel]) -> list[SocModel]:
    return [one for one in known if one.name not in (own.name, SAME_CHIP.get(own.name))]


def left_out_errors(bases: Sequence[SocModel], every: Sequence[FitPoint], number: int) -> list[float]:
    """Return the errors on the networks that were not measured, for every choice of the measured ones."""
    errors = []
    for chosen in itertools.combinations(every, number):
        base = nearest_soc(bases, chosen) if len(bases) > 1 else bases[0]
        fit = adapt(base, chosen, name="new", title="new", source="").fit(1, layers=True)
        errors += [
            ratio_error(fit.latency_ms(one.millions, one.nb_mb, one.layers), one.latency_ms)
            for one in every
            if one not in chosen
        ]
    return errors


def search() -> None:
    """Print the constants of the least error on networks left out, and each SoC's errors by others' choice.

    A SoC's error is the mean square of the logarithm of truth over the estimate, each network left out of the
    fit of the two coefficients. PaddleClas's networks on the Snapdragon 855 count as one more SoC.
    """
    cost = {name: [fit_of(name, weights).leave_one_out_rms ** 2 for weights in GRID] for name in NAMES}
    clas = paddle_clas()
    cost["sd855"] = [fit_weighted(1, clas, weights).leave_one_out_rms ** 2 for weights in GRID]

    def best(without: str | None = None) -> Weights:
        left_out = (without, SAME_CHIP.get(without or ""))
        judged = [name for name in (*SEARCHED, "sd855") if name not in left_out]
        sums = [math.fsum(cost[name][index] for name in judged) for index in range(len(GRID))]
        return GRID[sums.index(min(sums))]

    chosen = best()
    print(f"\nChosen: {chosen}")
    print("\n| SoC | largest left out | constants of the other SoCs | pointwise, activations, head, spill |")
    print("|---|---:|---:|---|")
    for name, title in NAMES.items():
        own = best(name)
        errors = [fit_of(name, weights).leave_one_out_error for weights in (chosen, own)]
        words = f"{own.pointwise}, {own.activations}, {own.head}, {own.spill}"
        print(f"| {title} | {errors[0]:.1%} | {errors[1]:.1%} | {words} |")


def fit_of(name: str, weights: Weights) -> Fit:
    return fit_weighted(1, points(name), weights, CACHES[name])


def paddle_clas() -> list[FitPoint]:
    """Return PaddleClas's 19 networks on the Snapdragon 855 at one thread."""
    from experiment_estimate import PADDLE_CLAS, published

    rows = {name: row[0] for name, row in PADDLE_CLAS.items()}
    rows |= {name: published(name, 1) for name in load_soc("sd855").fitted_on}
    return [point(name, Precision.FP32, 1, latency_ms) for name, latency_ms in rows.items()]


def show_source() -> None:
    """Print how far the published figures themselves agree."""
    print("\n| SoC, v2.10 over v2.11 | " + " | ".join(FP32) + " |\n|---|" + "---:|" * len(FP32))
    for column, title in enumerate(NAMES.values()):
        cells = [f"{FP32_BEFORE[network][column] / FP32[network][column] - 1:+.1%}" for network in FP32]
        print(f"| {title} | {' | '.join(cells)} |")
    networks = list(next(iter(THREADS.values())))
    print("\n| one SoC's published latency by another's | threads | " + " | ".join(networks) + " |")
    print("|---|---:|" + "---:|" * len(networks))
    for name, by in (("sd845", "sd855-v2.11"), ("sd835", "sd845")):
        for index, threads in enumerate((1, 2, 4)):
            ratios = [math.log(THREADS[by][one][index] / THREADS[name][one][index]) for one in networks]
            cells = [f"{math.expm1(off):+.1%}" for off in off_others(ratios)]
            print(f"| {NAMES[name]} by {NAMES[by]} | {threads} | {' | '.join(cells)} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the models into the data")
    parser.add_argument("--search", action="store_true", help="choose the shared constants anew")
    asked = parser.parse_args()
    if asked.search:
        search()
        return 0
    models = [model(name) for name in NAMES]
    known = [*models, load_soc("sd855")]
    for one in models if asked.write else ():
        write_soc(SOCS / f"{one.name}.toml", one)
    show(models)
    show_int8()
    show_coverage()
    show_source()
    show_adapted(models, known)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
