"""How much of a sweep is spent inside inference: 8 models, 4 engines, 1 and 2 threads; limit 80 %.

Inside counts every warm-up and timed inference of the worker processes; outside are process starts,
imports, loading, parity checks and saving.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from edgekit.bench.results import load_result
from edgekit.core.measurement import Point, Status
from edgekit.core.stats import median

MODELS = tuple(f"PPLCNet_x{scale}" for scale in ("0_25", "0_35", "0_5", "0_75", "1_0", "1_5", "2_0", "2_5"))
ENGINES = ("paddle", "onnxruntime", "openvino", "paddlelite")
THREADS = "1,2"
LIMIT = 0.80


def inside_s(point: Point) -> float:
    """Seconds of a point within inferences; those of which no time is kept count as the median."""
    inside = 0.0
    for run in point.processes:
        first_ns = run.first_run_ns or 0
        inside += sum(run.samples_ns) + first_ns + (run.warmup_runs - (first_ns > 0)) * median(run.samples_ns)
    if point.startup is not None:
        inside += point.startup.inferences * median(point.samples_ns)
    return inside / 1e9


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=",".join(MODELS), help="fewer; several runs can be added up")
    parser.add_argument("--min-secs", type=float, default=None, help="of each process; default: bench's own")
    arguments = parser.parse_args()
    models = arguments.models.split(",")
    edgekit = [sys.executable, "-m", "edgekit"]
    with tempfile.TemporaryDirectory(prefix="edgekit-sweep-") as name:
        place = Path(name)
        words = [*edgekit, "export", *models, "--weights", "random", "--no-verify"]
        subprocess.run(words, cwd=place, check=True, stdout=subprocess.DEVNULL)
        words = [*edgekit, "bench", *models, "--host", "--engine", ",".join(ENGINES), "--threads", THREADS]
        words += ["-o", "sweep.json"]
        if arguments.min_secs is not None:
            words += ["--min-secs", str(arguments.min_secs)]
        started = time.monotonic()
        subprocess.run(words, cwd=place, check=True, stdout=subprocess.DEVNULL)
        wall_s = time.monotonic() - started
        points = load_result(place / "sweep.json").points
    inside = sum(inside_s(point) for point in points)
    statuses = {status.value: sum(point.status is status for point in points) for status in Status}
    share = inside / wall_s
    print(f"{len(points)} points {statuses}, {wall_s:.0f} s, inside inference {inside:.0f} s: {share:.1%}")
    print(f"limit {LIMIT:.0%}: {'held' if share >= LIMIT else 'MISSED'}")
    return 0 if share >= LIMIT else 9


if __name__ == "__main__":
    sys.exit(main())
