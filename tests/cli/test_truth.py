"""An artifact that failed its check is not kept unasked, is no reference, and is never used in silence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgekit
from edgekit.convert.manifest import load_manifest, verify_files
from edgekit.errors import ParityError
from tests.conftest import RunCli
from tests.convert.onnx_models import classifier

IMPORT = ["import", "net.onnx", "--name", "mine", "--formats", "paddle,onnx"]
QUICK = ["--warmup", "1", "--repeats", "3", "--min-secs", "0", "--processes", "1"]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, run_cli: RunCli) -> Path:
    """A directory with `models/mine`, whose Paddle program failed its check and was kept."""
    directory = tmp_path_factory.mktemp("failed")
    classifier(directory / "net.onnx", chaotic=True)
    done = run_cli([*IMPORT, "--keep-failed"], cwd=directory)
    assert done.exit_code == 5, done.stderr
    cv2.imwrite(str(directory / "picture.png"), np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3))
    return directory


def test_an_artifact_that_failed_is_not_written_and_every_import_says_so(
    tmp_path: Path, run_cli: RunCli
) -> None:
    classifier(tmp_path / "net.onnx", chaotic=True)
    for _ in range(2):
        done = run_cli(IMPORT, cwd=tmp_path)
        assert done.exit_code == 5, done.stderr
        assert "the rung paddle (paddle) broke" in done.stderr
        assert "nothing has changed" not in done.stdout
    directory = tmp_path / "models" / "mine"
    manifest = load_manifest(directory)
    verify_files(manifest, directory)
    assert set(manifest.artifacts) == {"onnx"}
    assert not manifest.parity["paddle"].passed
    assert {path.name for path in directory.iterdir() if path.name[0] != "."} == {
        "inference.onnx",
        "manifest.json",
    }
    refused = run_cli(["bench", "mine", "--host", "--engine", "paddle", *QUICK], cwd=tmp_path)
    assert refused.exit_code == 5
    assert "its artifact paddle failed its check and was not kept" in refused.stdout + refused.stderr


def test_an_artifact_that_failed_is_marked_and_refused_by_name(workplace: Path, run_cli: RunCli) -> None:
    manifest = load_manifest(workplace / "models" / "mine")
    assert set(manifest.artifacts) == {"paddle", "onnx"}
    assert not manifest.parity["paddle"].passed
    assert manifest.parity["paddle"].reference == "source"
    for words in (
        ["predict", "mine", "picture.png", "--engine", "paddle"],
        ["bench", "mine", "--host", "--engine", "paddle", *QUICK],
        ["serve", "mine", "--engine", "paddle", "--settings-only", "served"],
    ):
        refused = run_cli(words, cwd=workplace)
        assert refused.exit_code == 5, refused.stderr
        assert "its artifact paddle failed its check: " in refused.stdout + refused.stderr
        used = run_cli([*words, "--anyway"], cwd=workplace)
        assert used.exit_code == 0, used.stderr


def test_the_reference_is_the_source(workplace: Path, run_cli: RunCli) -> None:
    (workplace / "net.onnx").rename(workplace / "elsewhere.onnx")
    try:
        verified = run_cli(["verify", "mine"], cwd=workplace)
        words = ["--engine", "paddle,onnxruntime", "--anyway", "-o", "result.json", *QUICK]
        benched = run_cli(["bench", "mine", "--host", *words], cwd=workplace)
    finally:
        (workplace / "elsewhere.onnx").rename(workplace / "net.onnx")
    assert verified.exit_code == 5
    ends = {line.split()[1]: line.split()[0] for line in verified.stdout.splitlines()}
    assert ends == {"source": "reference", "paddle": "failed", "onnx": "passed"}
    assert benched.exit_code == 0, benched.stderr
    points = json.loads((workplace / "result.json").read_text())["points"]
    found = {point["engine"]: point["parity"] for point in points}
    assert found["onnxruntime"]["passed"] and found["onnxruntime"]["reference"] == "source"
    assert not found["paddle"]["passed"]


def test_quantising_starts_from_no_artifact_that_failed(workplace: Path, run_cli: RunCli) -> None:
    (workplace / "pictures").mkdir()
    for number in range(6):
        shutil.copy(workplace / "picture.png", workplace / "pictures" / f"{number}.png")
    words = ["quantize", "mine", "--calibration", "pictures", "--formats", "nb"]
    refused = run_cli(words, cwd=workplace)
    assert refused.exit_code == 5
    assert "its artifact paddle failed its check" in refused.stderr


@pytest.mark.usefixtures("warm_children")
def test_python_makes_and_checks_in_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    classifier(tmp_path / "net.onnx")
    made = edgekit.import_model("net.onnx", "mine", formats=["onnx"])
    assert made.changed
    assert made.manifest == load_manifest(tmp_path / "models" / "mine")
    assert made.manifest.parity["onnx"].passed
    assert not edgekit.import_model("net.onnx", "mine", formats=["onnx"]).changed
    classifier(tmp_path / "chaos.onnx", chaotic=True)
    with pytest.raises(ParityError, match="the rung paddle"):
        edgekit.import_model("chaos.onnx", "chaos", formats=["paddle"])
    exported = edgekit.export("PPLCNet_x0_25", weights="random", formats=["paddle"])
    assert exported.ladder is not None and exported.ladder.reference == "dygraph"
    assert not edgekit.export("PPLCNet_x0_25", weights="random", formats=["paddle"]).changed
