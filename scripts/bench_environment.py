"""Does recording the environment change what is measured?

In fresh processes, blocks of as many inferences as a bench makes at least take turns: with the readings that
`bench` makes (this machine's around the whole, the runner's own around the timed inferences), and without.
Prints the median over pairs of blocks of the ratio of their medians, with its interval over processes; exits
1 where that does not lie within the limit.

    .venv/bin/python scripts/bench_environment.py --processes 8 --pairs 25
"""

from __future__ import annotations

import argparse
import sys

from edgekit.convert.manifest import find_artifacts
from edgekit.core.processes import ProcessWatch
from edgekit.core.stats import median
from edgekit.measure.ab import AbOptions, load_request
from edgekit.measure.cell import Timing
from edgekit.measure.environment import read_host_environment
from edgekit.measure.intervals import paired_interval
from edgekit.measure.target import HostTarget, Subject
from edgekit.runners.protocol import Run
from edgekit.runners.session import RunnerSession

ENGINE = "onnxruntime"
LIMIT = 0.005
INFERENCES = Run(warmup=0, warmup_ns=0, repeats=Timing().repeats, min_ns=0)
WARM_UP = Run(warmup=0, warmup_ns=0, repeats=Timing().warmup, min_ns=0)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", nargs="?", default="PPLCNet_x1_0", help="NAME or its directory")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=25, help="of blocks, in each process")
    asked = parser.parse_args()
    directory, manifest = find_artifacts(asked.model)
    subject = Subject(directory=directory, manifest=manifest)
    target = HostTarget()
    ratios = []
    for number in range(asked.processes):
        with target.session(ENGINE, asked.model) as session:
            session.load(load_request(target, subject, AbOptions(engine=ENGINE, cores=(number % 2,))))
            session.run(Run())
            pairs = [pair(session, recorded_first=index % 2 == 0) for index in range(asked.pairs)]
            ratios.append(median(pairs))
        print(f"process {number + 1}: {ratios[-1] - 1:+.2%}", flush=True)
    interval = paired_interval(ratios)
    assert interval is not None
    words = f"{interval.estimate - 1:+.2%} [{interval.low - 1:+.2%}, {interval.high - 1:+.2%}]"
    print(f"with the environment recorded, the median changes by {words}; limit {LIMIT:.1%}")
    return 0 if interval.low > 1 - LIMIT and interval.high < 1 + LIMIT else 1


def pair(session: RunnerSession, *, recorded_first: bool) -> float:
    """The median with the environment recorded over that without."""
    watch = ProcessWatch()
    read_host_environment(watch)
    medians = {}
    for recorded in (recorded_first, not recorded_first):
        if recorded:
            read_host_environment(watch)
        session.run(WARM_UP)
        if recorded:
            session.environment()
        samples = session.run(INFERENCES).samples_ns
        if recorded:
            session.environment()
            read_host_environment(watch)
        medians[recorded] = median(samples)
    return medians[True] / medians[False]


if __name__ == "__main__":
    sys.exit(main())
