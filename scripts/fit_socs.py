"""Fit the models of `edgekit/estimate/data/socs` that rest on Paddle Lite's published latencies, and print
how far off they are on networks left out.

    scripts/fit_socs.py            # the table of docs/estimate.md
    scripts/fit_socs.py --write    # write the models as well

The Snapdragon 855's rests on PaddleClas's table of PP-LCNet; see scripts/experiment_estimate.py.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Sequence

import msgspec

from edgekit.core.spec import Precision
from edgekit.estimate.adapt import adapt, nearest_soc
from edgekit.estimate.estimate import known_count
from edgekit.estimate.soc_model import (
    SOCS,
    Fit,
    FitPoint,
    SocModel,
    Unfitted,
    fit_points,
    load_soc,
    ratio_error,
    write_soc,
)

SOURCE = "Paddle Lite v2.11, docs/performance/benchmark.md, ARMv8 CPU, one thread on a big core"
NAMES = {
    "sd865": "Snapdragon 865",
    "sd845": "Snapdragon 845",
    "sd835": "Snapdragon 835",
    "sd625": "Snapdragon 625",
    "k990": "Kirin 990",
    "k980": "Kirin 980",
    "rk3399": "RK3399",
}
# Cores with dot products take the int8 kernels that were counted on the virtual Snapdragon 855.
DOT_PRODUCT = ("sd865", "k990", "k980")
# Milliseconds in the order of NAMES.
FP32 = {
    "MobileNetV1": (28.38, 58.70, 82.48, 143.64, 38.22, 32.50, 103.39),
    "MobileNetV2": (18.52, 37.61, 53.47, 106.17, 24.93, 22.07, 73.37),
    "MobileNetV3_large_x1_0": (14.46, 29.55, 41.74, 96.11, 19.38, 17.46, 63.34),
    "MobileNetV3_small_x1_0": (4.73, 9.76, 13.45, 39.08, 6.41, 5.85, 21.67),
    "ResNet50": (160.97, 339.59, 484.79, 831.62, 222.21, 190.38, 616.68),
}
INT8 = {
    "MobileNetV1": (11.18, 44.12, 55.57, 117.41, 14.75, 13.58, 77.60),
    "MobileNetV2": (10.37, 33.45, 40.78, 83.47, 14.14, 12.94, 56.66),
    "MobileNetV3_large_x1_0": (8.03, 24.32, 30.57, 66.76, 10.41, 9.57, 46.66),
    "MobileNetV3_small_x1_0": (2.89, 8.41, 10.86, 22.83, 4.23, 3.90, 15.83),
    "ResNet50": (64.50, 263.17, 331.76, 690.01, 82.07, 74.52, 473.00),
}


def points(soc: str, precision: Precision = Precision.FP32) -> list[FitPoint]:
    column = list(NAMES).index(soc)
    made = []
    for network, row in (FP32 if precision is Precision.FP32 else INT8).items():
        count = known_count(network, precision)
        assert count is not None
        made.append(
            FitPoint(
                network=network,
                threads=1,
                millions=count.millions["1"],
                nb_mb=count.nb_mb,
                latency_ms=row[column],
            )
        )
    return made


def model(name: str) -> SocModel:
    [fit] = fit_points(points(name))
    rounded = {
        field: round(getattr(fit, field), 5)
        for field in ("ms_per_million", "ms_per_mb", "leave_one_out_error", "leave_one_out_rms")
    }
    fit = msgspec.structs.replace(fit, **rounded)
    # The fitted networks are of five kinds, so that one left out stands for any other.
    unfitted = [Unfitted(precision="fp32", threads=1, rms=fit.leave_one_out_rms, networks=len(FP32))]
    if name in DOT_PRODUCT:
        off = round(rms(fit, points(name, Precision.INT8)), 4)
        unfitted.append(Unfitted(precision="int8", threads=1, rms=off, networks=len(INT8)))
    # Networks of other kinds than the fitted ones, by the largest error of a network left out.
    guess = max(0.10, round(2 * fit.leave_one_out_error, 2))
    return SocModel(
        name=name,
        title=NAMES[name],
        virtual_soc="sd855",
        engine="paddlelite",
        precision="fp32",
        precisions=("fp32", "int8") if name in DOT_PRODUCT else ("fp32",),
        source=SOURCE,
        fitted_on=tuple(FP32),
        other_error=guess,
        other_precision_error=max(0.17, guess),
        fits=(fit,),
        unfitted=tuple(unfitted),
    )


def rms(fit: Fit, group: Sequence[FitPoint]) -> float:
    squares = [
        math.log1p(ratio_error(fit.latency_ms(one.millions, one.nb_mb), one.latency_ms)) ** 2 for one in group
    ]
    return math.sqrt(math.fsum(squares) / len(squares))


def show(models: Sequence[SocModel]) -> None:
    print("| SoC | " + " | ".join(FP32) + " | largest left out | int8, rms |")
    print("|---|" + "---:|" * (len(FP32) + 2))
    for one in models:
        [fit] = one.fits
        errors = [
            f"{fit.latency_ms(point.millions, point.nb_mb) / point.latency_ms - 1:+.1%}"
            for point in points(one.name)
        ]
        int8 = f"{one.unfitted[1].rms:.1%}" if one.name in DOT_PRODUCT else "not counted"
        print(f"| {one.title} | {' | '.join(errors)} | {fit.leave_one_out_error:.1%} | {int8} |")


def show_adapted(models: Sequence[SocModel], known: Sequence[SocModel]) -> None:
    """Print the error on a SoC's other networks of the nearest other SoC's model, adapted to some of them."""
    numbers = (1, 2, 3)
    heads = [f"{number} measured: median, largest" for number in numbers]
    print(f"\n| SoC | {' | '.join(heads)} |\n|---|" + "---:|" * len(numbers))
    every: dict[int, list[float]] = {number: [] for number in numbers}
    for own in models:
        others = [one for one in known if one.name != own.name]
        cells = []
        for number in numbers:
            errors = sorted(left_out_errors(others, points(own.name), number))
            every[number] += errors
            cells.append(f"{errors[len(errors) // 2]:.1%}, {errors[-1]:.1%}")
        print(f"| {own.title} | {' | '.join(cells)} |")
    squares = {number: [math.log1p(error) ** 2 for error in found] for number, found in every.items()}
    roots = [f"rms {math.sqrt(math.fsum(found) / len(found)):.4f}" for found in squares.values()]
    print(f"| all | {' | '.join(roots)} |")


def left_out_errors(others: Sequence[SocModel], every: Sequence[FitPoint], number: int) -> list[float]:
    errors = []
    for chosen in itertools.combinations(every, number):
        fit = adapt(nearest_soc(others, chosen), chosen, name="new", title="new", source="").fit(1)
        left_out = [one for one in every if one not in chosen]
        errors += [ratio_error(fit.latency_ms(one.millions, one.nb_mb), one.latency_ms) for one in left_out]
    return errors


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the models into the data")
    asked = parser.parse_args()
    models = [model(name) for name in NAMES]
    known = [*models, load_soc("sd855")]
    for one in models if asked.write else ():
        write_soc(SOCS / f"{one.name}.toml", one)
    show(models)
    show_adapted(models, known)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
