"""Meet hostile inputs over commands: `python -m scripts.hostile [COUNT] [SEED]`.

Prints every finding, and a table by kind of harm: inputs, exit codes, findings, the slowest and the largest.
`tests/fuzz` meets the same with fewer.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.conftest import build_seeds
from tests.fuzz.hostile import MARKER, Outcome, cases, run_case


def show(outcomes: Sequence[Outcome]) -> None:
    """A line for every kind of harm and one for all of them."""
    for family in [*dict.fromkeys(one.case.family for one in outcomes), "all"]:
        chosen = [one for one in outcomes if family in (one.case.family, "all")]
        codes = Counter("hang" if one.exit_code is None else str(one.exit_code) for one in chosen)
        ends = ", ".join(f"{code}: {count}" for code, count in sorted(codes.items()))
        slowest = max(chosen, key=lambda one: one.seconds)
        largest = max(chosen, key=lambda one: one.peak_bytes)
        bad = sum(bool(one.findings) for one in chosen)
        print(
            f"{family:<16}{len(chosen):>5} inputs, {bad} with findings, exit codes "
            f"{{{ends}}}, slowest {slowest.seconds:.1f} s ({slowest.case.name[:50]}), largest "
            f"{largest.peak_bytes >> 20} MiB ({largest.case.name[:50]})"
        )


def main() -> None:
    count, seed, *_ = (*map(int, sys.argv[1:]), *(900, 0)[len(sys.argv) - 1 :])
    with tempfile.TemporaryDirectory(prefix="edgekit-hostile-") as name:
        scratch = Path(name)
        seeds, marker = build_seeds(scratch), scratch / MARKER
        outcomes = []
        for case in itertools.islice(cases(seed, marker), count):
            outcome = run_case(case, seeds, scratch, marker)
            outcomes.append(outcome)
            for finding in outcome.findings:
                print(f"{case.family}: {case.name} ({' '.join(case.words)[:200]!r}): {finding}", flush=True)
    show(outcomes)
    sys.exit(1 if any(one.findings for one in outcomes) else 0)


if __name__ == "__main__":
    main()
