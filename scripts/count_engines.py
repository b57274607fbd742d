"""Instructions of one inference on a virtual device, every engine of devices beside the others, as a table.

    scripts/count_engines.py --work DIR --device SERIAL [--engine mnn,ncnn] [NAME ...]

Without names these are the eight PP-LCNet scales and PP-HGNet_tiny. Each is exported into DIR with random
weights where it is not there yet, compared with Paddle by `bench`, and counted at 1, 2 and 4 threads, at one
thread in a second process too. Every count stays in DIR, so that an interrupted run goes on. Where Paddle
Lite's ARM library is not installed its column has the shipped counts of edgekit/estimate/data.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from zoo_parity import export, subject_of

from edgekit.bench.bench import bench
from edgekit.bench.results import load_result
from edgekit.bench.sweep import Progress, describe
from edgekit.cli.options import note
from edgekit.core.bench_options import BenchOptions
from edgekit.core.measurement import Point
from edgekit.core.spec import Precision
from edgekit.engines.registry import DEVICE_ENGINE
from edgekit.errors import EdgekitError
from edgekit.estimate.estimate import known_count
from edgekit.targets.device import DeviceTarget, opened_targets

NETWORKS = (
    *(f"PPLCNet_x{scale}" for scale in ("0_25", "0_35", "0_5", "0_75", "1_0", "1_5", "2_0", "2_5")),
    "PPHGNet_tiny",
)
ENGINES = (DEVICE_ENGINE, "ncnn", "mnn", "onnxruntime")
THREADS = (1, 2, 4)


def count(
    target: DeviceTarget, name: str, engine: str, threads: Sequence[int], kept: Path, work: Path
) -> None:
    """Count an engine on a network into a result file; nothing where the file is there."""
    if kept.exists():
        return
    options = BenchOptions(engines=(engine,), threads=tuple(threads), output=str(kept))
    try:
        error = bench(target, [subject_of(name, work)], options, show=_show).error
    except EdgekitError as raised:
        error = raised
    if error is not None:
        note(f"error: {name} {engine}: {error.message}")


def _show(step: Progress) -> None:
    if step.instructions is not None:
        note(describe(step))


def points(kept: Path) -> dict[int, Point]:
    """The counted points of a result file by their threads; unverified ones are an error."""
    if not kept.exists():
        return {}
    found = {point.requested_threads: point for point in load_result(kept).points}
    for point in found.values():
        if point.parity is not None and not point.parity.passed:
            raise SystemExit(f"{kept}: {point.parity.reason}")
    return {threads: point for threads, point in found.items() if point.instruction_count is not None}


def millions(point: Point) -> float:
    assert point.instruction_count is not None
    return point.instruction_count.main_thread / 1e6


def table(names: Sequence[str], engines: Sequence[str], work: Path) -> str:
    """The table of counts, and how far two processes at one thread differ."""
    lines = [
        f"| network | {' | '.join(f'`{engine}`' for engine in engines)} |",
        f"|---|{'---|' * len(engines)}",
    ]
    repeats: dict[str, list[float]] = {}
    for name in names:
        cells = []
        for engine in engines:
            found = {
                threads: millions(point) for threads, point in points(file_of(work, name, engine)).items()
            }
            again = points(file_of(work, name, engine, "again"))
            if 1 in found and 1 in again:
                repeats.setdefault(engine, []).append(abs(millions(again[1]) / found[1] - 1))
            if not found and engine == DEVICE_ENGINE:
                shipped = known_count(name, Precision.FP32)
                found = (
                    {} if shipped is None else {int(key): value for key, value in shipped.millions.items()}
                )
            cells.append(", ".join(f"{found[one]:.2f}" if one in found else "—" for one in THREADS))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "Largest difference of two processes at one thread:"]
    lines += [f"- {engine}: {max(each):.3%} of {len(each)} networks" for engine, each in repeats.items()]
    return "\n".join(lines)


def file_of(work: Path, name: str, engine: str, turn: str = "first") -> Path:
    return work / f"{name}.{engine}.{turn}.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", default=NETWORKS)
    parser.add_argument("--work", type=Path, required=True, metavar="DIR")
    parser.add_argument("--device", required=True, metavar="SERIAL")
    parser.add_argument("--engine", default=",".join(ENGINES), metavar="WORD,...")
    asked = parser.parse_args()
    names, engines = tuple(asked.names), tuple(asked.engine.split(","))
    asked.work.mkdir(parents=True, exist_ok=True)
    export([name for name in names if not (asked.work / "models" / name).exists()], asked.work)
    with opened_targets([asked.device]) as [target]:
        for name in names:
            for engine in engines:
                count(target, name, engine, THREADS, file_of(asked.work, name, engine), asked.work)
                count(target, name, engine, (1,), file_of(asked.work, name, engine, "again"), asked.work)
    sys.stdout.write(table(names, ENGINES, asked.work) + "\n")


if __name__ == "__main__":
    main()
