"""The ladder of any outputs: the reference, what a rung's failure means, and which failures end the climb."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgekit.core.artifact import ArtifactKind
from edgekit.errors import DeviceLostError, EdgekitError, MismatchError, RunnerError, ToolError
from edgekit.parity.ladder import Ladder, Rung, RungStatus
from edgekit.parity.tensors import TensorClimb
from edgekit.targets.target import Subject
from tests.manifests import manifest


class Broken:
    """A target whose engines cannot be made ready."""

    def __init__(self, error: EdgekitError) -> None:
        self.error = error

    def prepare(self, engine: str) -> None:
        raise self.error


def climb(error: EdgekitError) -> Ladder:
    tensor = {"name": "x", "dtype": "int64", "shape": [None, 3]}
    file = {"path": "inference.onnx", "sha256": "0" * 64, "size_bytes": 1}
    artifact: dict[str, Any] = {
        "kind": "onnx", "files": [file], "inputs": [tensor], "outputs": [tensor], "tool": "none",
        "tool_version": "0", "parent_sha256": None,
    }  # fmt: skip
    model = manifest(inputs=[tensor], model="net", source="random (seed 0)", artifacts={"onnx": artifact})
    rung = Rung(name="onnx@1", kind=ArtifactKind.ONNX, engine="onnxruntime", target=Broken(error))  # type: ignore[arg-type]
    climb = TensorClimb(Subject(directory=Path(), manifest=model), lambda _rung: None)
    climb.climb([rung], None)
    return climb.ladder()


def test_versions_that_differ_are_an_error_in_the_end() -> None:
    ladder = climb(MismatchError("opt 2 and runtime 1", hint="edgekit push --allow-mismatch"))
    assert [rung.status for rung in ladder.rungs] == [RungStatus.SKIPPED]
    with pytest.raises(ToolError, match="was not climbed: opt 2 and runtime 1") as raised:
        ladder.raise_for_failure(manifest())
    assert raised.value.hint == "edgekit push --allow-mismatch"


def test_a_runner_that_died_is_a_rung_that_failed_with_its_hint() -> None:
    ladder = climb(RunnerError("it died", hint="edgekit doctor"))
    assert [(rung.status, rung.hint) for rung in ladder.rungs] == [(RungStatus.FAILED, "edgekit doctor")]


def test_a_device_that_went_away_says_nothing_of_the_artifact() -> None:
    with pytest.raises(DeviceLostError):
        climb(DeviceLostError("the device went away"))
