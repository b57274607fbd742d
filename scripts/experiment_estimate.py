"""How good `estimate` is: the shipped fit on the published Snapdragon 855 rows, and leave-one-out.

With result files of counted PP-LCNet scales (edgekit bench --device VIRTUAL --threads 1,2,4) as arguments,
prints the counts and fits of those as TOML for edgekit/measure/data.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgekit.core.spec import Platform, Precision
from edgekit.measure.estimate import estimate, known_count
from edgekit.measure.results import load_result
from edgekit.measure.soc_model import FitPoint, fit_points, load_counts, load_soc
from edgekit.zoo.registry import find_model


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
    for fit in soc.fits:
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
                    model=name, threads=fit.threads, millions=millions, nb_mb=count.nb_mb, latency_ms=truth
                )
            )
        [again] = fit_points(points)
        worst = max(map(abs, errors))
        left_out = again.leave_one_out_error
        print(f"| largest | {fit.threads} | | | {worst:.1%}, leave-one-out {left_out:.1%} |")


def show_counted(paths: list[Path]) -> None:
    sizes = {one.model: one.nb_mb for one in load_counts().networks}
    counted: dict[str, dict[int, float]] = {}
    for point in [point for path in paths for point in load_result(path).points]:
        if point.instruction_count is not None:
            millions = round(point.instruction_count.main_thread / 1e6, 3)
            counted.setdefault(point.model, {})[point.requested_threads] = millions
    for name, by_threads in counted.items():
        size = sizes.get(name, 0.0)
        words = ", ".join(f'"{threads}" = {millions}' for threads, millions in sorted(by_threads.items()))
        print(
            f'\n[[networks]]\nmodel = "{name}"\nprecision = "fp32"\nnb_mb = {size}\nmillions = {{ {words} }}'
        )
    points = [
        FitPoint(
            model=name,
            threads=threads,
            millions=value,
            nb_mb=sizes[name],
            latency_ms=published(name, threads),
        )
        for name, by_threads in counted.items()
        if name in sizes
        for threads, value in by_threads.items()
    ]
    for fit in fit_points(points):
        print(f"\n[[fits]]\nthreads = {fit.threads}\nms_per_million = {fit.ms_per_million:.5f}")
        print(f"ms_per_mb = {fit.ms_per_mb:.5f}\nleave_one_out_error = {fit.leave_one_out_error:.3f}")
        print(f"millions = [{fit.millions[0]}, {fit.millions[1]}]")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        show_counted([Path(word) for word in sys.argv[1:]])
    else:
        show_shipped()
