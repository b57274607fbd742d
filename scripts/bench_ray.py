"""`predict --ray` on a cluster of two workers against two lanes of one process, in turns.

    .venv/bin/python scripts/bench_ray.py --pictures 20000

Needs the extra `ray`. Both commands are timed from their start to their end, on the same PPLCNet_x1_0 (random
weights) and the same pictures (names of 200 JPEGs); the cluster runs already, as clusters do. Prints the
ratios of pictures a second, round by round, and their median.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench_predict import MODEL, SIZE, write_pictures
from sides import judge

LIMITS = {"pictures a second on two workers, times two lanes of one process": (0.9, "least")}
FILES, WORKERS = 200, 2


def seconds(words: Sequence[object], scratch: Path) -> tuple[float, str]:
    """Time of one edgekit command, and what it wrote to stdout."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "edgekit", *map(str, words)]
    done = subprocess.run(command, check=True, cwd=scratch, capture_output=True, text=True, timeout=3600)
    return time.perf_counter() - begun, done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        from ray.cluster_utils import Cluster
    except ImportError:
        parser.error("Ray is not installed: .venv/bin/python -m pip install '.[ray]'")

    with tempfile.TemporaryDirectory(prefix="edgekit-bench-") as directory:
        scratch = Path(directory)
        seconds(["export", MODEL, "--weights", "random", "--formats", "paddle,onnx"], scratch)
        write_pictures(scratch / "files", FILES, SIZE, seed=0)
        (scratch / "all").mkdir()
        for number in range(options.pictures):
            os.link(scratch / "files" / f"{number % FILES:04d}.jpg", scratch / "all" / f"{number:06d}.jpg")
        cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": WORKERS, "include_dashboard": False}
        )
        try:
            return measure(scratch, cluster.address, options.pictures, options.rounds)
        finally:
            cluster.shutdown()


def measure(scratch: Path, address: str, pictures: int, rounds: int) -> int:
    """Let both commands take turns and judge the ratio; the exit code."""
    ratios = []
    for turn in range(rounds + 1):  # the first, of few pictures, reads files and libraries into memory
        folder = "all" if turn else "files"
        spread = ["predict", MODEL, folder, "--ray", address, "-o", f"parts{turn}", "--workers", WORKERS]
        spread_s, _ = seconds(spread, scratch)
        alone_s, lines = seconds(["predict", MODEL, folder, "--jsonl", "--workers", WORKERS], scratch)
        rows = [line for path in sorted((scratch / f"parts{turn}").glob("part-*")) for line in path.open()]
        assert [json.loads(row) for row in rows] == [json.loads(line) for line in lines.splitlines()]
        if turn:
            ratios.append(alone_s / spread_s)
            print(
                f"{pictures} pictures: {spread_s:.1f} s on {WORKERS} workers, {alone_s:.1f} s in one process"
            )
    return 0 if judge(dict.fromkeys(LIMITS, statistics.median(ratios)), LIMITS) else 9


if __name__ == "__main__":
    sys.exit(main())
