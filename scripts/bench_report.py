"""`edgekit report` over 500 result files: seconds and size; limits 3 s and 3 MB of HTML."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from edgekit.core.measurement import Result
from edgekit.measure.results import load_result, save_result

FILES = 500
ROUNDS = 3
LIMIT_S = 3.0
LIMIT_BYTES = 3_000_000
RECORDED = Path(__file__).parent.parent / "tests" / "data" / "results" / "version1_host.json"
MODELS = ("PPLCNet_x0_25", "PPLCNet_x0_5", "PPLCNet_x1_0")
SAMPLES_TIMES = 5


def recorded() -> Result:
    """A sweep of ordinary size: the recorded points for three models, with five times their samples."""
    one = load_result(RECORDED)
    points = []
    for model in MODELS:
        for point in one.points:
            runs = [
                msgspec.structs.replace(run, samples_ns=run.samples_ns * SAMPLES_TIMES)
                for run in point.processes
            ]
            points.append(msgspec.structs.replace(point, model=model, processes=tuple(runs)))
    return msgspec.structs.replace(one, points=tuple(points))


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
            spent, size = min(report(Path(name), form) for _ in range(ROUNDS))
            late = spent > LIMIT_S or (form == "html" and size > LIMIT_BYTES)
            missed += late
            print(f"{form:6} {spent:5.2f} s  {size / 1e6:5.2f} MB{'  MISSED' if late else ''}")
    return 1 if missed else 0


def report(directory: Path, form: str) -> tuple[float, int]:
    """Seconds of one run of the command, and bytes that it wrote."""
    command = [sys.executable, "-m", "edgekit", "report", "--published", "--format", form, directory]
    start = time.perf_counter()
    page = subprocess.run(command, check=True, capture_output=True, timeout=120).stdout
    return time.perf_counter() - start, len(page)


if __name__ == "__main__":
    sys.exit(main())
