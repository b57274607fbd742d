"""Profiles add up, on a real model with ONNX Runtime's real profiler."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnxruntime
import pytest

from edgekit.convert.manifest import load_manifest
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
    assert [len(costs) for costs in found["Conv"]["processes"].values()] == [3, 3]
    assert sum(one["share"] for one in profile["layers"]) == pytest.approx(1)
    first = profile["layers"][0]
    assert (first["input_shape"], first["weights_shape"][1:]) == ([1, 3, 224, 224], [3, 3, 3])
    assert first["output_shape"][2:] == [112, 112] and list(first["costs"]) == ["1", "2"]
    manifest = load_manifest(x0_25)
    assert profile["schema_version"] == 1
    assert profile["artifact_sha256"] == manifest.artifacts["onnx"].sha256
    assert profile["engine_version"] == onnxruntime.__version__
    assert profile["target"]["transport"] == "local"
    assert profile["environment_before"]["cores"]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def one_core() -> Iterator[None]:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    yield
    os.sched_setaffinity(0, allowed)


@pytest.mark.usefixtures("one_core")
def test_no_more_threads_than_cores(x0_25: Path, tmp_path: Path, run_cli: RunCli) -> None:
    refused = run_cli(["profile", x0_25, "--threads", "1,2"], cwd=tmp_path)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "2 threads: this process may use 1 core(s)" in refused.stderr
    assert "--threads 1" in refused.stderr
    done = run_cli(["profile", x0_25, "--repeats", "3", "--json"], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["threads"] == [1]


def test_other_work_on_the_machine_is_said(x0_25: Path, tmp_path: Path, run_cli: RunCli) -> None:
    spinner = tmp_path / "!spinner"
    spinner.symlink_to("/bin/sh")
    busy = subprocess.Popen([spinner, "-c", "while :; do :; done"])
    try:
        done = run_cli(["profile", x0_25, "--threads", "1,2", "--repeats", "5", "--json"], cwd=tmp_path)
    finally:
        busy.kill()
        busy.wait()
    assert done.exit_code == 0, done.stderr
    profile = json.loads(done.stdout)
    assert "!spinner" in profile["environment_after"]["busy_processes"]
    assert "other processes were busy (!spinner" in profile["reasons"][0]
    assert profile["reasons"][0] in done.stderr
    assert {one["scaling"] for one in profile["operators"]} <= {"gains", "unclear"}


def test_a_table_for_people(x0_25: Path, tmp_path: Path, run_cli: RunCli) -> None:
    done = run_cli(["profile", x0_25, "--threads", "1", "--repeats", "3"], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[1].split("  ")[0] == "Operator"
    assert "serial" not in done.stdout


def test_an_engine_without_times_of_layers_is_refused(x0_25: Path, tmp_path: Path, run_cli: RunCli) -> None:
    refused = run_cli(["profile", x0_25, "--engine", "openvino"], cwd=tmp_path)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "on openvino: edgekit gets no times of layers from it" in refused.stderr
    assert "--engine onnxruntime  (any of mnn, ncnn, onnxruntime)" in refused.stderr
    elsewhere = run_cli(["profile", x0_25, "--engine", "mnn", "--device", "nowhere"], cwd=tmp_path)
    assert elsewhere.exit_code == 2
    assert "--engine mnn is for this machine" in elsewhere.stderr
