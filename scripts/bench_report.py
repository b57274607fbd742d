"""`edgekit report` over 500 result files: seconds and size; limits 3 s and 3 MB of HTML."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from edgekit.measure.results import load_result, save_result

FILES = 500
LIMIT_S = 3.0
LIMIT_BYTES = 3_000_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path, help="a real result file; copies get a run_id each")
    template = load_result(parser.parse_args().result)
    missed = 0
    with tempfile.TemporaryDirectory() as name:
        files = [Path(name) / f"{number}.json" for number in range(FILES)]
        for number, path in enumerate(files):
            save_result(path, msgspec.structs.replace(template, run_id=f"{template.run_id}-{number}"))
        for form in ("table", "csv", "md", "json", "html"):
            start = time.perf_counter()
            page = subprocess.run(
                [sys.executable, "-m", "edgekit", "report", "--format", form, *files],
                check=True,
                capture_output=True,
                timeout=120,
            ).stdout
            spent = time.perf_counter() - start
            late = spent > LIMIT_S or (form == "html" and len(page) > LIMIT_BYTES)
            missed += late
            print(f"{form:6} {spent:5.2f} s  {len(page) / 1e6:5.2f} MB{'  MISSED' if late else ''}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
