"""Time that the native runner itself adds to a sample: its core around an engine that does nothing.

A sample is from the clock's reading before an inference to the one after, so all of it is the runner's.
Limit: 1 microsecond (median, of each process).
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from edgekit.runners.protocol import PROTOCOL_VERSION
from edgekit.toolchain.build.native import C_FLAGS, COMPILE_FLAGS, CORE, LINK_FLAGS, SOURCES

LIMIT_NS = 1000
IDLE_ENGINE = Path(__file__).parent.parent / "tests" / "native" / "engine_idle.c"


def build(output: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        sys.exit("bench_native: no C compiler (cc)")
    sources = [*(SOURCES / f"{name}.c" for name in CORE), IDLE_ENGINE]
    subprocess.run(
        [compiler, *COMPILE_FLAGS, *C_FLAGS, f"-I{SOURCES}", *sources, *LINK_FLAGS, "-o", output], check=True
    )


def samples_ns(runner: Path, repeats: int) -> list[int]:
    """One process's samples."""
    with tempfile.NamedTemporaryFile() as model:
        model.write(b"x")
        model.flush()
        load = {
            "op": "load",
            "protocol": PROTOCOL_VERSION,
            "model": model.name,
            "inputs": [{"name": "x", "dtype": "float32", "shape": [1, 3, 224, 224]}],
        }
        run = {"op": "run", "warmup": 1000, "warmup_ns": 0, "repeats": repeats, "min_ns": 0}
        lines = json.dumps(load) + "\n" + json.dumps(run) + "\n"
        done = subprocess.run([runner], input=lines, capture_output=True, text=True, check=True, timeout=60)
    samples: list[int] = json.loads(done.stdout.splitlines()[1])["samples_ns"]
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        runner = Path(directory) / "runner"
        build(runner)
        runs = [samples_ns(runner, arguments.repeats) for _ in range(arguments.processes)]
    medians = [statistics.median(run) for run in runs]
    ordered = sorted(sample for run in runs for sample in run)
    figures = {
        "median_ns": statistics.median(medians),
        "worst_process_median_ns": max(medians),
        "p99_ns": ordered[int(len(ordered) * 0.99)],
        "limit_ns": LIMIT_NS,
        "processes": arguments.processes,
        "repeats": arguments.repeats,
    }
    if arguments.json:
        print(json.dumps(figures))
    else:
        print(
            f"native runner's own part of a sample: {figures['median_ns']:.0f} ns, worst of "
            f"{arguments.processes} processes {figures['worst_process_median_ns']:.0f} ns, p99 "
            f"{figures['p99_ns']} ns (limit {LIMIT_NS} ns)"
        )
    if max(medians) >= LIMIT_NS:
        sys.exit(9)


if __name__ == "__main__":
    main()
