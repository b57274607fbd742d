"""Hostile inputs: no hang, no exit code 1, no gigabyte, no code run, no file outside."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

COUNT, SEED = 60, 1


@pytest.mark.slow
def test_hostile_inputs() -> None:
    """In a small process: the peak memory of a child counts what its starter held when it started it."""
    done = subprocess.run(
        [sys.executable, "-m", "scripts.hostile", str(COUNT), str(SEED)],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=1200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
