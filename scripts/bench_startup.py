"""`edgekit --help` against an empty click program, each a process, in turns. Limit: 1.3 times."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 1.3
EMPTY = "import click\n@click.group()\ndef main(): pass\nmain()\n"
EDGEKIT = "from edgekit.__main__ import main\nmain()\n"


def wall_s(script: Path) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, script, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        empty, edgekit = Path(directory, "empty.py"), Path(directory, "edgekit_help.py")
        empty.write_text(EMPTY)
        edgekit.write_text(EDGEKIT)
        wall_s(empty), wall_s(edgekit)
        pairs = [(wall_s(edgekit), wall_s(empty)) for _ in range(arguments.rounds)]
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    figures = {
        "edgekit_ms": 1000 * statistics.median(ours for ours, _ in pairs),
        "empty_click_ms": 1000 * statistics.median(theirs for _, theirs in pairs),
        "ratio": ratio,
        "limit": LIMIT,
        "reached": ratio <= LIMIT,
    }
    if arguments.json:
        print(json.dumps(figures))
    else:
        print(
            f"edgekit --help {figures['edgekit_ms']:.1f} ms, empty click program "
            f"{figures['empty_click_ms']:.1f} ms, ratio {ratio:.2f} (limit {LIMIT}, "
            f"median of {arguments.rounds} pairs)"
        )


if __name__ == "__main__":
    main()
