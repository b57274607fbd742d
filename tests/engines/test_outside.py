"""An engine of another package, announced as packages do, is an engine like edgekit's own."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from edgekit.engines.registry import engine, engines, host_rungs, register
from edgekit.errors import ToolError
from tests.conftest import RunCli

SOURCE = Path(__file__).parent / "opencv_engine.py"


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a command beside which the engine's package is installed."""
    site = tmp_path_factory.mktemp("site")
    shutil.copy(SOURCE, site)
    about = site / "opencv_engine-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: opencv-engine\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[edgekit.engines]\nopencv = opencv_engine\n")
    return {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)}


@pytest.fixture(scope="module")
def models(x0_25: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with one model."""
    directory = tmp_path_factory.mktemp("work")
    shutil.copytree(x0_25, directory / "models" / x0_25.name)
    return directory


def test_bench_measures_it_and_checks_its_parity(
    run_cold_cli: RunCli, models: Path, env: dict[str, str], tmp_path: Path
) -> None:
    output = tmp_path / "result.json"
    words = (
        "bench PPLCNet_x0_25 --host --engine opencv,onnxruntime --engine-option winograd=off "
        "--processes 1 --repeats 3 --min-secs 0 --warmup 1 --output"
    )
    done = run_cold_cli([*words.split(), output], cwd=models, env=env)
    assert done.exit_code == 0, done.stderr
    points = {point["engine"]: point for point in json.loads(output.read_text())["points"]}
    point = points["opencv"]
    assert point["status"] == "done"
    assert len(point["processes"][0]["samples_ns"]) >= 3
    assert point["engine_options"] == {"winograd": "off"}
    assert point["parity"]["passed"]
    assert point["engine_version"] != points["onnxruntime"]["engine_version"]


def test_predict_answers_with_it(
    run_cold_cli: RunCli, models: Path, env: dict[str, str], tmp_path: Path
) -> None:
    import cv2
    import numpy as np

    picture = tmp_path / "noise.png"
    cv2.imwrite(str(picture), np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8))
    answers = []
    for name in ("opencv", "onnxruntime"):
        done = run_cold_cli(
            ["predict", "PPLCNet_x0_25", picture, "--engine", name, "--json", "--batch-size", "1"],
            cwd=models, env=env,
        )  # fmt: skip
        assert done.exit_code == 0, done.stderr
        answers.append(json.loads(done.stdout))
    (ours,), (theirs,) = answers
    assert ours["class_ids"] == theirs["class_ids"]
    assert ours["scores"] == pytest.approx(theirs["scores"], abs=1e-4)


def test_verify_climbs_its_rung(run_cold_cli: RunCli, models: Path, env: dict[str, str]) -> None:
    done = run_cold_cli(["verify", "PPLCNet_x0_25", "--json"], cwd=models, env=env)
    assert done.exit_code == 0, done.stderr
    rungs = {rung["name"]: rung for rung in json.loads(done.stdout)["rungs"]}
    assert rungs["onnx-opencv"]["engine"] == "opencv"
    assert rungs["onnx-opencv"]["status"] == "passed"


def test_help_and_doctor_list_it(run_cold_cli: RunCli, models: Path, env: dict[str, str]) -> None:
    for command in ("bench", "predict", "eval", "serve"):
        assert "opencv" in run_cold_cli([command, "--help"], cwd=models, env=env).stdout, command
        assert "opencv" not in run_cold_cli([command, "--help"], cwd=models).stdout, command
    checks = json.loads(run_cold_cli(["doctor", "--json"], cwd=models, env=env).stdout)
    assert any("the engine `opencv`" in check["purpose"] for check in checks)
    unknown = run_cold_cli(["bench", "PPLCNet_x0_25", "--host", "--engine", "opencv"], cwd=models)
    assert unknown.exit_code == 2
    assert "engine 'opencv': there is none" in unknown.stderr


def load(source: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(source.stem, source)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_call_registers_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.engines.registry._registered", {})
    assert register(load(SOURCE)).file == str(SOURCE)
    assert engine("opencv").host is not None
    assert "opencv" in engines()
    assert [name for name, rung in host_rungs()].index("opencv") == 2
    # Once more is no conflict with itself.
    register(load(SOURCE))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"name": "opencv"', '"name": "paddle"', r"the name paddle is that of .*paddle\.py"),
        ('"name": "onnx-opencv"', '"name": "onnx"', r"the rung onnx is that of .*onnxruntime\.py"),
        ('"fp32": "onnx"', '"fp32": "tflite"', r"RECORD: Invalid enum value 'tflite'"),
        ('"summary"', '"sumary"', r"RECORD: Object contains unknown field `sumary`"),
        ("RECORD: ", "OTHER: ", "it has no RECORD"),
    ],
)
def test_a_wrong_record_is_refused_by_name(tmp_path: Path, old: str, new: str, said: str) -> None:
    source = tmp_path / "wrong_engine.py"
    source.write_text(SOURCE.read_text().replace(old, new).replace("record = RECORD", "record = {}"))
    with pytest.raises(ToolError, match=said) as caught:
        register(load(source))
    assert str(source) in caught.value.message
