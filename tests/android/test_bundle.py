"""Files that `bundle` writes: everything out of the manifest, all or nothing."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from edgekit._files import sha256_file
from edgekit.android.bundle import bundle, bundle_zip
from edgekit.android.model_file import ModelFile
from edgekit.android.project import MODELS
from edgekit.android.sources import bundled_models
from edgekit.convert.manifest import load_manifest, write_manifest
from edgekit.core.artifact import ArtifactKind
from edgekit.errors import InputError
from tests.conftest import RunCli
from tests.pages import render_page


@pytest.fixture
def own_copy(doc_ori: Path, tmp_path: Path) -> Path:
    """An artifact directory to damage."""
    return Path(shutil.copytree(doc_ori, tmp_path / doc_ori.name))


def _read(project: Path, name: str) -> ModelFile:
    return msgspec.json.decode((project / MODELS / name / "model.json").read_bytes(), type=ModelFile)


def test_everything_is_the_manifests(documents_project: Path, doc_ori: Path) -> None:
    manifest = load_manifest(doc_ori)
    model = _read(documents_project, manifest.name)
    artifact = manifest.artifacts["onnx"]
    assert model.preprocess == manifest.preprocess
    assert model.num_classes == manifest.num_classes == 4
    assert model.output_activation == manifest.output_activation
    assert [each.sha256 for each in model.artifacts] == [artifact.sha256]
    assert model.artifacts[0].input_names == ("x",) == tuple(each.name for each in artifact.inputs)
    assert model.input.shape == (1, 3, 224, 224)
    labels = (documents_project / MODELS / manifest.name / "labels.txt").read_text()
    assert labels.splitlines() == ["0", "90", "180", "270"]
    assert model.display_labels[:2] == ("Upright (0°)", "Turned right (90°)")


def test_a_zip_holds_what_the_project_would(
    documents_project: Path, doc_ori: Path, run_cli: RunCli, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    said = run_cli(["bundle", str(doc_ori), "--zip", str(first)], cwd=tmp_path)
    assert said.exit_code == 0, said.stderr
    assert f"copy {first} to the device" in said.stderr
    bundle_zip([str(doc_ori)], output=second)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    models = documents_project / MODELS
    bundled = {path.relative_to(models).as_posix(): path for path in models.rglob("*") if path.is_file()}
    assert content == {name: path.read_bytes() for name, path in bundled.items()}
    assert not (tmp_path / "android_demo").exists()
    both = run_cli(["bundle", str(doc_ori), "--zip", str(first), "-o", "app"], cwd=tmp_path)
    assert both.exit_code == 2
    assert "one of them at a time" in both.stderr


def test_the_samples_carry_the_right_answers(documents_project: Path, doc_ori: Path) -> None:
    model = _read(documents_project, doc_ori.name)
    answers = {sample.title: int(np.argmax(sample.expected_outputs[0].values)) for sample in model.samples}
    assert answers == {"page": 0, "page_turned": 1}
    for sample in model.samples:
        assert sum(sample.expected_outputs[0].values) == pytest.approx(1, abs=1e-5)
        assert len(sample.probe_indices) == len(sample.probe_values) >= 90
        for what, places in {
            "channels": {index // 224**2 for index in sample.probe_indices},
            "rows": {index // 224 % 224 for index in sample.probe_indices},
            "columns": {index % 224 for index in sample.probe_indices},
        }.items():
            assert len(places) >= {"channels": 3}.get(what, 60), what


def test_several_models_in_the_order_named(doc_ori: Path, x0_25: Path, tmp_path: Path) -> None:
    project = tmp_path / "app"
    bundle([str(x0_25), str(doc_ori)], project=project)
    assert [model.name for model in bundled_models(project)] == [x0_25.name, doc_ori.name]
    assert _read(project, x0_25.name).num_classes == 1000
    bundle([str(doc_ori)], project=project)
    assert [path.name for path in sorted((project / MODELS).iterdir())] == [doc_ori.name, "index.json"]


def test_artifacts_of_other_engines_travel_too(doc_ori: Path, tmp_path: Path) -> None:
    bundle([str(doc_ori)], project=tmp_path / "app", kinds=[ArtifactKind.ONNX, ArtifactKind.NB_ARM])
    model = _read(tmp_path / "app", doc_ori.name)
    assert [(each.kind, each.format, each.max_relative_error) for each in model.artifacts] == [
        ("onnx", "onnx", 1e-4),
        ("nb-arm", "nb", 1e-4),
    ]
    for each in model.artifacts:
        assert sha256_file(tmp_path / "app" / MODELS / doc_ori.name / each.file) == each.sha256


def test_a_users_photo_becomes_a_lossless_sample(doc_ori: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    page = cv2.resize(render_page(5), (3000, 4000))
    assert cv2.imwrite(str(photo), page)
    bundle([str(doc_ori)], project=tmp_path / "app", pictures=[photo])
    (sample,) = _read(tmp_path / "app", doc_ori.name).samples
    stored = cv2.imread(str(tmp_path / "app" / MODELS / doc_ori.name / sample.file))
    assert stored.shape == (1024, 768, 3)
    assert np.argmax(sample.expected_outputs[0].values) == 0


@pytest.mark.parametrize(
    ("kind", "hint"), [(ArtifactKind.ONNX_INT8, "edgekit quantize"), (ArtifactKind.ONNX, "edgekit export")]
)
def test_a_missing_artifact_names_the_command(
    own_copy: Path, tmp_path: Path, kind: ArtifactKind, hint: str
) -> None:
    manifest = load_manifest(own_copy)
    artifacts = {key: value for key, value in manifest.artifacts.items() if key != kind.value}
    write_manifest(own_copy, msgspec.structs.replace(manifest, artifacts=artifacts))
    with pytest.raises(InputError, match=kind.value) as caught:
        bundle([str(own_copy)], project=tmp_path / "app", kinds=[kind])
    assert caught.value.hint is not None
    assert caught.value.hint.startswith(hint)


def test_a_changed_artifact_is_refused_and_the_old_bundle_stays(own_copy: Path, tmp_path: Path) -> None:
    project = tmp_path / "app"
    bundle([str(own_copy)], project=project)
    before = {path: path.read_bytes() for path in (project / MODELS).rglob("*") if path.is_file()}
    with (own_copy / "inference.onnx").open("r+b") as file:
        file.seek(5000)
        file.write(b"changed")
    with pytest.raises(InputError, match="SHA-256"):
        bundle([str(own_copy)], project=project)
    assert {path: path.read_bytes() for path in (project / MODELS).rglob("*") if path.is_file()} == before


def test_another_class_count_is_refused(own_copy: Path, tmp_path: Path) -> None:
    write_manifest(own_copy, msgspec.structs.replace(load_manifest(own_copy), num_classes=5, labels=None))
    with pytest.raises(InputError, match="4 scores, the manifest says 5"):
        bundle([str(own_copy)], project=tmp_path / "app")


def test_two_models_of_one_name_are_refused(doc_ori: Path, own_copy: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two of the models have this name"):
        bundle([str(doc_ori), str(own_copy)], project=tmp_path / "app")


def test_a_directory_with_something_else_is_not_written_to(doc_ori: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="not empty"):
        bundle([str(doc_ori)], project=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_command_line(run_cli: RunCli, doc_ori: Path, tmp_path: Path) -> None:
    done = run_cli(["bundle", doc_ori, "--json"], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    (model,) = json.loads(done.stdout)
    assert (tmp_path / model["directory"] / "model.json").is_file()
    assert run_cli(["bundle"], cwd=tmp_path).exit_code == 2
    absent = run_cli(["bundle", "PPLCNet_x1_0_absent"], cwd=tmp_path)
    assert (absent.exit_code, absent.stdout) == (3, "")
    assert "edgekit import PATH --name PPLCNet_x1_0_absent" in absent.stderr
