"""Detection models from `import` on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgekit.convert.manifest import load_manifest
from tests.conftest import RunCli
from tests.convert import detection_models

WAYS = {
    "raw": (detection_models.picodet, detection_models.PICODET),
    "nms": (detection_models.with_nms, detection_models.WITH_NMS),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, run_cli: RunCli) -> Path:
    """A directory with the imported detectors `raw` and `nms`."""
    directory = tmp_path_factory.mktemp("detection")
    for name, (make, configuration) in WAYS.items():
        (directory / name).mkdir()
        make(directory / name / "model.onnx")
        (directory / name / "infer_cfg.yml").write_text(configuration)
        done = run_cli(["import", name, "--name", name, "--formats", "onnx"], cwd=directory)
        assert done.exit_code == 0, done.stderr
    return directory


def test_an_import_is_a_detector(place: Path) -> None:
    raw, nms = (load_manifest(place / "models" / name) for name in WAYS)
    for manifest in (raw, nms):
        assert (manifest.task, manifest.num_classes, manifest.labels) == ("detection", 3, "labels.txt")
        assert manifest.preprocess.size == (64, 96)
        assert manifest.parity["onnx"].passed and manifest.notes == ()
    assert (raw.postprocess["kind"], raw.postprocess["strides"]) == ("picodet", [16, 32])
    assert nms.postprocess == {"kind": "boxes", "score_threshold": 0.0, "answer_threshold": 0.5}
    assert [each.name for each in nms.inputs] == ["scale_factor", "image"]


def test_what_does_not_fit_is_refused(place: Path, tmp_path: Path, run_cli: RunCli) -> None:
    (tmp_path / "labels.txt").write_text("a\nb\n")
    shutil.copy(place / "raw" / "model.onnx", tmp_path)
    words = ["import", "model.onnx", "--name", "other", "--formats", "onnx", "--no-verify"]
    labels = run_cli([*words, "--labels", "labels.txt"], cwd=tmp_path)
    assert labels.exit_code == 3 and "2 labels" in labels.stderr and "3 classes" in labels.stderr
    (tmp_path / "other.yml").write_text(detection_models.PICODET.replace("[16, 32]", "[8, 16]"))
    strides = run_cli([*words, "--preprocess", "other.yml"], cwd=tmp_path)
    assert strides.exit_code == 3
    assert "its outputs are neither rows of boxes with their counts nor PicoDet's scores" in strides.stderr
    alone = run_cli(words, cwd=tmp_path)
    assert alone.exit_code == 0
    assert "its outputs are the scores and distances of PicoDet's head" in alone.stderr
    assert load_manifest(tmp_path / "models" / "other").task == "detection"
