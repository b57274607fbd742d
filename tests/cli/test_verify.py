"""The parity ladder on real exports, whole and broken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit._files import sha256_file
from edgekit.convert.manifest import describe_file, load_manifest, write_manifest
from edgekit.core.artifact import ArtifactKind
from edgekit.targets.inputs import seeded_inputs
from tests.conftest import RunCli


@pytest.fixture
def doc(doc_ori: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(doc_ori, tmp_path / "doc_ori"))


@pytest.fixture
def random_model(x0_25: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(x0_25, tmp_path / "x0_25"))


def _adopt(directory: Path, kind: ArtifactKind) -> None:
    """Let the manifest agree with a file that was changed, as if a converter had made it so."""
    manifest = load_manifest(directory)
    artifact = manifest.artifacts[kind.value]
    files = tuple(describe_file(directory / file.path) for file in artifact.files)
    changed = msgspec.structs.replace(artifact, files=files)
    write_manifest(
        directory, msgspec.structs.replace(manifest, artifacts={**manifest.artifacts, kind.value: changed})
    )


def _scale_onnx(path: Path, factor: float) -> None:
    """Multiply the classifier's bias and weights: the same graph, other scores."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    last = [
        tensor for tensor in model.graph.initializer
        if 4 in tensor.dims and tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2
    ]  # fmt: skip
    assert len(last) == 1
    values = numpy_helper.to_array(last[0]) * factor
    last[0].CopyFrom(numpy_helper.from_array(values.astype(np.float32), last[0].name))
    onnx.save(model, path)


def test_the_ladder_of_a_trained_network(
    run_cli: RunCli, doc: Path, tmp_path: Path, has_x86_nb: bool
) -> None:
    before = load_manifest(doc)
    climbed = ["paddle", "onnx", *(["nb-x86"] if has_x86_nb else [])]
    done = run_cli(["verify", doc], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    rungs = [line.split()[:2] for line in done.stdout.splitlines()]
    assert rungs == [["reference", "dygraph"], *(["passed", name] for name in [*climbed, "samples"])]
    after = load_manifest(doc)
    assert set(after.parity) == {*climbed, "samples"}
    for name in climbed:
        parity = after.parity[name]
        assert parity.reference == "dygraph"
        assert parity.passed
        assert parity.inputs == 8
        assert parity.max_relative_error is not None
        assert 0 < parity.max_relative_error < 1e-5
        assert parity.outputs_differ
    assert msgspec.structs.replace(after, parity=before.parity) == before
    assert [path.name for path in doc.iterdir() if path.name.endswith(".part")] == []


@pytest.mark.slow
def test_random_weights_have_a_ladder_too(
    run_cli: RunCli, random_model: Path, tmp_path: Path, has_x86_nb: bool
) -> None:
    done = run_cli(["verify", random_model, "--json"], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    ladder = json.loads(done.stdout)
    assert ladder["reference"] == "dygraph"
    climbed = 3 if has_x86_nb else 2
    assert [rung["status"] for rung in ladder["rungs"]] == ["reference", *(["passed"] * climbed)]


@pytest.mark.usefixtures("x86_nb")  # the rung after the broken one
def test_a_broken_rung_is_named_and_the_others_are_still_climbed(
    run_cli: RunCli, doc: Path, tmp_path: Path
) -> None:
    _scale_onnx(doc / "inference.onnx", 1.02)
    _adopt(doc, ArtifactKind.ONNX)
    done = run_cli(["verify", doc], cwd=tmp_path)
    assert done.exit_code == 5
    assert "the rung onnx (onnxruntime) broke" in done.stderr
    assert "exceeds 1e-04" in done.stderr
    assert "hint: edgekit export" in done.stderr
    statuses = {line.split()[1]: line.split()[0] for line in done.stdout.splitlines()}
    assert statuses["onnx"] == "failed"
    assert statuses["nb-x86"] == "passed"
    parity = load_manifest(doc).parity
    assert not parity["onnx"].passed
    assert parity["nb-x86"].passed


@pytest.mark.slow
def test_a_constant_output_never_passes(run_cli: RunCli, doc: Path, tmp_path: Path) -> None:
    _scale_onnx(doc / "inference.onnx", 0.0)
    _adopt(doc, ArtifactKind.ONNX)
    done = run_cli(["verify", doc], cwd=tmp_path)
    assert done.exit_code == 5
    assert "same for different inputs" in done.stderr


@pytest.mark.usefixtures("x86_nb")
def test_an_artifact_for_other_cores_is_a_broken_rung(run_cli: RunCli, doc: Path, tmp_path: Path) -> None:
    """An ARM model in the place of the x86 one: Paddle Lite aborts over it, or computes nothing."""
    shutil.copy(doc / "inference.arm.nb", doc / "inference.x86.nb")
    _adopt(doc, ArtifactKind.NB_X86)
    done = run_cli(["verify", doc], cwd=tmp_path)
    assert done.exit_code == 5, done.stderr
    assert "the rung nb-x86 (paddlelite) broke" in done.stderr


def test_changed_files_are_refused_before_anything_runs(run_cli: RunCli, doc: Path, tmp_path: Path) -> None:
    digest = sha256_file(doc / "manifest.json")
    with (doc / "inference.pdiparams").open("r+b") as file:
        file.write(b"\xff\xff\xff\xff")
    done = run_cli(["verify", doc], cwd=tmp_path)
    assert done.exit_code == 3
    assert "inference.pdiparams" in done.stderr
    assert done.stdout == ""
    assert sha256_file(doc / "manifest.json") == digest


@pytest.mark.slow
def test_weights_that_are_not_at_hand_are_asked_for(
    run_cli: RunCli, random_model: Path, tmp_path: Path
) -> None:
    manifest = load_manifest(random_model)
    write_manifest(random_model, msgspec.structs.replace(manifest, source="best_model.pdparams"))
    done = run_cli(["verify", random_model], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    first, second = done.stdout.splitlines()[:2]
    assert first.split()[:2] == ["skipped", "dygraph"]
    assert "best_model.pdparams" in first
    assert second.split()[:2] == ["reference", "paddle"]


@pytest.mark.slow
def test_other_weights_than_those_exported_break_the_first_rung(
    run_cli: RunCli, random_model: Path, tmp_path: Path
) -> None:
    manifest = load_manifest(random_model)
    write_manifest(random_model, msgspec.structs.replace(manifest, source="random (seed 1)"))
    done = run_cli(["verify", random_model], cwd=tmp_path)
    assert done.exit_code == 5
    assert "the rung paddle (paddle) broke" in done.stderr


def test_an_unknown_model_is_an_input_error(run_cli: RunCli, tmp_path: Path) -> None:
    done = run_cli(["verify", "PPLCNet_x7"], cwd=tmp_path)
    assert done.exit_code == 3
    assert "PPLCNet_x7" in done.stderr


def test_seeded_inputs_depend_on_their_number_alone() -> None:
    both = seeded_inputs(2, (3, 32, 32))
    assert both.dtype == np.float32
    assert np.array_equal(both[:1], seeded_inputs(1, (3, 32, 32)))
    assert not np.array_equal(both[0], both[1])
    assert abs(float(both.mean())) < 0.5
    assert 0.7 < float(both.std()) < 1.4
