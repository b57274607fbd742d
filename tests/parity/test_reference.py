"""Outputs that points are compared with."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from edgekit.parity.reference import Reference
from edgekit.targets.target import HostTarget, Subject
from tests.manifests import manifest


@pytest.mark.parametrize(
    ("second", "said"),
    [((0.9999, 0.0001, 0.0), True), ((0.99, 0.01, 0.0), False), ((1.0, 0.0, 0.0), False)],
)
def test_a_reference_whose_outputs_are_alike_is_said_to_show_little(
    second: tuple[float, ...], said: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An engine that answered one input for all would agree; equal outputs fail the comparison itself."""
    monkeypatch.setattr(logging.getLogger("edgekit"), "propagate", True)
    reference = Reference(HostTarget(), Subject(directory=Path(), manifest=manifest()))
    outputs = np.array([(1.0, 0.0, 0.0), second], dtype=np.float32)
    monkeypatch.setattr(reference, "_compute", lambda count: outputs[:count])
    assert (reference.outputs(2) == outputs).all()
    assert ("differ by 1e-04 of their range" in caplog.text) is said
