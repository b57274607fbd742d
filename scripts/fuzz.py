"""Damage files of every kind that edgekit reads, many times: `python -m scripts.fuzz [COUNT] [FIRST_SEED]`.

Prints every finding, and a table by kind: inputs, exit codes, findings, the slowest. `tests/fuzz` runs the
same with fewer.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.conftest import build_seeds
from tests.fuzz.damage import KINDS, Attempt, Kind, attempt, schedule
from tests.warm_python import warm_python

WORKERS = 2


def show(attempts: Sequence[Attempt]) -> None:
    """A line for every kind and one for all of them."""
    for name in [kind.name for kind in KINDS] + ["all"]:
        chosen = [one for one in attempts if name in (one.kind, "all")]
        if not chosen:
            continue
        codes = Counter("hang" if one.exit_code is None else str(one.exit_code) for one in chosen)
        ends = ", ".join(f"{code}: {count}" for code, count in sorted(codes.items()))
        findings = sum(one.finding is not None for one in chosen)
        slowest = max(chosen, key=lambda one: one.seconds)
        print(
            f"{name:<14}{len(chosen):>6} inputs, {findings} findings, exit codes {{{ends}}}, "
            f"slowest {slowest.seconds:.1f} s ({slowest.words})"
        )


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:]]
    count, first = (*numbers, *(10_000, 0)[len(numbers) :])
    with tempfile.TemporaryDirectory(prefix="edgekit-fuzz-") as name, warm_python(Path(name)) as python:
        seeds = build_seeds(Path(name))

        def one(job: tuple[int, Kind]) -> Attempt:
            done = attempt(python, seeds, job[1], first + job[0], Path(name))
            if done.finding:
                print(done.finding, flush=True)
            return done

        with ThreadPoolExecutor(WORKERS) as pool:
            attempts = list(pool.map(one, enumerate(schedule(count))))
    show(attempts)
    sys.exit(1 if any(one.finding for one in attempts) else 0)


if __name__ == "__main__":
    main()
