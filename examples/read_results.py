"""Medians of every measured point of result files, from their raw samples.

python examples/read_results.py results
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path


def main(place: Path) -> None:
    for path in sorted(place.glob("*.json")) if place.is_dir() else [place]:
        result = json.loads(path.read_text())
        for point in result.get("points", []):
            processes = [process["samples_ns"] for process in point.get("processes", [])]
            if not any(processes) or result["target"].get("emulated"):
                continue  # skipped and failed points have no samples; emulated ones have no meaningful time
            medians = [statistics.median(samples) / 1e6 for samples in processes if samples]
            print(
                f"{path.name}: {point['model']} {point['engine']} {point['precision']}, "
                f"{point['effective_threads'] or point['requested_threads']} threads, "
                f"batch {point['batch_size']}: {statistics.median(medians):.2f} ms "
                f"(processes {min(medians):.2f} to {max(medians):.2f}), {point['verdict']}"
            )


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results"))
