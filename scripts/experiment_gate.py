"""How many points of two measured sweeps of the same models alarm, by each rule for many points?

Two sweeps of the same artifacts on one machine, one after the other, are equal: every alarm is a false one.

    edgekit bench PPLCNet_x0_25 --host --engine onnxruntime,openvino --threads 1,2 \\
        --batch-size 1,2,3,4,5,6,7,8,9,10 --min-secs 0.3 -o old.json
    edgekit bench … -o new.json
    .venv/bin/python scripts/experiment_gate.py old.json new.json
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit.bench.results import load_result
from edgekit.core.measurement import Point, Result, Status
from edgekit.judge.compare import Comparison, compare
from edgekit.judge.gate import DEFAULT_THRESHOLD, Change
from edgekit.judge.intervals import process_medians


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--unfinished", action="store_true", help="take interrupted points too")
    asked = parser.parse_args()
    old, new = (finished(load_result(path), asked.unfinished) for path in (asked.old, asked.new))
    family = compare(old, new, threshold=DEFAULT_THRESHOLD).points
    alone = [one for point in new.points if (one := judged_alone(old, new, point)) is not None]
    low = [one for one in family if one.ratio is not None and one.ratio.low > 1 + DEFAULT_THRESHOLD]
    widths = [one.ratio.relative_half_width for one in family if one.ratio is not None]
    print(f"{len(family)} points, processes differ by {between(old):.1%} and {between(new):.1%} (median)")
    print(f"median half-width of the ratio's interval: ±{statistics.median(widths):.1%}")
    print(f"alarms: each {slower(alone)}, low {len(low)}, holm {slower(family)}")
    smallest = min(family, key=lambda one: 1.0 if one.chance is None else one.chance)
    print(f"smallest p-value after Holm: {smallest.chance}, at a ratio of {smallest.ratio}")


def finished(result: Result, unfinished: bool) -> Result:
    """The result with the points that have two processes at least."""
    points = [
        msgspec.structs.replace(point, status=Status.DONE)
        for point in result.points
        if len(point.processes) > 1 and (unfinished or point.status is Status.DONE)
    ]
    return msgspec.structs.replace(result, points=tuple(points))


def judged_alone(old: Result, new: Result, point: Point) -> Comparison | None:
    """The verdict on one point, as if it were the only one of its sweep."""
    key = (point.model, point.engine, point.requested_threads, point.batch_size)
    same = [
        one for one in old.points if (one.model, one.engine, one.requested_threads, one.batch_size) == key
    ]
    if not same:
        return None
    sides = [msgspec.structs.replace(old, points=tuple(same)), msgspec.structs.replace(new, points=(point,))]
    return compare(*sides, threshold=DEFAULT_THRESHOLD).points[0]


def slower(comparisons: Sequence[Comparison]) -> int:
    return sum(one.change is Change.SLOWER for one in comparisons)


def between(result: Result) -> float:
    """Median over points of the standard deviation of the processes' medians, relative."""
    return statistics.median(
        statistics.stdev(medians) / statistics.mean(medians)
        for medians in map(process_medians, result.points)
    )


if __name__ == "__main__":
    main()
