"""`edgekit report` over 500 result files: seconds and size; limits 3 s and 3 MB of HTML."""

from __future__ import annotations

import argparse
import itertools
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import msgspec

from edgekit.bench.document import save_result
from edgekit.bench.results import load_result
from edgekit.core.measurement import ProcessRun, Result

FILES = 500
ROUNDS = 3
LIMIT_S = 3.0
LIMIT_BYTES = 3_000_000
RECORDED = Path(__file__).parent.parent / "tests" / "data" / "results" / "version1_host.json"
MODELS = ("PPLCNet_x0_25", "PPLCNet_x0_5", "PPLCNet_x1_0")
# What `bench` writes by default: five processes a point, in all about so many samples a file.
PROCESSES = 5
SAMPLES = 17_500


def recorded() -> Result:
    """A sweep of ordinary size: the recorded points for three models, their samples repeated within ±2 %."""
    one = load_result(RECORDED)
    wanted = SAMPLES // (len(one.points) * len(MODELS) * PROCESSES)
    random = Random(0)
    points = []
    for model in MODELS:
        for point in one.points:
            runs = tuple(
                longer(run, wanted, random)
                for run in itertools.islice(itertools.cycle(point.processes), PROCESSES)
            )
            points.append(msgspec.structs.replace(point, model=model, processes=runs))
    return msgspec.structs.replace(one, points=tuple(points))


def longer(run: ProcessRun, wanted: int, random: Random) -> ProcessRun:
    """The run with `wanted` samples, near its own ones."""
    own = itertools.islice(itertools.cycle(run.samples_ns), wanted)
    return msgspec.structs.replace(run, samples_ns=tuple(round(ns * random.gauss(1, 0.02)) for ns in own))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path, nargs="?", help="copies of it; without, of a recorded one")
    path = parser.parse_args().result
    template = recorded() if path is None else load_result(path)
    samples = sum(len(point.samples_ns) for point in template.points)
    print(
        f"{FILES} files of {len(template.points)} points and {samples} samples; the best of {ROUNDS} rounds"
    )
    missed = 0
    with tempfile.TemporaryDirectory() as name:
        for number in range(FILES):
            copy = msgspec.structs.replace(template, run_id=f"{template.run_id}-{number}")
            save_result(Path(name) / f"{number:03}.json", copy)
        for form in ("table", "csv", "md", "json", "html"):
            spent, cpu, size = min(report(Path(name), form) for _ in range(ROUNDS))
            late = spent > LIMIT_S or (form == "html" and size > LIMIT_BYTES)
            missed += late
            missing = "  MISSED" if late else ""
            print(f"{form:6} {spent:5.2f} s, {cpu:5.2f} s of a CPU  {size / 1e6:5.2f} MB{missing}")
    return 9 if missed else 0


def report(directory: Path, form: str) -> tuple[float, float, int]:
    """Seconds of one run of the command, those of its CPU time, and bytes that it wrote."""
    command = [sys.executable, "-m", "edgekit", "report", "--published", "--format", form, directory]
    start, cpu = time.perf_counter(), children_cpu_s()
    page = subprocess.run(command, check=True, capture_output=True, timeout=120).stdout
    return time.perf_counter() - start, children_cpu_s() - cpu, len(page)


def children_cpu_s() -> float:
    """User and system time of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
