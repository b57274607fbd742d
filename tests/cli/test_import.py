"""Importing users' own models: real programs of Paddle's three kinds and real ONNX, and what is refused."""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest

import edgekit
from edgekit.convert.formats.onnx import tidy
from edgekit.convert.manifest import describe_file, load_manifest, verify_files, write_manifest
from edgekit.core.artifact import ArtifactKind
from edgekit.zoo.registry import find_model
from tests.conftest import RunCli, python_with_paddle
from tests.convert.kills import kill_at_random_moments
from tests.convert.onnx_models import CLASSES, classifier

INFERENCE_YML = """
PreProcess:
  transform_ops:
  - ResizeImage: {resize_short: 40, interpolation: bicubic, backend: pil}
  - CropImage: {size: 32}
  - NormalizeImage: {scale: 1.0/255.0, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25], order: ''}
  - ToCHWImage:
PostProcess:
  Topk: {topk: 5, label_list: [ant, bee, cow, dog, eel]}
"""
# Run without FLAGS_enable_pir_api=0: Paddle 3 writes PIR of its own accord.
SAVE_PIR = """
import sys, paddle
paddle.seed(7)
class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv = paddle.nn.Conv2D(3, 8, 3, 2, 1)
        self.norm = paddle.nn.BatchNorm2D(8)
        self.act = paddle.nn.Hardswish()
        self.pool = paddle.nn.AdaptiveAvgPool2D(1)
        self.fc = paddle.nn.Linear(8, 5)
    def forward(self, x):
        x = self.act(self.norm(self.conv(x)))
        x = paddle.nn.functional.pad(x, [0, 1, 2, 0], value=3.0)
        return paddle.nn.functional.softmax(self.fc(paddle.flatten(self.pool(x), 1)))
net = Net()
net.eval()
spec = [paddle.static.InputSpec([None, 3, 32, 32], "float32", "x")]
paddle.jit.save(paddle.jit.to_static(net, input_spec=spec, full_graph=True), sys.argv[1])
"""


def rungs(stderr: str) -> dict[str, str]:
    """Name of a rung -> how it ended, from the lines that `import` shows."""
    words = [line.split() for line in stderr.splitlines()]
    return {line[1]: line[0] for line in words if line[:1] in (["reference"], ["passed"], ["failed"])}


def scores(model: Path, pictures: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: pictures[[index]]})[0] for index in range(len(pictures))])


def test_a_pytorch_style_onnx_of_opset_17(tmp_path: Path, run_cli: RunCli) -> None:
    classifier(tmp_path / "net.onnx")
    (tmp_path / "inference.yml").write_text(INFERENCE_YML)
    result = run_cli(["import", "net.onnx", "--name", "mine", "--json"], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    directory = tmp_path / "models" / "mine"
    assert rungs(result.stderr) | {"nb-x86": "passed"} == {
        "source": "reference",
        "paddle": "passed",
        "onnx": "passed",
        "nb-x86": "passed",
    }
    manifest = load_manifest(directory)
    verify_files(manifest, directory)
    assert json.loads(result.stdout)["status"] == "imported"
    assert (manifest.model, manifest.num_classes, manifest.output_activation) == (None, CLASSES, "none")
    assert (directory / "labels.txt").read_text().split() == ["ant", "bee", "cow", "dog", "eel"]
    preprocess = manifest.preprocess
    assert (preprocess.resize_short, preprocess.crop_size, preprocess.std) == (40, 32, (0.25,) * 3)
    assert (preprocess.interpolation.value, preprocess.resize_backend.value) == ("bicubic", "pillow")
    assert manifest.inputs[0].shape == (None, 3, 32, 32)
    assert (directory / "inference.onnx").read_bytes() == (tmp_path / "net.onnx").read_bytes()
    again = run_cli(["import", "net.onnx", "--name", "mine", "--json"], cwd=tmp_path)
    assert json.loads(again.stdout)["status"] == "unchanged"


def test_hard_swish_stays_one_operator(tmp_path: Path, run_cli: RunCli) -> None:
    classifier(tmp_path / "net.onnx", opset=14, activation="HardSwish", batch=1)
    result = run_cli(["import", "net.onnx", "--name", "mine"], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert rungs(result.stderr)["paddle"] == "passed"
    program = (tmp_path / "models" / "mine" / "inference.pdmodel").read_bytes()
    assert b"hard_swish" in program and b"hard_sigmoid" not in program
    # The artifact is the source's own file.
    pictures = np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(np.float32)
    own = scores(tmp_path / "models" / "mine" / "inference.onnx", pictures)
    np.testing.assert_array_equal(own, scores(tmp_path / "net.onnx", pictures))


@pytest.fixture(scope="module")
def pir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as Paddle 3 saves it."""
    directory = tmp_path_factory.mktemp("pir")
    script = directory / "save.py"  # Paddle reads the source of what it translates
    script.write_text(SAVE_PIR)
    subprocess.run(
        [python_with_paddle(), script, directory / "inference"],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    assert (directory / "inference.json").is_file()
    return directory


def test_a_pir_model(pir: Path, tmp_path: Path, run_cli: RunCli) -> None:
    result = run_cli(["import", pir, "--name", "mine"], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    ends = rungs(result.stderr)
    assert (ends["source"], ends["paddle"], ends["onnx"]) == ("reference", "passed", "passed")
    manifest = load_manifest(tmp_path / "models" / "mine")
    assert manifest.output_activation == "softmax"
    assert manifest.artifacts["paddle"].tool == "edgekit"
    parent = manifest.artifacts["onnx"]
    assert manifest.artifacts["paddle"].parent_sha256 == parent.sha256
    assert manifest.artifacts["nb-arm"].parent_sha256 == manifest.artifacts["paddle"].sha256


def test_an_operator_of_a_pir_model_that_paddle2onnx_lacks_is_named(tmp_path: Path, run_cli: RunCli) -> None:
    script = tmp_path / "save.py"
    script.write_text(SAVE_PIR.replace("self.act(self.norm", "paddle.lgamma(self.norm"))
    subprocess.run([python_with_paddle(), script, tmp_path / "net" / "inference"], check=True, timeout=120)
    result = run_cli(["import", "net", "--name", "mine"], cwd=tmp_path)
    assert result.exit_code == 5, result.stderr
    assert "importing net: paddle2onnx has no operator lgamma: lgamma at " in result.stderr
    assert not list(tmp_path.glob("models/*"))


# With FLAGS_enable_pir_api=0: the legacy program that Paddle 2 wrote, and 3.1 still does.
SAVE_LEGACY = """
import sys, paddle
def change(x):
    CHANGE
    return x
class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv = paddle.nn.Conv2D(3, 8, 3, 2, 1)
        self.act = paddle.nn.ReLU6()
        self.pool = paddle.nn.AdaptiveAvgPool2D(1)
        self.fc = paddle.nn.Linear(8, 5)
    def forward(self, x):
        x = self.fc(paddle.flatten(self.pool(self.act(self.conv(x))), 1))
        x = change(x)
        return x
net = Net()
net.eval()
spec = [paddle.static.InputSpec([None, 3, 32, 32], "float32", "x")]
paddle.jit.save(paddle.jit.to_static(net, input_spec=spec, full_graph=True), sys.argv[1])
"""


def save_legacy(directory: Path, change: str = "pass") -> Path:
    """A small network whose scores go through a statement more."""
    script = directory / "save.py"
    script.write_text(SAVE_LEGACY.replace("CHANGE", change))
    subprocess.run(
        [python_with_paddle(), script, directory / "legacy" / "inference"],
        check=True, capture_output=True, timeout=120, env={**os.environ, "FLAGS_enable_pir_api": "0"},
    )  # fmt: skip
    return directory / "legacy"


def test_relu6_without_its_threshold_is_mended(tmp_path: Path, run_cli: RunCli) -> None:
    """opt aborts on it (`No attributes called threshold found for relu6`)."""
    result = run_cli(["import", save_legacy(tmp_path), "--name", "mine"], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    manifest = load_manifest(tmp_path / "models" / "mine")
    assert "1 relu6 given their threshold of 6" in manifest.notes
    assert "nb-arm" in manifest.artifacts
    assert set(rungs(result.stderr).values()) == {"reference", "passed"}


def test_an_instance_norm_without_its_statistics_is_mended(tmp_path: Path, run_cli: RunCli) -> None:
    """opt aborts on it (`Check failed: is_dispensable || is_have_output`)."""
    change = "x = paddle.flatten(paddle.nn.functional.instance_norm(paddle.reshape(x, [-1, 1, 1, 5])), 1)"
    result = run_cli(["import", save_legacy(tmp_path, change), "--name", "mine"], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    manifest = load_manifest(tmp_path / "models" / "mine")
    assert "1 instance_norm given the outputs that opt wants" in manifest.notes
    assert "nb-arm" in manifest.artifacts
    assert set(rungs(result.stderr).values()) == {"reference", "passed"}


def test_padding_keeps_height_and_width(tmp_path: Path, run_cli: RunCli) -> None:
    """opt exchanges them: the .nb gave scores in another order, or died."""
    change = "x = paddle.flatten(paddle.nn.functional.pad(paddle.reshape(x, [-1, 1, 1, 5]), [0, 1, 2, 0]), 1)"
    result = run_cli(["import", save_legacy(tmp_path, change), "--name", "mine"], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    manifest = load_manifest(tmp_path / "models" / "mine")
    assert "1 pad3d written so that opt does not exchange height and width" in manifest.notes
    assert set(rungs(result.stderr).values()) == {"reference", "passed"}


def test_constants_and_unbound_tensors_reach_paddle_lite(tmp_path: Path, run_cli: RunCli) -> None:
    """Its `.nb` died on Paddle 3's constants, and had each part of unbind written over by the next."""
    change = (
        "x, y = paddle.unbind(paddle.stack([x, 2 * x + paddle.to_tensor([1.0, 2.0, 3.0, 4.0, 5.0])]), 0); "
        "x = x + 3 * y"
    )
    result = run_cli(["import", save_legacy(tmp_path, change), "--name", "mine"], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    notes = load_manifest(tmp_path / "models" / "mine").notes
    assert "1 assign_value given their numbers as opt reads them" in notes
    assert "1 unbind written as slices, since Paddle Lite writes beyond their outputs" in notes
    assert set(rungs(result.stderr).values()) == {"reference", "passed"}


def test_an_operator_that_a_converter_lacks_is_named_with_its_place(tmp_path: Path, run_cli: RunCli) -> None:
    words = ["import", save_legacy(tmp_path, "x = paddle.erfinv(paddle.tanh(x))"), "--name", "mine"]
    for formats, said, mended in (
        ("paddle,onnx", "paddle2onnx has no operator erfinv: erfinv at ", "--formats paddle\n"),
        ("paddle,nb", "no operator erfinv for arm: erfinv at ", "--formats paddle\n"),
    ):
        result = run_cli([*words, "--formats", formats], cwd=tmp_path)
        assert result.exit_code == 5, result.stderr
        assert said in result.stderr
        assert mended in result.stderr
    assert not list(tmp_path.glob("models/*"))


@pytest.mark.slow
def test_an_operator_that_needs_a_newer_opset_has_it(tmp_path: Path, run_cli: RunCli) -> None:
    """paddle2onnx aborts on it below opset 17; an `.nb` it cannot be, and that is said."""
    own = save_legacy(tmp_path, "x[:, 0:2] = 1.0")
    result = run_cli(["import", own, "--name", "mine", "--formats", "paddle,onnx"], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert set(rungs(result.stderr).values()) == {"reference", "passed"}
    document = onnx.load(tmp_path / "models" / "mine" / "inference.onnx")
    assert [one.version for one in document.opset_import] == [17]
    refused = run_cli(["import", own, "--name", "other"], cwd=tmp_path)
    assert refused.exit_code == 5
    assert "has no operator set_value for arm: set_value at " in refused.stderr


def test_what_branches_read_stays_in_a_tidied_model(tmp_path: Path) -> None:
    """Constants and copies that stand outside of an `If` and are read inside alone."""
    make, number = onnx.helper, onnx.TensorProto.FLOAT
    constant = make.make_node("Constant", [], ["one"], value=make.make_tensor("one", number, [1], [1.0]))
    copy = make.make_node("Identity", ["x"], ["copied"])
    value = make.make_tensor_value_info("z", number, None)
    branches = [
        make.make_graph([make.make_node(kind, ["copied", "one"], ["z"])], kind, [], [value])
        for kind in ("Add", "Sub")
    ]
    choice = make.make_node("If", ["which"], ["y"], then_branch=branches[0], else_branch=branches[1])
    inputs = [
        make.make_tensor_value_info("which", onnx.TensorProto.BOOL, [1]),
        make.make_tensor_value_info("x", number, ["n"]),
    ]
    outputs = [make.make_tensor_value_info("y", number, ["n"])]
    graph = make.make_graph([constant, copy, choice], "net", inputs, outputs)
    document = make.make_model(graph, opset_imports=[make.make_opsetid("", 14)], ir_version=8)
    tidy(document)
    assert [node.op_type for node in document.graph.node] == ["If"]
    onnx.save(document, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    feed = {"which": np.array([True]), "x": np.array([2.0], np.float32)}
    assert session.run(None, feed)[0].tolist() == [3.0]


def archive(directory: Path, target: Path) -> Path:
    """An official `NAME_infer.tar` of an exported model."""
    with tarfile.open(target, "w") as tar:
        for name in ("inference.pdmodel", "inference.pdiparams", "inference.pdiparams.info"):
            tar.add(directory / name, f"Net_infer/{name}")
    return target


def test_a_legacy_tar_equals_the_export(x0_25: Path, tmp_path: Path, run_cli: RunCli) -> None:
    archive(x0_25, tmp_path / "Net_infer.tar")
    result = run_cli(["import", "Net_infer.tar", "--name", "mine"], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert rungs(result.stderr)["source"] == "reference"
    own, exported = load_manifest(tmp_path / "models" / "mine"), load_manifest(x0_25)
    for kind in ("paddle", "onnx", "nb-arm", "nb-arm-fp16"):
        assert own.artifacts[kind].sha256 == exported.artifacts[kind].sha256
    verified = run_cli(["verify", "mine"], cwd=tmp_path)
    assert verified.exit_code == 0, verified.stderr
    kept = run_cli(["import", "Net_infer.tar", "--name", "x", "-o", x0_25], cwd=tmp_path)
    assert kept.exit_code == 3
    assert "holds the export of PPLCNet_x0_25" in kept.stderr


def test_an_official_archive_is_fetched_imported_measured_and_compared(
    x0_25: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    """The way of models without a published state dict, with another network under the name of one."""
    name = "ResNet50_rsb"
    archive = f"{name}_infer.tar"
    place = tmp_path / "mirror" / "paddle-imagenet-models-name.bj.bcebos.com" / "dygraph" / "inference"
    place.mkdir(parents=True)
    with tarfile.open(place / archive, "w") as tar:
        for file in ("inference.pdmodel", "inference.pdiparams"):
            tar.add(x0_25 / file, f"{name}_infer/{file}")
    env = {"EDGEKIT_CACHE": str(tmp_path / "cache")}
    offline = run_cli(["fetch", name, "--mirror", str(tmp_path / "none")], cwd=tmp_path, env=env)
    assert offline.exit_code == 4
    assert f"put the file there by hand: {tmp_path / 'cache' / 'weights' / archive}" in offline.stderr
    fetched = run_cli(["fetch", name, "--mirror", str(tmp_path / "mirror")], cwd=tmp_path, env=env)
    assert fetched.exit_code == 0, fetched.stderr
    path = fetched.stdout.split()[0]
    # opt lies in the usual cache.
    done = run_cli(["import", path, "--name", name, "--formats", "paddle,onnx"], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    manifest = load_manifest(tmp_path / "models" / name)
    assert manifest.preprocess == find_model(name).preprocess
    assert manifest.labels is not None
    quick = ["--warmup", "1", "--repeats", "3", "--min-secs", "0", "--processes", "1"]
    done = run_cli(["bench", name, "--host", "--engine", "onnxruntime", *quick, "-o", "r.json"], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    text = run_cli(["report", "r.json", "--published", "--format", "csv"], cwd=tmp_path).stdout
    assert [row["model"] for row in csv.DictReader(text.splitlines())] == [name]
    shown = run_cli(["report", "r.json", "--published", "--format", "md"], cwd=tmp_path).stdout
    lines = shown[shown.index("PP-HGNet beside") :].splitlines()
    assert "published only" not in next(line for line in lines if "ResNet50_rsb" in line)
    assert "published only" in next(line for line in lines if "SwinTransformer_base" in line)


def test_free_sizes_have_to_be_said(tmp_path: Path, run_cli: RunCli) -> None:
    classifier(tmp_path / "net.onnx", side="S")
    words = ["import", "net.onnx", "--name", "mine", "--formats", "paddle,onnx"]
    result = run_cli(words, cwd=tmp_path)
    assert result.exit_code == 3
    assert "input is [?,3,?,?]" in result.stderr and "--input-shape" in result.stderr
    assert not (tmp_path / "models" / "mine").exists()
    result = run_cli([*words, "--input-shape", "3,48,48"], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert load_manifest(tmp_path / "models" / "mine").inputs[0].shape == (None, 3, 48, 48)


@pytest.mark.parametrize(
    ("options", "said", "code"),
    [
        ({"strange": True}, "no operator determinant for arm: Det a_determinant (square -> d)", 5),
    ],
)
def test_what_cannot_be_taken_is_named(
    tmp_path: Path, run_cli: RunCli, options: dict[str, bool], said: str, code: int
) -> None:
    classifier(tmp_path / "net.onnx", **options)
    result = run_cli(["import", "net.onnx", "--name", "mine"], cwd=tmp_path)
    assert result.exit_code == code, result.stderr
    assert said in result.stderr
    assert list((tmp_path).glob("models/*")) == []


def tar_with(target: Path, member: tarfile.TarInfo) -> Path:
    with tarfile.open(target, "w") as tar:
        tar.addfile(member)
    return target


def test_dangerous_archives(tmp_path: Path, run_cli: RunCli) -> None:
    outside = tarfile.TarInfo("../outside.pdmodel")
    absolute = tarfile.TarInfo("/tmp/edgekit-outside.pdmodel")
    link = tarfile.TarInfo("inference.pdmodel")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    for member, said in ((outside, "outside"), (absolute, "outside"), (link, "no plain file")):
        path = tar_with(tmp_path / "bad.tar", member)
        result = run_cli(["import", path, "--name", "mine"], cwd=tmp_path)
        assert result.exit_code == 3, result.stderr
        assert said in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"bad.tar"}


def zeros_behind(target: Path, header: tarfile.TarInfo, count_bytes: int) -> None:
    """A small archive that unpacks to a header and that many zeros."""
    with gzip.open(target, "wb") as file:
        file.write(header.tobuf())
        for _ in range(count_bytes >> 20):
            file.write(bytes(1 << 20))


def test_bombs(tmp_path: Path, run_cli: RunCli) -> None:
    large = tarfile.TarInfo("inference.pdiparams")
    large.size = 5 << 30
    zeros_behind(tmp_path / "large.tar.gz", large, 1 << 20)
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    zeros_behind(tmp_path / "name.tar.gz", name, 200 << 20)
    with tarfile.open(tmp_path / "many.tar.gz", "w:gz") as tar:
        for number in range(1001):
            directory = tarfile.TarInfo(f"d{number}")
            directory.type = tarfile.DIRTYPE
            tar.addfile(directory)
    before = {path.name for path in tmp_path.iterdir()}
    for path, said in (
        ("large.tar.gz", "GiB"),
        ("name.tar.gz", "a header of 1073741824 bytes"),
        ("many.tar.gz", "more than 1000 members"),
    ):
        result = run_cli(["import", path, "--name", "mine"], cwd=tmp_path)
        assert result.exit_code == 3, result.stderr
        assert said in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == before


def test_labels_and_preprocessing_that_do_not_fit(tmp_path: Path, run_cli: RunCli) -> None:
    classifier(tmp_path / "net.onnx")
    (tmp_path / "labels.txt").write_text("one\ntwo\n")
    (tmp_path / "odd.yml").write_text("PreProcess: {transform_ops: [{RandAugment: {}}]}")
    for words, said in (
        (["--labels", "labels.txt"], "2 labels in labels.txt for 5 classes"),
        (["--preprocess", "odd.yml"], "no operation RandAugment"),
    ):
        result = run_cli(
            ["import", "net.onnx", "--name", "mine", "--formats", "paddle,onnx", *words], cwd=tmp_path
        )
        assert result.exit_code == 3, result.stderr
        assert said in result.stderr
    assert not (tmp_path / "models" / "mine").exists()


def test_a_further_import_tells_that_int8_artifacts_are_gone(tmp_path: Path, run_cli: RunCli) -> None:
    classifier(tmp_path / "net.onnx")
    words = ["import", "net.onnx", "--name", "mine", "--formats", "onnx", "--no-verify", "--force"]
    assert run_cli(words, cwd=tmp_path).exit_code == 0
    directory = tmp_path / "models" / "mine"
    [name] = ArtifactKind.ONNX_INT8.file_names
    shutil.copyfile(directory / "inference.onnx", directory / name)
    manifest = load_manifest(directory)
    made = msgspec.structs.replace(
        manifest.artifacts["onnx"], kind=ArtifactKind.ONNX_INT8, files=(describe_file(directory / name),)
    )
    artifacts = {**manifest.artifacts, "onnx-int8": made}
    write_manifest(directory, msgspec.structs.replace(manifest, artifacts=artifacts))
    again = run_cli(words, cwd=tmp_path)
    assert again.exit_code == 0, again.stderr
    assert "dropped (onnx-int8); edgekit quantize mine --calibration DIR makes them anew" in again.stderr
    assert "onnx-int8" not in load_manifest(directory).artifacts


def test_a_paddle_of_another_distribution_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """paddlepaddle-gpu gives the same module."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.metadata as metadata\n"
        "own = metadata.version\n"
        "def version(name):\n"
        "    if name == 'paddlepaddle':\n"
        "        raise metadata.PackageNotFoundError(name)\n"
        "    return own(name)\n"
        "metadata.version = version\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    classifier(tmp_path / "net.onnx")
    done = edgekit.import_model("net.onnx", "mine", formats=["paddle"], verify=False)
    assert "paddle" in done.manifest.artifacts


@pytest.mark.slow
def test_an_import_may_be_killed_at_any_moment(tmp_path: Path, run_cli: RunCli) -> None:
    """Old or new, never half: twenty SIGKILLs over the length of an import that changes a model."""
    old, new = tmp_path / "old.onnx", tmp_path / "new.onnx"
    classifier(old)
    classifier(new, activation="HardSwish")
    options = ["--name", "mine", "--formats", "paddle,onnx", "--no-verify", "--force"]
    directory = tmp_path / "models" / "mine"
    states = {str(path): onnx.load(path).SerializeToString() for path in (old, new)}

    def check() -> None:
        manifest = load_manifest(directory)
        verify_files(manifest, directory)
        assert onnx.load(directory / "inference.onnx").SerializeToString() == states[manifest.source]

    kill_at_random_moments(
        [["import", old, *options], ["import", new, *options]], tmp_path, directory, check, seed=11
    )
    assert run_cli(["import", new, *options], cwd=tmp_path).exit_code == 0
    assert not [path for path in directory.iterdir() if path.name.startswith((".export-", ".pending"))]
    shutil.rmtree(directory)
    assert not [name for name in os.listdir(tmp_path / "models") if name != "mine"]
