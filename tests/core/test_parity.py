"""Names of a ladder's rungs."""

from __future__ import annotations

import pytest

from edgekit.core.parity import rung_artifact


@pytest.mark.parametrize(
    ("rung", "artifact"),
    [
        ("onnx", "onnx"),
        ("onnx@ssh://root@board:22", "onnx"),
        ("onnx-int8/onnxruntime-python@phone", "onnx-int8"),
        ("paddle-int8-simulated", "paddle-int8"),
    ],
)
def test_a_rung_is_of_an_artifact(rung: str, artifact: str) -> None:
    assert rung_artifact(rung) == artifact
