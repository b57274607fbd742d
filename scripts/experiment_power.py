"""How small a slowdown do `bench --host --ab` and `compare` find, and how often do they raise a false alarm?

Every try is what a user does, with the defaults, on ONNX Runtime: `--ab` of a model and a copy of it, or two
benches and `compare` of their result files. The copy runs in the same engine, which then spins for a share of
each inference's own time (scripts/spinning_worker.py); a share of 0 is A against A. Kinds of tries take
turns, and every try is a line of LOG, so that this can be run in pieces, whenever a machine is quiet:

    .venv/bin/python scripts/experiment_power.py LOG --max-secs 240 --tries 20
    .venv/bin/python scripts/experiment_power.py LOG --summary
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from spinning_worker import ENGINE, SLOWER, SpinningTarget

from edgekit.bench.ab import AbOptions, run_ab
from edgekit.bench.bench import bench
from edgekit.bench.results import load_result
from edgekit.convert.manifest import find_artifacts
from edgekit.core.bench_options import BenchOptions
from edgekit.judge.compare import compare
from edgekit.judge.gate import DEFAULT_THRESHOLD, Change
from edgekit.judge.intervals import Interval
from edgekit.parity.reference import References
from edgekit.targets.target import HostTarget, Subject

KINDS = (
    ("ab", 0.0),
    ("ab", 0.02),
    ("ab", 0.03),
    ("compare", 0.0),
    ("compare", 0.05),
    ("compare", 0.1),
)


# Outputs that points are checked with, computed once for all tries.
REFERENCES = References(HostTarget())


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """One try: what was done, what was answered, and from what."""

    way: str
    slowdown: float
    change: Change
    ratio: Interval | None
    control: Interval | None = None
    machine_ratio: Interval | None = None
    reason: str
    seconds: float


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("log", type=Path, help="JSON lines, a try each; appended to")
    parser.add_argument("--model", default="PPLCNet_x1_0", help="NAME or its directory")
    parser.add_argument("--only", action="append", metavar="KIND", help="as ab:0.03; repeatable")
    parser.add_argument("--tries", type=int, default=20, help="tries of each kind altogether")
    parser.add_argument("--max-secs", type=float, default=240, help="no try is started after that")
    parser.add_argument("--summary", action="store_true", help="only say what the log holds")
    asked = parser.parse_args()
    tries = read(asked.log)
    if not asked.summary:
        directory, _ = find_artifacts(asked.model)
        until = time.monotonic() + asked.max_secs
        kinds = [kind for kind in KINDS if not asked.only or f"{kind[0]}:{kind[1]:g}" in asked.only]
        with tempfile.TemporaryDirectory() as work:
            while time.monotonic() < until:
                way, slowdown = min(kinds, key=lambda kind: count(tries, *kind))
                if count(tries, way, slowdown) >= asked.tries:
                    break
                tries.append(run_try(way, slowdown, directory, Path(work)))
                with asked.log.open("ab") as log:
                    log.write(msgspec.json.encode(tries[-1]) + b"\n")
    print(summary(tries))
    return 0


def read(log: Path) -> list[Try]:
    lines = log.read_bytes().splitlines() if log.exists() else []
    return [msgspec.json.decode(line, type=Try) for line in lines]


def count(tries: Sequence[Try], way: str, slowdown: float) -> int:
    return sum((one.way, one.slowdown) == (way, slowdown) for one in tries)


def run_try(way: str, slowdown: float, directory: Path, work: Path) -> Try:
    begin = time.monotonic()
    subjects = [subject(directory, work, share) for share in (0.0, slowdown)]
    done = (try_ab if way == "ab" else try_compare)(slowdown, subjects, work)
    return msgspec.structs.replace(done, seconds=round(time.monotonic() - begin, 1))


def subject(directory: Path, work: Path, slowdown: float) -> Subject:
    """A copy of the model that is slower by so much."""
    copy = work / f"{directory.name}{SLOWER}{round(slowdown * 1000)}"
    if not copy.exists():
        shutil.copytree(directory, copy)
    _, manifest = find_artifacts(str(copy))
    return Subject(directory=copy, manifest=manifest)


def try_ab(slowdown: float, subjects: Sequence[Subject], work: Path) -> Try:
    report = run_ab(
        SpinningTarget(), *subjects, AbOptions(engine=ENGINE), references=REFERENCES, show=lambda _: None
    )
    return Try(
        way="ab",
        slowdown=slowdown,
        change=report.change,
        ratio=report.ratio,
        control=report.control,
        reason=report.reason,
        seconds=0,
    )


def try_compare(slowdown: float, subjects: Sequence[Subject], work: Path) -> Try:
    paths = [work / "old.json", work / "new.json"]
    for one, path in zip(subjects, paths, strict=True):
        options = BenchOptions(engines=(ENGINE,), output=str(path))
        bench(SpinningTarget(), [one], options, show=lambda _: None, references=REFERENCES)
    [found] = compare(load_result(paths[0]), load_result(paths[1]), threshold=DEFAULT_THRESHOLD).points
    return Try(
        way="compare",
        slowdown=slowdown,
        change=found.change,
        ratio=found.ratio,
        machine_ratio=found.machine_ratio,
        reason=found.reason,
        seconds=0,
    )


def summary(tries: Sequence[Try]) -> str:
    rows = [
        "| command | slowdown | tries | too noisy | slower | faster | same | seconds a try |",
        "|---|" * 8,
    ]
    rows[1] = "|" + "---|" * 8
    for way, slowdown in KINDS:
        some = [one for one in tries if (one.way, one.slowdown) == (way, slowdown)]
        if not some:
            continue
        told = [sum(one.change is change for one in some) for change in COLUMNS]
        seconds = sum(one.seconds for one in some) / len(some)
        cells = (way, f"{slowdown:.0%}", len(some), *told, f"{seconds:.0f}")
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows)


COLUMNS = (Change.TOO_NOISY, Change.SLOWER, Change.FASTER, Change.SAME)

if __name__ == "__main__":
    sys.exit(main())
