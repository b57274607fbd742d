"""`predict --engine auto`: the engine that a bench of this machine found fastest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from edgekit.targets.target import HostTarget
from tests.conftest import CliResult

RELEASE = Path(__file__).parents[1] / "data" / "release_0_1_0"


@pytest.fixture
def result(tmp_path: Path, run_inside: object) -> dict[str, Any]:
    """A result of this machine with two engines, made from a recorded one; the model lies beside it."""
    shutil.copytree(RELEASE / "model", tmp_path / "tiny")
    cv2.imwrite("plain.png", np.full((40, 48, 3), (237, 119, 194), np.uint8))
    document: dict[str, Any] = json.loads((RELEASE / "host.json").read_bytes())
    document["target"] = msgspec.to_builtins(HostTarget().info)
    first = document["points"][0] | {"verdict": "valid", "reasons": []}
    slower = json.loads(json.dumps(first)) | {"engine": "openvino"}
    for process in slower["processes"]:
        process["samples_ns"] = [10 * sample for sample in process["samples_ns"]]
    document["points"] = [slower, first]
    return document


def test_the_fastest_valid_engine_is_taken(
    run_inside: Callable[..., CliResult], result: dict[str, Any]
) -> None:
    pytest.importorskip("onnxruntime")
    Path("results").mkdir()
    Path("results/damaged.json").write_text("{")
    Path("results/here.json").write_text(json.dumps(result))
    done = run_inside("predict", "tiny", "plain.png", "--engine", "auto", "--json")
    assert done.exit_code == 0, done.stderr
    assert "engine onnxruntime: 0.0" in done.stderr
    assert "in results/here.json, fastest of 2" in done.stderr
    assert len(json.loads(done.stdout)) == 1


def test_an_engines_latest_bench_counts(run_inside: Callable[..., CliResult], result: dict[str, Any]) -> None:
    """After an update an engine's older, better figure is none of the engine that is installed."""
    pytest.importorskip("onnxruntime")
    Path("results").mkdir()
    Path("results/a-later.json").write_text(json.dumps(result))
    quicker = json.loads(json.dumps(result)) | {"started_at": "2020-01-01T00:00:00Z"}
    for process in quicker["points"][0]["processes"]:
        process["samples_ns"] = [1000] * len(process["samples_ns"])
    Path("results/earlier.json").write_text(json.dumps(quicker))
    done = run_inside("predict", "tiny", "plain.png", "--engine", "auto", "--json")
    assert done.exit_code == 0, done.stderr
    assert "engine onnxruntime" in done.stderr and "in results/a-later.json, fastest of 2" in done.stderr


@pytest.mark.parametrize(
    "change", ["unstable", "machine", "artifact", "threads", "options", "nothing measured"]
)
def test_what_does_not_count_is_not_chosen(
    run_inside: Callable[..., CliResult], result: dict[str, Any], change: str
) -> None:
    for point in result["points"]:
        if change == "unstable":
            point["verdict"] = "unstable"
        elif change == "artifact":
            point["artifact"]["sha256"] = "0" * 64
        elif change == "threads":
            point["requested_threads"] = 2
        elif change == "options":
            changed = {"engine_options": {"spinning": "off"}}
            point |= changed if point["engine"] == "onnxruntime" else {"engine": "no-engine-any-more"}
    if change == "machine":
        result["target"] |= {"soc": "another"}
    if change != "nothing measured":
        Path("results").mkdir()
        Path("results/here.json").write_text(json.dumps(result))
    done = run_inside("predict", "tiny", "plain.png", "--engine", "auto")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "no valid result in results/ of this model" in done.stderr
    assert "hint: edgekit bench tiny --host --precision fp32 --threads 1" in done.stderr
