"""Hostile inputs: no hang, no exit code 1, no gigabyte, no code run, no file outside."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.fuzz.hostile import MARKER, cases, run_case

COUNT = 60


@pytest.mark.slow
def test_hostile_inputs(seeds: Path, tmp_path: Path) -> None:
    marker = tmp_path / MARKER
    outcomes = [run_case(case, seeds, tmp_path, marker) for case in itertools.islice(cases(1, marker), COUNT)]
    assert [f"{one.case.name}: {finding}" for one in outcomes for finding in one.findings] == []
