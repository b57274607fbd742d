"""Models whose outputs hardly change with the input: bench and verify say that parity shows little."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from edgekit.parity.inputs import LadderInputs
from edgekit.parity.reference import Reference
from edgekit.parity.rows import RowClimb
from edgekit.parity.tensors import FEEDS, TensorClimb
from edgekit.targets.target import HostTarget, Subject
from tests.manifests import manifest

SAID = "differ by 1e-04 of their range alone"
FIRST = (1.0, 0.0, 0.0)
# An engine that answered one input for all would agree with the first; equal outputs fail the comparison.
SECOND = [((0.9999, 0.0001, 0.0), True), ((0.99, 0.01, 0.0), False), (FIRST, False)]


@pytest.fixture(autouse=True)
def heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("edgekit"), "propagate", True)


def subject(**changes: object) -> Subject:
    return Subject(directory=Path(), manifest=manifest(**changes))


def rows(second: tuple[float, ...]) -> np.ndarray:
    return np.array([FIRST, second], dtype=np.float32)


@pytest.mark.parametrize(("second", "said"), SECOND)
def test_the_reference_of_a_benchmark(
    second: tuple[float, ...], said: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reference = Reference(HostTarget(), subject())
    monkeypatch.setattr(reference, "_compute", lambda count: rows(second)[:count])
    assert (reference.outputs(2) == rows(second)).all()
    assert (SAID in caplog.text) is said


@pytest.mark.parametrize(("second", "said"), SECOND)
def test_the_first_rung_of_a_ladder(
    second: tuple[float, ...], said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    inputs = LadderInputs(every=np.zeros((2, 3, 8, 8), np.float32), seeded=2, held_back=0)
    RowClimb(subject(), lambda _rung: None, inputs).climb([], lambda: rows(second))
    assert (SAID in caplog.text) is said


@pytest.mark.parametrize(
    ("counts", "said"),
    [((2, 2), True), ((1, 2), False)],
    ids=["as many boxes each time", "other numbers of boxes"],
)
def test_one_output_that_differs_is_enough(
    counts: tuple[int, int], said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    tensor = {"name": "x", "dtype": "float32", "shape": [None, 3]}
    climb = TensorClimb(
        subject(outputs=[tensor, {**tensor, "name": "boxes"}], task="tensors"), lambda _rung: None
    )
    both = [
        [rows(second)[1:], np.ones((count, 6), np.float32)]
        for second, count in zip((FIRST, SECOND[0][0]), counts, strict=True)
    ]
    climb.climb([], lambda: [both[number % 2] for number in range(FEEDS)])
    assert (SAID in caplog.text) is said
