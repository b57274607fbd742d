"""Manifests: what is refused, and how artifacts are found."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgekit.convert.manifest import (
    describe_file,
    encode,
    find_artifacts,
    list_artifacts,
    load_manifest,
    remake,
    remake_with,
    usable_artifact,
    verify_files,
    write_manifest,
)
from edgekit.core.artifact import Artifact, ArtifactKind, Manifest, TensorSpec
from edgekit.core.preprocess import Preprocess
from edgekit.errors import InputError

IMAGE = TensorSpec(name="x", dtype="float32", shape=(None, 3, 224, 224))
DATA = Path(__file__).parents[1] / "data" / "manifests"
SCORES = TensorSpec(name="y", dtype="float32", shape=(None, 4))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "models" / "net"
    directory.mkdir(parents=True)
    (directory / "inference.onnx").write_bytes(b"weights" * 100)
    artifact = Artifact(
        kind=ArtifactKind.ONNX,
        files=(describe_file(directory / "inference.onnx"),),
        tool="paddle2onnx",
        tool_version="2.1.0",
        parent_sha256=None,
        inputs=(IMAGE,),
        outputs=(SCORES,),
    )
    manifest = Manifest(
        edgekit_version="0.1.0",
        name="net",
        model="net",
        source="random (seed 0)",
        source_sha256=None,
        num_classes=4,
        output_activation="softmax",
        preprocess=Preprocess(),
        labels=None,
        inputs=(IMAGE,),
        outputs=(SCORES,),
        artifacts={"onnx": artifact},
    )
    write_manifest(directory, manifest)
    return directory


def edit(directory: Path, **changes: Any) -> None:
    path = directory / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_is_written_is_read(directory: Path) -> None:
    manifest = load_manifest(directory)
    assert manifest.artifacts["onnx"].inputs == (IMAGE,)
    assert encode(manifest) == (directory / "manifest.json").read_bytes()
    verify_files(manifest, directory)


def test_hints_name_the_directory(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own, copy = Path("models/net"), Path("the copy")
    shutil.copytree(own, copy)
    manifest = load_manifest(copy)
    assert remake(manifest, own) == remake(manifest, own / ".export-0") == "edgekit export net --force"
    assert remake(manifest, copy) == "edgekit export net --force -o 'the copy'"
    assert (
        remake_with(manifest, copy, ArtifactKind.MNN) == "edgekit export net --formats onnx,mnn -o 'the copy'"
    )
    made_there = msgspec.structs.replace(manifest, command="edgekit export net --num-classes 4 -o there")
    assert remake(made_there, Path("there")) == "edgekit export net --num-classes 4 -o there --force"
    assert remake(made_there, own) == "edgekit export net --num-classes 4 --force -o models/net"
    for place, word in ((own, "net"), (copy, "'the copy'")):
        with pytest.raises(InputError) as refusal:
            usable_artifact(manifest, place, ArtifactKind.ONNX_INT8)
        assert refusal.value.hint == f"edgekit quantize {word} --calibration DIR"
    with pytest.raises(InputError) as refusal:
        load_manifest(Path("other"))
    assert refusal.value.hint == "edgekit import PATH --name other -o other"


def test_a_newer_schema_is_refused_with_both_versions(directory: Path) -> None:
    edit(directory, schema_version=7, artifacts="of a form that this version does not know")
    with pytest.raises(InputError, match=r"schema version is 7.* up to 2") as refusal:
        load_manifest(directory)
    assert "--force" in (refusal.value.hint or "")


def test_every_truncation_is_refused(directory: Path) -> None:
    path = directory / "manifest.json"
    whole = path.read_bytes().rstrip()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"manifest\.json"):
            load_manifest(directory)


def test_random_bytes_are_refused(directory: Path) -> None:
    source = random.Random(1)
    for size in (1, 10, 1000):
        (directory / "manifest.json").write_bytes(source.randbytes(size))
        with pytest.raises(InputError, match="damaged"):
            load_manifest(directory)


@pytest.mark.parametrize("path", ["../inference.onnx", "/etc/passwd", "a/b.onnx", "", "..", "a\0b"])
def test_files_outside_of_the_directory_are_refused(directory: Path, path: str) -> None:
    artifacts = json.loads((directory / "manifest.json").read_text())["artifacts"]
    artifacts["onnx"]["files"][0]["path"] = path
    edit(directory, artifacts=artifacts)
    with pytest.raises(InputError, match="outside of its directory"):
        load_manifest(directory)


def test_labels_outside_of_the_directory_are_refused(directory: Path) -> None:
    edit(directory, labels="../labels.txt")
    with pytest.raises(InputError, match="labels outside"):
        load_manifest(directory)


def test_an_artifact_under_anothers_key_is_refused(directory: Path) -> None:
    artifacts = json.loads((directory / "manifest.json").read_text())["artifacts"]
    edit(directory, artifacts={"paddle": artifacts["onnx"]})
    with pytest.raises(InputError, match="'paddle' says that it is 'onnx'"):
        load_manifest(directory)


def test_a_changed_file_is_named(directory: Path) -> None:
    manifest = load_manifest(directory)
    file = directory / "inference.onnx"
    content = bytearray(file.read_bytes())
    content[5] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"inference\.onnx: its SHA-256"):
        verify_files(manifest, directory)
    file.write_bytes(content[:-1])
    with pytest.raises(InputError, match="699 bytes, the manifest says 700"):
        verify_files(manifest, directory)
    file.unlink()
    with pytest.raises(InputError, match="No such file"):
        verify_files(manifest, directory)
    verify_files(manifest, directory, kinds=[ArtifactKind.PADDLE])


def test_artifacts_are_found_by_name_and_by_path(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(directory.parent.parent)
    assert find_artifacts("net")[0] == Path("models/net")
    assert find_artifacts(directory)[0] == directory
    assert find_artifacts(directory / "manifest.json")[0] == directory
    assert [path for path, _ in list_artifacts()] == [Path("models/net")]


def test_what_is_not_exported_is_an_error_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refusal:
        find_artifacts("PPLCNet_x0_5", tmp_path)
    assert refusal.value.hint == "edgekit export PPLCNet_x0_5"


def test_the_record_of_a_manifest_is_closed_over_json(directory: Path) -> None:
    manifest = load_manifest(directory)
    assert msgspec.json.decode(encode(manifest), type=Manifest) == manifest


def test_a_file_that_has_not_changed_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekit._files import sha256_file
    from edgekit.convert import manifest as module

    path = tmp_path / "model"
    path.write_bytes(b"weights")
    hashed: list[Path] = []

    def counting(each: Path) -> str:
        hashed.append(each)
        return sha256_file(each)

    monkeypatch.setattr(module, "sha256_file", counting)
    monkeypatch.setattr(module, "SETTLED_NS", 0)
    first = module._digest(path)
    assert (module._digest(path), len(hashed)) == (first, 1)
    path.write_bytes(b"changed")
    assert module._digest(path) != first
    monkeypatch.setattr(module, "SETTLED_NS", 10**18)
    module._digest(path)
    module._digest(path)
    # What was written just now is hashed each time.
    assert len(hashed) == 4


def test_a_manifest_of_the_first_release_is_read_and_written_as_todays(tmp_path: Path) -> None:
    """Edgekit 0.1.0 wrote it; its artifacts are not needed to read it."""
    (tmp_path / "manifest.json").write_bytes((DATA / "version1.json").read_bytes())
    manifest = load_manifest(tmp_path)
    assert (manifest.name, manifest.task, manifest.edgekit_version) == ("swap", "classification", "0.1.0")
    assert manifest.preprocess.resize_short == 37
    write_manifest(tmp_path, manifest)
    assert load_manifest(tmp_path) == manifest
