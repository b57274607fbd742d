"""How good `estimate` is: the shipped fit on the published Snapdragon 855 rows, leave-one-out, and networks
that it was not fitted on. scripts/count_networks.py makes the counts.
"""

from __future__ import annotations

import math

from edgekit.core.spec import Platform, Precision
from edgekit.estimate.estimate import estimate, known_count
from edgekit.estimate.least_squares import FitPoint, fit_weighted
from edgekit.estimate.soc_model import COEFFICIENTS, LEVEL, load_soc, prediction_error
from edgekit.zoo.registry import find_model

# Paddle Lite v2.11, docs/performance/benchmark.md, ARMv8 CPU, Snapdragon 855: one thread on a big core, ms.
PADDLE_LITE = {
    ("MobileNetV1", Precision.FP32): 29.04,
    ("MobileNetV2", Precision.FP32): 19.37,
    ("MobileNetV3_large_x1_0", Precision.FP32): 15.59,
    ("MobileNetV3_small_x1_0", Precision.FP32): 5.39,
    ("ResNet50", Precision.FP32): 161.13,
    ("MobileNetV1", Precision.INT8): 11.86,
    ("MobileNetV2", Precision.INT8): 11.38,
    ("MobileNetV3_large_x1_0", Precision.INT8): 8.88,
    ("MobileNetV3_small_x1_0", Precision.INT8): 3.29,
    ("ResNet50", Precision.INT8): 66.81,
}

# PaddleClas, docs/zh_CN/models/ImageNet1k, SD855 columns: milliseconds at 1, 2 and 4 threads.
PADDLE_CLAS = {
    "MobileNetV1": (30.24, 17.86, 10.30),
    "MobileNetV2_x0_25": (3.46, 2.51, 2.03),
    "MobileNetV2_x0_5": (7.69, 4.92, 3.57),
    "MobileNetV2": (20.74, 12.71, 8.10),
    "MobileNetV3_large_x1_0": (16.55, 10.09, 6.84),
    "MobileNetV3_large_x0_35": (4.43, 3.11, 2.41),
    "MobileNetV3_small_x1_25": (7.88, 4.91, 3.45),
    "MobileNetV3_small_x1_0": (5.63, 3.65, 2.60),
    "MobileNetV3_small_x0_35": (2.23, 1.66, 1.43),
    "ShuffleNetV2_x0_5": (3.67, 2.63, 2.06),
    "ShuffleNetV2_x0_33": (2.23, 1.70, 1.79),
}


def published(name: str, threads: int) -> float:
    figures = find_model(name).published
    assert figures is not None
    return next(
        one.latency_ms
        for one in figures.latencies
        if one.platform is Platform.SD855 and one.threads == threads
    )


def show_shipped() -> None:
    soc = load_soc("sd855")
    print("| model | threads | published ms | estimated ms | error |\n|---|---:|---:|---:|---:|")
    for fit in soc.main_fits():
        points, errors = [], []
        for name in soc.fitted_on:
            count = known_count(name, Precision.FP32)
            assert count is not None
            truth, millions = published(name, fit.threads), count.millions[str(fit.threads)]
            [one] = estimate(soc, count, [fit.threads]).estimates
            errors.append(one.latency_ms / truth - 1)
            print(f"| {name} | {fit.threads} | {truth:.2f} | {one.latency_ms:.2f} | {errors[-1]:+.1%} |")
            points.append(
                FitPoint(
                    network=name,
                    threads=fit.threads,
                    millions=millions,
                    nb_mb=count.nb_mb,
                    layers=count.layers,
                    latency_ms=truth,
                )
            )
        again = fit_weighted(fit.threads, points, fit.weights)
        worst = max(map(abs, errors))
        left_out, rms = again.leave_one_out_error, again.leave_one_out_rms
        interval = prediction_error(rms, again.networks - COEFFICIENTS)
        print(f"| largest | {fit.threads} | | | {worst:.1%}, leave-one-out {left_out:.1%} |")
        print(f"| {LEVEL:.0%} interval | {fit.threads} | | | ±{interval:.1%}, leave-one-out rms {rms:.4f} |")


def show_unfitted() -> None:
    """Networks that the model was not fitted on, one thread; what has no count yet is passed over."""
    soc = load_soc("sd855")
    print("\n| model | precision | published ms | estimated ms | error |\n|---|---|---:|---:|---:|")
    errors: dict[Precision, list[float]] = {}
    for (name, precision), truth in PADDLE_LITE.items():
        count = known_count(name, precision)
        if count is None:
            continue
        [one] = estimate(soc, count, [1]).estimates
        error = one.latency_ms / truth - 1
        errors.setdefault(precision, []).append(error)
        print(f"| {name} | {precision.value} | {truth:.2f} | {one.latency_ms:.2f} | {error:+.1%} |")
    for precision, found in errors.items():
        sizes = [abs(error) for error in found]
        mean, worst = sum(sizes) / len(sizes), max(sizes)
        print(f"| {len(found)} networks | {precision.value} | | | mean {mean:.1%}, largest {worst:.1%} |")
        rms = math.sqrt(math.fsum(math.log1p(error) ** 2 for error in found) / len(found))
        interval = prediction_error(rms, len(found))
        print(f"| {LEVEL:.0%} interval | {precision.value} | | | ±{interval:.1%}, rms {rms:.4f} |")


def show_other_families() -> None:
    soc = load_soc("sd855")
    print("\n| model | 1 thread | 2 threads | 4 threads |\n|---|---:|---:|---:|")
    inside, errors = [], []
    for name, row in PADDLE_CLAS.items():
        count = known_count(name, Precision.FP32)
        assert count is not None
        estimates = estimate(soc, count, [1, 2, 4]).estimates
        inside += [one.low_ms < truth < one.high_ms for one, truth in zip(estimates, row, strict=True)]
        found = [one.latency_ms / truth - 1 for one, truth in zip(estimates, row, strict=True)]
        errors.append(found)
        print(f"| {name} | {' | '.join(f'{error:+.1%}' for error in found)} |")
    columns = [
        math.sqrt(math.fsum(math.log1p(error) ** 2 for error in column) / len(column))
        for column in zip(*errors, strict=True)
    ]
    print(f"| rms | {' | '.join(f'{rms:.4f}' for rms in columns)} |")
    print(f"\nWithin their intervals: {sum(inside)} of {len(inside)}.")


if __name__ == "__main__":
    show_shipped()
    show_other_families()
    show_unfitted()
