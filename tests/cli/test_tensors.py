"""A model of two inputs and two outputs of different types is verified, measured and profiled like others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edgekit.bench.results import load_result
from edgekit.core.measurement import Status
from edgekit.core.parity import NUMBERS
from tests.conftest import RunCli
from tests.convert import onnx_models
from tests.devices import AdbDevice

QUICK = ["--processes", "1", "--warmup", "1", "--repeats", "3", "--min-secs", "0"]


@pytest.fixture
def work(two_inputs: Path, tmp_path: Path) -> Path:
    """A working directory with the model `two`."""
    shutil.copytree(two_inputs, tmp_path / "models" / "two")
    return tmp_path


def test_bench_checks_every_output_on_every_engine(run_cli: RunCli, work: Path) -> None:
    engines = "onnxruntime,paddle,openvino"
    done = run_cli(
        ["bench", "two", "--host", "--engine", engines, "--batch-size", "1,3", *QUICK, "-o", "r.json"],
        cwd=work,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    points = load_result(work / "r.json").points
    assert {(point.engine, point.batch_size) for point in points} == {
        (engine, size) for engine in engines.split(",") for size in (1, 3)
    }
    for point in points:
        assert point.status is Status.DONE
        assert point.parity is not None and point.parity.passed
        assert (point.parity.reference, point.parity.judged_by) == ("source", NUMBERS)


def test_bench_feeds_an_input_of_a_fixed_batch_as_it_is(run_cli: RunCli, tmp_path: Path) -> None:
    onnx_models.two_inputs(tmp_path / "fixed.onnx", batch=2)
    done = run_cli(["import", "fixed.onnx", "--name", "fixed", "--formats", "onnx"], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    words = [
        "bench",
        "fixed",
        "--host",
        "--engine",
        "onnxruntime",
        "--batch-size",
        "2",
        *QUICK,
        "-o",
        "r.json",
    ]
    done = run_cli(words, cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    (point,) = load_result(tmp_path / "r.json").points
    assert point.parity is not None and point.parity.passed


def test_verify_names_the_output_that_is_wrong(run_cli: RunCli, work: Path, two_inputs: Path) -> None:
    """The second output of the ONNX artifact is made another one: its hash in the manifest is right."""
    import hashlib

    import onnx

    path, manifest_path = work / "models/two/inference.onnx", work / "models/two/manifest.json"
    model = onnx.load(path)
    (double,) = [node for node in model.graph.node if node.output[0] == "n"]
    double.op_type = "Mul"
    onnx.save(model, path)
    manifest = json.loads(manifest_path.read_text())
    # The source is the same file otherwise.
    shutil.copy(two_inputs / "inference.onnx", work / "models/two/source.onnx")
    (origin,) = manifest["origin"]["files"]
    origin["path"] = "source.onnx"
    content = path.read_bytes()
    (file,) = manifest["artifacts"]["onnx"]["files"]
    file.update(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
    manifest_path.write_text(json.dumps(manifest))
    done = run_cli(["verify", "two", "--json"], cwd=work)
    assert done.exit_code == 5, done.stderr
    rungs = {rung["name"]: rung for rung in json.loads(done.stdout)["rungs"]}
    assert rungs["paddle"]["status"] == "passed"
    assert rungs["onnx"]["status"] == "failed"
    assert rungs["onnx"]["reason"].startswith("output 1: relative error")


def test_profile_feeds_every_input(run_cli: RunCli, work: Path) -> None:
    done = run_cli(["profile", "two", "--json", "--repeats", "5"], cwd=work)
    assert done.exit_code == 0, done.stderr
    assert {"MatMul", "Gather", "Add"} <= {each["operator"] for each in json.loads(done.stdout)["operators"]}


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnxruntime", "paddlelite"])
def test_devices_run_it(
    run_cli: RunCli,
    work: Path,
    virtual_device: AdbDevice,
    engine: str,
    request: pytest.FixtureRequest,
) -> None:
    if engine == "paddlelite":
        request.getfixturevalue("paddlelite_runtime")
        request.getfixturevalue("x86_nb")
    there = ["--device", virtual_device.serial, "--engine", engine]
    done = run_cli(["push", "two", *there], cwd=work, timeout_s=300)
    assert done.exit_code == 0, done.stderr
    done = run_cli(["verify", "two", *there, "--json"], cwd=work, timeout_s=300)
    assert done.exit_code == 0, done.stderr
    rungs = [rung for rung in json.loads(done.stdout)["rungs"] if "@" in rung["name"]]
    assert [(rung["engine"], rung["status"]) for rung in rungs] == [(engine, "passed")]
    done = run_cli(["bench", "two", *there, *QUICK, "-o", "r.json"], cwd=work, timeout_s=300)
    assert done.exit_code == 0, done.stderr
    (point,) = load_result(work / "r.json").points
    assert point.instruction_count is not None
    assert point.parity is not None and point.parity.passed
