"""Export from the command line: what it makes, when it does nothing, and what it leaves when it fails."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from edgekit.convert.exporting.export import _still_valid
from edgekit.convert.exporting.jobs import BuildJob
from edgekit.convert.exporting.plan import ExportRequest, make_plan
from edgekit.convert.exporting.workers import ExportWorkers
from edgekit.convert.manifest import describe_file, load_manifest, verify_files, write_manifest
from edgekit.core.artifact import Artifact, ArtifactKind, Manifest
from edgekit.errors import ConversionError, UnsupportedError
from edgekit.toolchain import paddle
from edgekit.zoo.registry import find_model
from tests.conftest import NEEDS_PADDLE, RunCli
from tests.convert.kills import kill_at_random_moments
from tests.pages import write_pages

RANDOM = ["--weights", "random", "--no-verify"]
QUICK = ["--formats", "paddle"]
MODEL = "PPLCNet_x0_25"


def hashes(directory: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.iterdir()
        if not path.name.startswith(".")
    }


@pytest.fixture
def copy(x0_25: Path, tmp_path: Path) -> Path:
    """An exported model of one's own, `models/PPLCNet_x0_25` below `tmp_path`."""
    directory = tmp_path / "models" / MODEL
    shutil.copytree(x0_25, directory)
    return directory


def test_an_export_is_whole_and_says_what_it_is(x0_25: Path) -> None:
    manifest = load_manifest(x0_25)
    verify_files(manifest, x0_25)
    assert (manifest.name, manifest.model, manifest.num_classes) == (MODEL, MODEL, 1000)
    assert manifest.source == "random (seed 0)"
    assert manifest.output_activation == "softmax"
    assert [tensor.shape for tensor in manifest.inputs] == [(None, 3, 224, 224)]
    assert [tensor.shape for tensor in manifest.outputs] == [(None, 1000)]
    paddle = manifest.artifacts["paddle"]
    for kind in (ArtifactKind.ONNX, ArtifactKind.NB_ARM, ArtifactKind.NB_ARM_FP16):
        artifact = manifest.artifact(kind)
        assert artifact is not None
        assert artifact.parent_sha256 == paddle.sha256
        assert [tensor.shape for tensor in artifact.inputs] == [(None, 3, 224, 224)]
    assert len((x0_25 / "labels.txt").read_text().splitlines()) == 1000
    listed = {file.path for each in manifest.artifacts.values() for file in each.files}
    present = {path.name for path in x0_25.iterdir() if not path.name.startswith(".")}
    assert present == listed | {"labels.txt", "manifest.json"}


def test_no_artifact_tells_where_it_was_made(x0_25: Path) -> None:
    places = [str(Path(sys.prefix)).encode(), str(Path(__file__).parents[2]).encode(), b'File "']
    for path in x0_25.iterdir():
        content = path.read_bytes()
        assert not [place for place in places if place in content], path.name


def test_the_onnx_model_computes_what_the_weights_say(doc_ori: Path) -> None:
    """A trained network tells noise-free pages of different shades apart: no constant output."""
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(doc_ori / "inference.onnx"), providers=["CPUExecutionProvider"]
    )
    pictures = np.random.default_rng(0).standard_normal((3, 3, 224, 224)).astype(np.float32)
    (scores,) = session.run(None, {"x": pictures})
    assert scores.shape == (3, 4)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert np.abs(scores[0] - scores[1]).max() > 1e-4
    (alone,) = session.run(None, {"x": pictures[1:2]})
    np.testing.assert_allclose(alone[0], scores[1], atol=1e-5)


def test_exporting_again_does_nothing_and_says_so(copy: Path, tmp_path: Path, run_cli: RunCli) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in copy.iterdir()}
    result = run_cli(["export", MODEL, *RANDOM, "--json"], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)[0]["status"] == "unchanged"
    after = {path.name: path.stat().st_mtime_ns for path in copy.iterdir() if path.name in before}
    assert {name: after[name] for name in before if not name.startswith(".")} == {
        name: moment for name, moment in before.items() if not name.startswith(".")
    }


def test_a_damaged_artifact_is_noticed_and_made_again_with_the_same_bytes(
    copy: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    wanted = hashes(copy)
    content = bytearray((copy / "inference.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "inference.onnx").write_bytes(content)
    (copy / "inference.arm.nb").unlink()
    result = run_cli(["export", MODEL, *RANDOM], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert hashes(copy) == wanted


INT8_PARENTS = {
    ArtifactKind.PADDLE_INT8: ArtifactKind.PADDLE,
    ArtifactKind.ONNX_INT8: ArtifactKind.ONNX,
    ArtifactKind.NB_ARM_INT8: ArtifactKind.PADDLE_INT8,
}


def add_int8(directory: Path) -> Manifest:
    """Enter int8 artifacts with `quantize`'s parents into a manifest; what is in them no export looks at."""
    manifest = load_manifest(directory)
    artifacts = dict(manifest.artifacts)
    for kind, parent in INT8_PARENTS.items():
        for name in kind.file_names:
            (directory / name).write_bytes(name.encode())
        artifacts[kind.value] = msgspec.structs.replace(
            artifacts[parent.value],
            kind=kind,
            files=tuple(describe_file(directory / name) for name in kind.file_names),
            parent_sha256=artifacts[parent.value].sha256,
        )
    manifest = msgspec.structs.replace(manifest, artifacts=artifacts)
    write_manifest(directory, manifest)
    return manifest


@pytest.mark.slow
def test_int8_artifacts_outlive_an_export_of_the_same_model_and_no_other(
    copy: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    before, files = add_int8(copy), hashes(copy)
    result = run_cli(["export", MODEL, *RANDOM, "--formats", "paddle,onnx", "--force"], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "int8" not in result.stderr
    after = load_manifest(copy)
    assert after.artifacts == before.artifacts
    assert before.parity
    assert after.parity == before.parity
    assert {**hashes(copy), "manifest.json": ""} == {**files, "manifest.json": ""}

    result = run_cli(["export", MODEL, *RANDOM, *QUICK, "--num-classes", "7"], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "int8 artifacts were dropped (paddle-int8, onnx-int8, nb-arm-int8)" in result.stderr
    assert f"edgekit quantize {MODEL} --calibration DIR" in result.stderr
    after = load_manifest(copy)
    assert list(after.artifacts) == ["paddle"]
    assert after.parity == {}
    assert not list(copy.glob("*int8*"))


def test_an_artifact_is_kept_only_with_every_ancestor(copy: Path) -> None:
    manifest = add_int8(copy)
    made = {"paddle": manifest.artifacts["paddle"]}

    def kept() -> dict[str, Artifact]:
        return made | _still_valid(manifest, copy, msgspec.structs.replace(manifest, artifacts=made))

    assert kept() == manifest.artifacts
    (copy / "inference.int8.pdiparams").write_bytes(b"other")
    lost = {"paddle-int8", "nb-arm-int8"}
    assert set(kept()) == set(manifest.artifacts) - lost
    # Another ONNX model of the same Paddle model: its child goes, all others stay.
    files = (msgspec.structs.replace(manifest.artifacts["onnx"].files[0], sha256="0" * 64),)
    made["onnx"] = msgspec.structs.replace(manifest.artifacts["onnx"], files=files)
    lost |= {"onnx-int8"}
    assert set(kept()) == set(manifest.artifacts) - lost


def test_another_name_directory_shape_and_class_count(tmp_path: Path, run_cli: RunCli) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("daisy\nrose\ntulip\n")
    result = run_cli(
        [
            *("export", MODEL, *RANDOM, *QUICK, "--name", "flowers", "-o", "out", "--num-classes", "3"),
            *("--labels", labels, "--input-shape", "3,192,192", "--json"),
        ],
        cwd=tmp_path,
    )
    assert result.exit_code == 0, result.stderr
    manifest = load_manifest(tmp_path / "out")
    assert (manifest.name, manifest.model, manifest.num_classes) == ("flowers", MODEL, 3)
    assert manifest.inputs[0].shape == (None, 3, 192, 192)
    assert (manifest.preprocess.crop_size, manifest.preprocess.resize_short) == (192, 219)
    assert list(manifest.artifacts) == ["paddle"]
    assert (tmp_path / "out" / "labels.txt").read_text() == labels.read_text()


def test_labels_that_do_not_fit_leave_nothing(tmp_path: Path, run_cli: RunCli) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("one\ntwo\n")
    result = run_cli(["export", MODEL, *RANDOM, *QUICK, "--labels", labels], cwd=tmp_path)
    assert result.exit_code == 3
    assert "2 labels" in result.stderr
    assert not (tmp_path / "models" / MODEL).exists()


def test_a_truncated_weight_file_leaves_nothing(tmp_path: Path, run_cli: RunCli) -> None:
    for name, content in (("short.pdparams", b"\x80\x02}q\x00(X"), ("random.pdparams", os.urandom(4000))):
        (tmp_path / name).write_bytes(content)
        result = run_cli(["export", MODEL, "--weights", name, *QUICK], cwd=tmp_path)
        assert result.exit_code == 3, result.stderr
        assert name in result.stderr
        assert "hint:" in result.stderr
    assert not (tmp_path / "models" / MODEL).exists()


def test_a_failing_model_does_not_keep_the_next_from_it(tmp_path: Path, run_cli: RunCli) -> None:
    directory = tmp_path / "models"
    directory.mkdir()
    (directory / MODEL).write_text("a file in the way")
    words = ["export", MODEL, "PPLCNet_x0_35", *RANDOM, *QUICK, "--json", "--jobs", "2"]
    result = run_cli(words, cwd=tmp_path)
    assert result.exit_code == 3
    assert [each["status"] for each in json.loads(result.stdout)] == ["failed", "exported"]
    assert f"{MODEL}: failed, 1 of 2" in result.stderr
    assert "PPLCNet_x0_35: exported, 2 of 2" in result.stderr
    verify_files(load_manifest(directory / "PPLCNet_x0_35"), directory / "PPLCNet_x0_35")


def test_a_newer_manifest_is_kept_unless_forced(copy: Path, tmp_path: Path, run_cli: RunCli) -> None:
    newer = json.dumps({**json.loads((copy / "manifest.json").read_text()), "schema_version": 9})
    (copy / "manifest.json").write_text(newer)
    result = run_cli(["export", MODEL, *RANDOM, *QUICK], cwd=tmp_path)
    assert result.exit_code == 3
    assert "schema version is 9" in result.stderr
    assert (copy / "manifest.json").read_text() == newer
    result = run_cli(["export", MODEL, *RANDOM, *QUICK, "--force"], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert load_manifest(copy).schema_version == 2


def test_a_damaged_manifest_is_made_again(copy: Path, tmp_path: Path, run_cli: RunCli) -> None:
    (copy / "manifest.json").write_bytes(b"\xff\xfe{")
    result = run_cli(["export", MODEL, *RANDOM, *QUICK], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "damaged" in result.stderr
    verify_files(load_manifest(copy), copy)


def test_a_misbehaving_opt_leaves_the_old_state(copy: Path, tmp_path: Path, run_cli: RunCli) -> None:
    before = hashes(copy)
    opt = tmp_path / "opt"
    opt.write_text('#!/bin/sh\n[ "$1" = --version ] && echo v2.12 && exit\necho saved successfully\n')
    opt.chmod(0o755)
    result = run_cli(["export", MODEL, *RANDOM, "--force"], cwd=tmp_path, env={"EDGEKIT_OPT": str(opt)})
    assert result.exit_code == 5
    assert "wrote no file" in result.stderr
    assert hashes(copy) == before
    assert not list(copy.glob(".export-*"))


def test_no_opt_and_no_installing_is_a_tool_error(tmp_path: Path, run_cli: RunCli) -> None:
    if not paddle.is_here():
        pytest.skip(NEEDS_PADDLE)
    result = run_cli(
        ["export", MODEL, *RANDOM, "--no-install"],
        cwd=tmp_path,
        env={"EDGEKIT_CACHE": str(tmp_path / "cache")},
    )
    assert result.exit_code == 4
    assert "edgekit toolchain install opt" in result.stderr
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["PPLCNet_x0_55"], 3),
        ([MODEL, "--formats", "tflite"], 2),
        ([MODEL, "--formats", "onnx", "--nb-targets", "arm"], 2),
        ([MODEL, "PPLCNet_x0_5", "-o", "out"], 2),
        ([MODEL, "--input-shape", "224"], 2),
        ([MODEL, *RANDOM, *QUICK, "--input-shape", "1,224,224"], 2),
        ([], 2),
    ],
)
def test_wrong_arguments(tmp_path: Path, run_cli: RunCli, arguments: list[str], code: int) -> None:
    result = run_cli(["export", *arguments], cwd=tmp_path)
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    assert "hint:" in result.stderr
    assert not list(tmp_path.iterdir())


def test_weights_that_no_onnx_file_holds_are_refused_before_they_are_made() -> None:
    request = ExportRequest(model="ResNeXt101_32x48d_wsl", weights="random")
    with pytest.raises(UnsupportedError, match=r"3\.3 GB of weights") as caught:
        make_plan(request, print)
    assert str(caught.value.hint).endswith("--weights random --formats paddle,nb")
    rest = msgspec.structs.replace(request, formats=("paddle",))
    assert make_plan(rest, print).kinds == (ArtifactKind.PADDLE,)


def test_a_full_disk_is_an_output_error(tmp_path: Path) -> None:
    """4 MB for an export of 6 MB a file, on a file system of its own."""
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], check=False).returncode != 0:
        pytest.skip("no unprivileged user namespaces (unshare) here")
    export = f"{sys.executable} -m edgekit export {MODEL} --weights random --formats paddle,onnx"
    done = subprocess.run(
        [
            *(*unshare, "sh", "-c"),
            f"mount -t tmpfs -o size=4m none {tmp_path} && cd {tmp_path} && {export}; code=$?; "
            f"find {tmp_path} -type f -size +0; exit $code",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "No space left on device" in done.stderr
    assert "hint: free space" in done.stderr
    assert done.stdout == ""


def test_two_exports_of_the_same_models_at_once_in_another_order(tmp_path: Path) -> None:
    """Neither waits for the other's second model while it holds its own first one."""
    models = [MODEL, "PPLCNet_x0_35"]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "edgekit", "export", *order, *RANDOM, *QUICK, "--json"],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for order in (models, models[::-1])
    ]  # fmt: skip
    outputs = [child.communicate(timeout=240) for child in running]
    assert [child.returncode for child in running] == [0, 0], outputs
    lines = [line for out, _ in outputs for line in json.loads(out)]
    for model in models:
        ends = sorted(line["status"] for line in lines if line["name"] == model)
        assert ends == ["exported", "unchanged"]
        verify_files(load_manifest(tmp_path / "models" / model), tmp_path / "models" / model)


@pytest.mark.parametrize("end", [signal.SIGSEGV, signal.SIGKILL])
def test_a_dying_worker_is_named_with_its_stage(tmp_path: Path, end: signal.Signals) -> None:
    job = BuildJob(
        name="net",
        spec=find_model(MODEL),
        input_shape=(3, 224, 224),
        weights="random",
        num_classes=None,
        activation="softmax",
        directory=str(tmp_path),
        with_onnx=False,
    )
    with ExportWorkers() as workers:
        worker = workers.paddle
        answers = worker.ask(job, "exporting net", hint="edgekit export net")
        assert worker.pid is not None
        os.kill(worker.pid, end)
        with pytest.raises(ConversionError, match=rf"exporting net: the worker died while .*{end.name}"):
            next(answers)


# Python ends as it likes by a signal that comes before edgekit, so that one waits for this to begin.
PROGRAM = "from edgekit.__main__ import main\nprint(flush=True)\nmain()\n"


def start_export(directory: Path) -> subprocess.Popen[bytes]:
    """Start an export that changes the model, and return as edgekit begins."""
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "export", MODEL, *RANDOM, "--num-classes", "7", "--force"],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert child.stdout is not None
    child.stdout.readline()
    return child


def interrupt_at(moment_s: float, end: signal.Signals, directory: Path) -> int:
    """Start an export, send a signal after a while, and return how it ended."""
    child = start_export(directory)
    time.sleep(moment_s)
    child.send_signal(end)
    return child.wait(60)


def assert_old_or_new(directory: Path) -> None:
    manifest = load_manifest(directory)
    assert manifest.num_classes in (7, 1000)
    verify_files(manifest, directory)


def test_ctrl_c_leaves_the_old_state(copy: Path, tmp_path: Path) -> None:
    before = hashes(copy)
    child = start_export(tmp_path)
    while child.poll() is None and not list(copy.glob(".export-*")):
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    assert child.wait(60) == 130
    assert hashes(copy) == before
    assert not list(copy.glob(".export-*"))


@pytest.mark.slow
def test_ctrl_c_may_come_at_any_moment(copy: Path, tmp_path: Path, run_cli: RunCli) -> None:
    source = random.Random(2)
    codes = set()
    for _ in range(12):
        codes.add(interrupt_at(source.uniform(0.02, 3.5), signal.SIGINT, tmp_path))
        assert_old_or_new(copy)
    assert codes <= {0, 130}
    assert_goes_on(copy, tmp_path, run_cli)


@pytest.mark.slow
def test_an_export_may_be_killed_at_any_moment(copy: Path, tmp_path: Path, run_cli: RunCli) -> None:
    """Old or new, never half: twenty SIGKILLs over the length of an export that changes a model."""
    commands = [["export", MODEL, *RANDOM, "--num-classes", str(count), "--force"] for count in (7, 1000)]
    kill_at_random_moments(commands, tmp_path, copy, lambda: assert_old_or_new(copy), seed=9)
    assert_goes_on(copy, tmp_path, run_cli)


def assert_goes_on(directory: Path, cwd: Path, run_cli: RunCli) -> None:
    """The next export is whole, and nothing of the interrupted ones is left."""
    result = run_cli(["export", MODEL, *RANDOM, "--num-classes", "7", "--force"], cwd=cwd)
    assert result.exit_code == 0, result.stderr
    assert load_manifest(directory).num_classes == 7
    verify_files(load_manifest(directory), directory)
    assert {path.name for path in directory.iterdir() if path.name.startswith(".")} == {".export.lock"}


@pytest.mark.slow
def test_equal_input_gives_equal_bytes_in_any_company(x0_25: Path, tmp_path: Path, run_cli: RunCli) -> None:
    """The second model of a command, in another directory, is byte for byte the one exported alone."""
    result = run_cli(["export", "PPLCNet_x0_5", MODEL, *RANDOM], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    wanted, found = hashes(x0_25), hashes(tmp_path / "models" / MODEL)
    # The one of the fixture has been verified, which its manifest says.
    assert wanted.pop("manifest.json") != found.pop("manifest.json")
    assert found == wanted


# The ladder of a model with several outputs needs a process for each rung, three seconds with Paddle.
@pytest.mark.slow
def test_a_detector_is_exported_with_all_its_outputs(tmp_path: Path, run_cli: RunCli) -> None:
    command = ["export", "PicoDet_xs_320_LCNet", "--weights", "random", *QUICK]
    done = run_cli([*command, "--input-shape", "3,64,96"], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    manifest = load_manifest(tmp_path / "models" / "PicoDet_xs_320_LCNet")
    assert (manifest.task, manifest.num_classes, manifest.output_activation) == ("detection", 80, "none")
    assert manifest.preprocess.size == (64, 96)
    places = [96, 24, 6, 2]
    shapes = [(None, count, width) for width in (80, 32) for count in places]
    assert [each.shape for each in manifest.outputs] == shapes
    parity = manifest.parity["paddle"]
    assert (parity.reference, parity.judged_by, parity.passed) == ("dygraph", "boxes", True)


def test_a_detectors_sides_are_multiples(tmp_path: Path, run_cli: RunCli) -> None:
    command = ["export", "PicoDet_xs_320_LCNet", "--weights", "random"]
    done = run_cli([*command, "--input-shape", "3,60,90"], cwd=tmp_path)
    assert done.exit_code == 2
    assert "60x90 are no multiples of 32" in done.stderr
    assert "--input-shape 3,64,96" in done.stderr


def test_label_maps_are_of_segmentation_alone(tmp_path: Path, run_cli: RunCli) -> None:
    done = run_cli(["export", MODEL, *RANDOM, "--output-op", "argmax"], cwd=tmp_path)
    assert done.exit_code == 2
    assert "--output-op argmax of a classifier of pictures" in done.stderr
    assert f"edgekit export {MODEL} --weights random" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("PicoDet_LCNet_x1_0_layout", "boxes", []),
        ("DeepLabV3P_PPLCNet_x0_5", "pixels", []),
        ("DeepLabV3P_PPLCNet_x0_5", "pixels", ["--output-op", "argmax"]),
    ],
)
def test_detectors_and_segmenters_hold_on_every_engine(
    tmp_path: Path, run_cli: RunCli, name: str, kind: str, options: list[str]
) -> None:
    weights = "pretrained" if kind == "boxes" else "random"
    command = ["export", name, "--weights", weights, "--input-shape", "3,96,128", "--nb-targets", "arm,x86"]
    done = run_cli([*command, *options], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    manifest = load_manifest(tmp_path / "models" / name)
    if options:
        assert (manifest.output_activation, manifest.outputs[0].dtype) == ("argmax", "int32")
        assert manifest.outputs[0].shape == (None, 96, 128)
    found = manifest.parity
    assert {each: (parity.passed, parity.judged_by) for each, parity in found.items()} == {
        "paddle": (True, kind), "onnx": (True, kind), "nb-x86": (True, kind),
    }  # fmt: skip
    if kind == "boxes":
        # On these pages a network of so small an input finds nothing to compare.
        write_pages(tmp_path / "pages", range(6))
        command = ["quantize", name, "--calibration", tmp_path / "pages", "--formats", "onnx"]
        done = run_cli(command, cwd=tmp_path)
        assert done.exit_code == 3, done.stderr
        assert f"quantising {name}: the held-back pictures show no boxes to compare" in done.stderr
        assert "onnx-int8" not in load_manifest(tmp_path / "models" / name).artifacts
