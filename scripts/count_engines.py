"""Instructions of one inference on a virtual device, every engine of devices beside the others, as a table.

    scripts/count_engines.py --work DIR --device SERIAL [--engine mnn,ncnn] [NAME ...]

Without names these are the eight PP-LCNet scales and PP-HGNet_tiny. Each is exported into DIR with random
weights where it is not there yet, compared with Paddle and counted by `bench` at one thread, then counted at
2 and 4 threads, then at one thread once more; these later counts spend no inferences on a comparison. Every
count stays in DIR, so that an interrupted run goes on. Where Paddle Lite's ARM library is not installed its
column has the shipped counts of edgekit/estimate/data.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from zoo_parity import export, subject_of

from edgekit.bench.bench import bench
from edgekit.bench.results import load_result
from edgekit.bench.sweep import Progress, describe
from edgekit.cli.output import note
from edgekit.core.bench_options import BenchOptions
from edgekit.core.spec import Precision
from edgekit.engines.registry import DEVICE_ENGINE
from edgekit.errors import EdgekitError
from edgekit.estimate.estimate import known_count
from edgekit.parity.reference import Reference, References
from edgekit.targets.device import DeviceTarget, opened_targets
from edgekit.targets.target import HostTarget, Subject

NETWORKS = (
    *(f"PPLCNet_x{scale}" for scale in ("0_25", "0_35", "0_5", "0_75", "1_0", "1_5", "2_0", "2_5")),
    "PPHGNet_tiny",
)
ENGINES = (DEVICE_ENGINE, "ncnn", "mnn", "onnxruntime")
THREADS = (1, 2, 4)
AGAIN = "again"


def count(
    target: DeviceTarget,
    subject: Subject,
    options: BenchOptions,
    references: Callable[[Subject], Reference | None],
) -> None:
    """Count into the result file of the options; a failure is told and does not end the others."""
    try:
        error = bench(target, [subject], options, show=_show, references=references).error
    except EdgekitError as raised:
        note(f"error: {subject.manifest.name} {options.engines[0]}: {raised.message}")
        return
    if error is not None:
        note(f"error: {subject.manifest.name} {options.engines[0]}: {error.message}")


def _show(step: Progress) -> None:
    if step.instructions is not None:
        note(describe(step))


def counted(kept: Path) -> dict[int, float]:
    """Millions of instructions of the main thread by threads; a result that is not verified is an error."""
    found = {}
    for point in load_result(kept).points if kept.exists() else ():
        if point.parity is not None and not point.parity.passed:
            raise SystemExit(f"{kept}: {point.parity.reason}")
        if point.instruction_count is not None:
            found[point.requested_threads] = point.instruction_count.main_thread / 1e6
    return found


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
            found = {}
            for turn in map(str, THREADS):
                found |= counted(file_of(work, name, engine, turn))
            again = counted(file_of(work, name, engine, AGAIN))
            if 1 in found and again:
                repeats.setdefault(engine, []).append(abs(again[1] / found[1] - 1))
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


def file_of(work: Path, name: str, engine: str, turn: str) -> Path:
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
        references = References(HostTarget())
        for turn, name, engine in itertools.product((*map(str, THREADS), AGAIN), names, engines):
            kept = file_of(asked.work, name, engine, turn)
            if not kept.exists():
                threads = THREADS[0] if turn == AGAIN else int(turn)
                options = BenchOptions(engines=(engine,), threads=(threads,), output=str(kept))
                compare = references if turn == str(THREADS[0]) else lambda _: None
                count(target, subject_of(name, asked.work), options, compare)
    sys.stdout.write(table(names, ENGINES, asked.work) + "\n")


if __name__ == "__main__":
    main()
