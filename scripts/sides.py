"""Children that take turns at the same directories, for benchmarks of two programs in pairs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

LINES_TIMEOUT_S = 600
# OpenMP's threads go on spinning for 0.2 s after the last inference of a side with two.
SETTLE_S = 0.5


class Side:
    """A child that predicts whole directories on request.

    Args:
        words: Its command line.
        env: Environment variables to set in addition.
    """

    def __init__(self, words: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the child)
        self._child = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True,
            env={**os.environ, **(env or {})},
        )  # fmt: skip
        self._line()

    def _line(self) -> str:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            self._said.seek(0)
            raise SystemExit(f"{self._child.args} ended:\n{self._said.read().decode()[-2000:]}")
        return line

    def predict(self, directory: Path) -> dict:
        assert self._child.stdin is not None
        self._child.stdin.write(f"{directory}\n")
        self._child.stdin.flush()
        return json.loads(self._line())

    def close(self) -> None:
        self._child.communicate(timeout=LINES_TIMEOUT_S)


def children(pid: int) -> set[int]:
    """Processes that a process has started; its threads, and itself, may end meanwhile."""
    found: set[int] = set()
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.update(map(int, listed.read_text().split()))
    return found


def tree_cpu_s() -> float:
    """CPU seconds of this process (ended threads too) and of its children, by the kernel's counters."""
    total = 0
    for pid in children(os.getpid()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            for thread in Path(f"/proc/{pid}/task").iterdir():
                total += int((thread / "schedstat").read_text().split()[0])
    return time.process_time() + total / 1e9


def take_turns(sides: dict[str, Side], directory: Path, rounds: int) -> dict[str, list[dict]]:
    """One warm-up each, then rounds in which every side has its turn."""
    for side in sides.values():
        side.predict(directory)
    results: dict[str, list[dict]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            time.sleep(SETTLE_S)
            results[name].append(side.predict(directory))
    return results


def judge(figures: Mapping[str, float], limits: Mapping[str, tuple[float, str]]) -> bool:
    """Print every figure beside its limit, `least` or `most`; return True where all are kept."""
    kept = True
    for name, value in figures.items():
        limit, kind = limits[name]
        good = value >= limit if kind == "least" else value <= limit
        kept &= good
        print(f"{'ok  ' if good else 'MISS'} {name}: {value:.3g} (at {kind} {limit:g})")
    return kept
