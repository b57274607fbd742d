"""Damage files of every kind that edgekit reads, many times: `python -m scripts.fuzz [COUNT] [FIRST_SEED]`.

Prints every finding and a summary. `tests/fuzz` runs the same with fewer.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.conftest import build_seeds
from tests.fuzz.damage import Kind, attempt, schedule

WORKERS = 2


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:]]
    count, first = (*numbers, *(10_000, 0)[len(numbers) :])
    with tempfile.TemporaryDirectory(prefix="edgekit-fuzz-") as name:
        seeds = build_seeds(Path(name))

        def one(job: tuple[int, Kind]) -> str | None:
            finding = attempt(seeds, job[1], first + job[0], Path(name))
            if finding:
                print(finding, flush=True)
            return finding

        kinds = schedule(count)
        with ThreadPoolExecutor(WORKERS) as pool:
            findings = [each for each in pool.map(one, enumerate(kinds)) if each]
    print(f"{count} inputs, {len(findings)} findings; by kind: {dict(Counter(k.name for k in kinds))}")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
