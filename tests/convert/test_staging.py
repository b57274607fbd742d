"""Artifact directories change as a whole, whatever moment the exporter dies at."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from edgekit.convert.manifest import describe_file, encode, load_manifest
from edgekit.convert.staging import LOCK, PENDING, commit, exclusive, settle, staging_directory
from edgekit.core.artifact import Artifact, ArtifactKind, Manifest, TensorSpec
from edgekit.core.preprocess import Preprocess
from edgekit.errors import OutputError

TENSOR = TensorSpec(name="x", dtype="float32", shape=(None, 3, 224, 224))


def fill(directory: Path, kinds: tuple[ArtifactKind, ...], content: bytes) -> None:
    """Write artifacts with some content, and the manifest that lists them."""
    directory.mkdir(exist_ok=True)
    artifacts = {}
    for kind in kinds:
        for name in kind.file_names:
            (directory / name).write_bytes(content)
        artifacts[kind.value] = Artifact(
            kind=kind,
            files=tuple(describe_file(directory / name) for name in kind.file_names),
            tool="test",
            tool_version="1",
            parent_sha256=None,
            inputs=(TENSOR,),
            outputs=(TENSOR,),
        )
    manifest = Manifest(
        edgekit_version="0",
        name="net",
        model=None,
        source=content.decode(),
        source_sha256=None,
        num_classes=1,
        output_activation="softmax",
        preprocess=Preprocess(),
        labels=None,
        inputs=(TENSOR,),
        outputs=(TENSOR,),
        artifacts=artifacts,
    )
    (directory / "manifest.json").write_bytes(encode(manifest))


OLD = (ArtifactKind.ONNX, ArtifactKind.NB_X86)
NEW = (ArtifactKind.PADDLE, ArtifactKind.ONNX)


def assert_state(directory: Path, content: bytes, kinds: tuple[ArtifactKind, ...]) -> None:
    manifest = load_manifest(directory)
    assert manifest.source == content.decode()
    expected = {name for kind in kinds for name in kind.file_names} | {"manifest.json"}
    assert {path.name for path in directory.iterdir() if not path.name.startswith(".")} == expected
    for kind in kinds:
        for name in kind.file_names:
            assert (directory / name).read_bytes() == content


def test_a_commit_replaces_everything_and_deletes_what_is_no_longer_listed(tmp_path: Path) -> None:
    directory = tmp_path / "net"
    fill(directory, OLD, b"old")
    (directory / "notes.txt").write_text("the user's own")
    with exclusive(directory), staging_directory(directory) as staging:
        fill(staging, NEW, b"new")
        assert_state_but_notes(directory, b"old", OLD)
        commit(staging, directory)
    assert_state_but_notes(directory, b"new", NEW)
    assert (directory / "notes.txt").read_text() == "the user's own"


def assert_state_but_notes(directory: Path, content: bytes, kinds: tuple[ArtifactKind, ...]) -> None:
    notes = directory / "notes.txt"
    text = notes.read_text()
    notes.unlink()
    assert_state(directory, content, kinds)
    notes.write_text(text)


@pytest.mark.parametrize("moved", range(6))
def test_a_reader_finishes_what_a_killed_exporter_began(tmp_path: Path, moved: int) -> None:
    """After the renaming to `.pending`, with any number of its files moved already."""
    directory = tmp_path / "net"
    fill(directory, OLD, b"old")
    fill(directory / PENDING, NEW, b"new")
    files = [*sorted(path.name for path in (directory / PENDING).iterdir() if path.name != "manifest.json")]
    for name in [*files, "manifest.json"][:moved]:
        if name == "manifest.json":
            (directory / "inference.x86.nb").unlink()
        os.replace(directory / PENDING / name, directory / name)
    assert_state(directory, b"new", NEW)
    assert not (directory / PENDING).exists()


def test_what_was_never_committed_disappears_with_the_next_writer(tmp_path: Path) -> None:
    directory = tmp_path / "net"
    fill(directory, OLD, b"old")
    fill(directory / ".export-killed", NEW, b"new")
    (directory / ".manifest.json.x.part").write_text("half")
    assert_state(directory, b"old", OLD)
    with exclusive(directory):
        pass
    assert {path.name for path in directory.iterdir() if path.name.startswith(".")} == {LOCK}


def test_a_failed_block_leaves_the_old_state(tmp_path: Path) -> None:
    directory = tmp_path / "net"
    fill(directory, OLD, b"old")
    with pytest.raises(KeyboardInterrupt), exclusive(directory), staging_directory(directory) as staging:
        fill(staging, NEW, b"new")
        raise KeyboardInterrupt
    assert_state(directory, b"old", OLD)
    assert not list(directory.glob(".export-*"))


def test_a_directory_that_got_nothing_is_not_left_behind(tmp_path: Path) -> None:
    directory = tmp_path / "models" / "net"
    with pytest.raises(KeyboardInterrupt), exclusive(directory), staging_directory(directory):
        raise KeyboardInterrupt
    assert not directory.exists()


def test_a_file_in_the_place_of_the_directory_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(OutputError, match="models"), exclusive(tmp_path / "models" / "net"):
        pass


def test_settling_a_directory_with_nothing_pending_changes_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "net"
    fill(directory, OLD, b"old")
    settle(directory)
    assert not (directory / LOCK).exists()
    shutil.rmtree(directory)
    settle(directory)
    assert not directory.exists()
