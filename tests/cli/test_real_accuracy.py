"""A network trained on ImageNet is right on ImageNet's own pictures: on every engine, in int8, on a device.

Weights and pictures come out of packages of the registry. How many answers must be right was set before
anything was measured: of the twenty pictures 18 with float arithmetic, 17 with int8.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from tests.conftest import RunCli
from tests.devices import AdbDevice

MODEL = "EfficientNetLite0"
LEAST_FLOAT, LEAST_INT8 = 18, 17
PACKAGED = {"mnn": "MNN", "ncnn": "ncnn", "openvino": "openvino"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pictures(run_cli: RunCli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    done = run_cli(["fetch", "samples", "--json"], cwd=tmp_path_factory.mktemp("fetch"), timeout_s=300)
    assert done.exit_code == 0, done.stderr
    directory = Path(json.loads(done.stdout)[0]["path"])
    assert len((directory / "list.txt").read_text().splitlines()) == 20
    return directory


@pytest.fixture(scope="module")
def place(run_cli: RunCli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which the network is exported to every format."""
    directory = tmp_path_factory.mktemp("imagenet")
    formats = [
        "paddle",
        "onnx",
        "nb",
        *(each for each in ("mnn", "ncnn") if importlib.util.find_spec(PACKAGED[each])),
    ]
    words = ["export", MODEL, "--formats", ",".join(formats), "--nb-targets", "arm,x86"]
    done = run_cli(words, cwd=directory, timeout_s=900)
    assert done.exit_code == 0, done.stderr
    return directory


def right(run_cli: RunCli, place: Path, pictures: Path, *words: str) -> dict[str, int]:
    """Return how many of the twenty answers are right, by engine and precision."""
    arguments = [
        "eval",
        MODEL,
        "--data",
        pictures,
        "--list",
        pictures / "list.txt",
        *words,
        "--json",
        "--restart",
    ]
    done = run_cli(arguments, cwd=place, timeout_s=900)
    assert done.exit_code == 0, done.stderr
    return {
        f"{route['engine']} {route['precision']}": route["top1"]["hits"]
        for route in json.loads(done.stdout)["routes"]
    }


def test_every_engine_is_right(run_cli: RunCli, place: Path, pictures: Path) -> None:
    engines = [
        "paddle",
        "onnxruntime",
        *(name for name, module in PACKAGED.items() if importlib.util.find_spec(module)),
    ]
    if (place / "models" / MODEL / "inference.x86.nb").exists():
        engines.append("paddlelite")
    hits = right(run_cli, place, pictures, "--engine", ",".join(engines))
    assert set(hits) == {f"{engine} fp32" for engine in engines}
    assert min(hits.values()) >= LEAST_FLOAT, hits


def test_int8_is_right(run_cli: RunCli, place: Path, pictures: Path) -> None:
    # The ranges of activations are taken from the pictures; their classes play no part in that.
    words = ["--calibration", pictures, "--held-back", pictures, "--max-drop", "40", "--formats", "onnx"]
    made = run_cli(["quantize", MODEL, *words], cwd=place, timeout_s=900)
    assert made.exit_code == 0, made.stderr
    hits = right(run_cli, place, pictures, "--engine", "onnxruntime", "--precision", "int8")
    assert hits["onnxruntime int8"] >= LEAST_INT8, hits


def test_a_device_is_right(run_cli: RunCli, virtual_device: AdbDevice, place: Path, pictures: Path) -> None:
    chosen = sorted(pictures.glob("*.jpg"))[:3]
    done = run_cli(
        ["predict", MODEL, *chosen, "--jsonl", "--device", virtual_device.serial, "--engine", "onnxruntime"],
        cwd=place,
        timeout_s=900,
    )
    assert done.exit_code == 0, done.stderr
    answers = [json.loads(line)["class_ids"][0] for line in done.stdout.splitlines()]
    assert answers == [int(path.stem.rpartition("_")[2]) for path in chosen]
