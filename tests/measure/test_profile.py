"""Profiles add up, on a real model with ONNX Runtime's real profiler."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from tests.conftest import RunCli


def test_every_operator_of_the_model_is_there(x0_25: Path, tmp_path: Path, run_cli: RunCli) -> None:
    done = run_cli(["profile", x0_25, "--threads", "2,1", "--repeats", "5", "--json"], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    profile = json.loads(done.stdout)
    assert sum(one["share"] for one in profile["operators"]) == pytest.approx(1)
    convolutions = sum(node.op_type == "Conv" for node in onnx.load(x0_25 / "inference.onnx").graph.node)
    found = {one["operator"]: one for one in profile["operators"]}
    assert found["Conv"]["nodes"] == convolutions
    assert found["Conv"]["share"] > 0.4
    assert profile["threads"] == [1, 2]
    assert list(found["Conv"]["costs"]) == ["1", "2"]
    assert list(found["Conv"]["gains"]) == ["2"]
    assert list(tmp_path.iterdir()) == []


def test_a_table_for_people(x0_25: Path, tmp_path: Path, run_cli: RunCli) -> None:
    done = run_cli(["profile", x0_25, "--threads", "1", "--repeats", "3"], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[1].split("  ")[0] == "Operator"
    assert "serial" not in done.stdout
