"""Does recording the environment change what is measured?

In fresh processes, blocks of 20 inferences (a bench times 100 at least) take turns: with the readings that
the runner makes just before and just after them, and without. What edgekit itself reads is read before the
process starts and after it has ended. Prints the median over pairs of blocks of the ratio of their medians,
with its interval over processes; exits 9 where that does not lie within the limit.

    .venv/bin/python scripts/bench_environment.py --processes 16 --pairs 60
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench_overhead import export

from edgekit.convert.manifest import find_artifacts
from edgekit.core.spec import Precision
from edgekit.core.stats import median
from edgekit.judge.intervals import paired_interval
from edgekit.runners.protocol import Run
from edgekit.runners.session import RunnerSession
from edgekit.targets.target import HostTarget, Subject, load_request

MODEL = "PPLCNet_x1_0"
ENGINE = "onnxruntime"
LIMIT = 0.005
INFERENCES = Run(warmup=0, warmup_ns=0, repeats=20, min_ns=0)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", nargs="?", help="an exported model; PPLCNet_x1_0 is exported without")
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=60, help="of blocks, in each process")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgekit-environment-") as name:
        if asked.model is None:
            subject = export(MODEL, Path(name) / MODEL)
        else:
            directory, manifest = find_artifacts(asked.model)
            subject = Subject(directory=directory, manifest=manifest)
        return measure(subject, asked.processes, asked.pairs)


def measure(subject: Subject, processes: int, pairs_each: int) -> int:
    """Print the change of each process and of all, and return the exit code."""
    target = HostTarget()
    artifact = subject.artifact(target.artifact_kind(ENGINE, Precision.FP32))
    ratios = []
    for number in range(processes):
        with target.session(ENGINE, str(subject.directory)) as session:
            session.load(load_request(target, subject, artifact, cores=(number % 2,)))
            session.run(Run())
            pairs = [pair(session, recorded_first=index % 2 == 0) for index in range(pairs_each)]
            ratios.append(median(pairs))
        print(f"process {number + 1}: {ratios[-1] - 1:+.2%}", flush=True)
    interval = paired_interval(ratios)
    assert interval is not None
    words = f"{interval.estimate - 1:+.2%} [{interval.low - 1:+.2%}, {interval.high - 1:+.2%}]"
    print(f"with the environment recorded, the median changes by {words}; limit {LIMIT:.1%}")
    return 0 if interval.low > 1 - LIMIT and interval.high < 1 + LIMIT else 9


def pair(session: RunnerSession, *, recorded_first: bool) -> float:
    """The median with the environment recorded over that without."""
    medians = {}
    for recorded in (recorded_first, not recorded_first):
        if recorded:
            session.environment()
        medians[recorded] = median(session.run(INFERENCES).samples_ns)
        if recorded:
            session.environment()
    return medians[True] / medians[False]


if __name__ == "__main__":
    sys.exit(main())
