"""Commands that are killed at random moments of their own length."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

MOMENTS = 20
# Every second kill waits until the new manifest is staged: the moments that matter are short and come late.
AIMED = 2
COMMIT_S = 0.03


def kill_at_random_moments(
    commands: Sequence[Sequence[str | Path]],
    directory: Path,
    models: Path,
    check: Callable[[], None],
    seed: int,
) -> None:
    """Run commands by turns and SIGKILL each; `check` what is left, and that most were still running.

    Args:
        commands: Words after `edgekit`.
        directory: Where they run.
        models: The artifact directory that they write.
        check: Raises where that is neither old nor new.
        seed: Of the moments.
    """
    source = random.Random(seed)
    started = time.monotonic()
    assert _start(commands[0], directory).wait(300) == 0
    length_s = time.monotonic() - started
    ends = []
    for turn in range(MOMENTS):
        child = _start(commands[(turn + 1) % len(commands)], directory)
        if turn % AIMED == 0:
            _wait_until_staged(child, models)
            time.sleep(source.uniform(0, COMMIT_S))
        else:
            time.sleep(source.uniform(0, length_s))
        child.send_signal(signal.SIGKILL)
        ends.append(child.wait(60))
        check()
    assert set(ends) <= {0, -signal.SIGKILL}
    assert ends.count(-signal.SIGKILL) > MOMENTS // 2, "kills have to hit a running command to mean anything"


def _start(words: Sequence[str | Path], directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "edgekit", *words],
        cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _wait_until_staged(child: subprocess.Popen[bytes], models: Path) -> None:
    while child.poll() is None and not any(models.glob(".export-*/manifest.json")):
        time.sleep(0.001)
