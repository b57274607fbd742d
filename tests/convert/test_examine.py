"""Sizes, types, meaning of the scores and damage are read off a model before anything is made of it."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import edgekit
from edgekit.convert.importing.examine import choose_sizes, open_model
from edgekit.convert.importing.source import open_source
from edgekit.core.feeds import seeded_feed
from edgekit.errors import EdgekitError, InputError, RunnerError, UsageError
from edgekit.parity.source import compute_feeds
from tests.cli.test_import import save_legacy
from tests.conftest import NEEDS_PADDLE, RunCli
from tests.convert.onnx_graphs import FLOAT, model, node, scorer

pytestmark = pytest.mark.usefixtures("warm_children")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def import_only(path: Path | str, **options: Any) -> Any:
    """Import ONNX as it is; nothing is converted or checked."""
    return edgekit.import_model(path, "mine", **{"formats": ["onnx"], "verify": False, **options})


ROW_SUM = {"axes": np.array([1], np.int64)}
TAILS: dict[str, tuple[list[onnx.NodeProto], dict[str, Any], int, str]] = {
    "logits": ([node("Identity", ["g"], ["scores"])], {}, 5, "none"),
    "softmax": ([node("Softmax", ["g"], ["scores"], axis=1)], {}, 5, "softmax"),
    "sigmoid": ([node("Sigmoid", ["g"], ["scores"])], {}, 5, "sigmoid"),
    "softmax, then clip": (
        [node("Softmax", ["g"], ["s"], axis=1), node("Clip", ["s", "low", "high"], ["scores"])],
        {"low": np.float32(1e-7), "high": np.float32(1)}, 5, "softmax",
    ),
    "softmax, then slice": (
        [node("Softmax", ["g"], ["s"], axis=1), node("Slice", ["s", "from", "to", "axes"], ["scores"])],
        {"from": np.array([1]), "to": np.array([5]), **ROW_SUM}, 4, "softmax",
    ),
    "exp over sum": (
        [node("Exp", ["g"], ["e"]), node("ReduceSum", ["e", "axes"], ["t"]),
         node("Div", ["e", "t"], ["scores"])],
        ROW_SUM, 5, "softmax",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TAILS)
def test_probabilities_are_known_by_operators_and_numbers(tmp_path: Path, name: str) -> None:
    tail, weights, classes, activation = TAILS[name]
    scorer(tmp_path / "net.onnx", *tail, weights=weights, classes=classes)
    manifest = import_only("net.onnx").manifest
    assert (manifest.output_activation, manifest.num_classes) == (activation, classes)
    guessed = [note for note in manifest.notes if "taken for probabilities" in note]
    assert bool(guessed) == (name == "exp over sum")


def test_predict_shows_the_numbers_of_a_sigmoid_itself(tmp_path: Path, run_cli: RunCli) -> None:
    scorer(tmp_path / "net.onnx", node("Sigmoid", ["g"], ["scores"]))
    import_only("net.onnx")
    cv2.imwrite("flat.png", np.full((40, 40, 3), 128, np.uint8))
    done = run_cli(["predict", "mine", "flat.png", "--json", "--top-k", "5"], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    [answer] = json.loads(done.stdout)
    value = (128 / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    picture = np.broadcast_to(value.reshape(1, 3, 1, 1), (1, 3, 32, 32)).astype(np.float32)
    session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
    wanted = session.run(None, {"x": picture})[0][0]
    assert sorted(answer["class_ids"]) == np.flatnonzero(wanted >= 0.5).tolist() != []
    np.testing.assert_allclose(answer["scores"], wanted[answer["class_ids"]], atol=1e-4)


# Models of other shapes and types: nodes, inputs, outputs, weights, and sizes to ask for.
def two_inputs(path: Path) -> None:
    nodes = [
        node("Cast", ["ids"], ["f"], to=FLOAT),
        node("ReduceMean", ["picture"], ["m"], axes=[1, 2, 3], keepdims=0),
        node("Unsqueeze", ["m", "one"], ["u"]),
        node("Add", ["f", "u"], ["sum"]),
        node("Relu", ["sum"], ["y"]),
        node("Sqrt", ["y"], ["z"]),
    ]
    inputs = [("ids", TensorProto.INT64, [1, 4]), ("picture", FLOAT, [1, "H", "W", 3])]
    model(path, nodes, inputs, [("y", FLOAT, [1, 4]), ("z", FLOAT, [1, 4])], {"one": np.array([1])})


def grey_bytes(path: Path) -> None:
    nodes = [
        node("Cast", ["x"], ["f"], to=FLOAT),
        node("Mul", ["f", "scale"], ["m"]),
        node("AveragePool", ["m"], ["y"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    outputs = [("y", FLOAT, ["N", 1, 12, 20])]
    model(path, nodes, [("x", TensorProto.UINT8, ["N", 1, 24, 40])], outputs, {"scale": np.float32(0.1)})


def rank_two(path: Path) -> None:
    random = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
    nodes = [node("MatMul", ["x", "w"], ["y"])]
    model(path, nodes, [("x", FLOAT, ["N", 7])], [("y", FLOAT, ["N", 3])], {"w": random})


def half(path: Path) -> None:
    nodes = [node("Relu", ["x"], ["y"])]
    model(path, nodes, [("x", TensorProto.FLOAT16, [2, 6])], [("y", TensorProto.FLOAT16, [2, 6])])


def flags_and_numbers(path: Path) -> None:
    """Flags, and inputs of rank 0."""
    nodes = [
        node("Where", ["which", "a", "b"], ["chosen"]),
        node("Mul", ["chosen", "scale"], ["scaled"]),
        node("Cast", ["add"], ["f"], to=FLOAT),
        node("Add", ["scaled", "f"], ["y"]),
    ]
    inputs = [("which", TensorProto.BOOL, [3, 5]), ("a", FLOAT, [3, 5]), ("b", FLOAT, [3, 5])]
    inputs += [("scale", FLOAT, []), ("add", TensorProto.INT64, [])]
    model(path, nodes, inputs, [("y", FLOAT, [3, 5])])


@pytest.mark.parametrize(
    ("build", "sizes"),
    [
        (flags_and_numbers, None),
        *(pytest.param(each, None, marks=pytest.mark.slow) for each in (grey_bytes, rank_two, half)),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_any_inputs_and_outputs_are_imported_and_compared(
    tmp_path: Path, build: Callable[[Path], None], sizes: dict[str, tuple[int, ...]] | None
) -> None:
    build(tmp_path / "net.onnx")
    made = edgekit.import_model("net.onnx", "mine", formats=["paddle", "onnx"], input_shape=sizes)
    manifest = made.manifest
    assert manifest.num_classes == 0
    assert {name for name, parity in manifest.parity.items() if parity.passed} == {"paddle", "onnx"}
    document = onnx.load("net.onnx")
    assert [each.name for each in manifest.inputs] == [each.name for each in document.graph.input]
    assert [each.name for each in manifest.outputs] == [each.name for each in document.graph.output]


def test_an_nb_of_several_inputs_and_types_is_compared(tmp_path: Path, x86_nb: None) -> None:
    two_inputs(tmp_path / "net.onnx")
    sizes = {"picture": (1, 20, 30, 3)}
    options = {"formats": ["paddle", "onnx", "nb"], "nb_targets": ["x86"], "input_shape": sizes}
    manifest = edgekit.import_model("net.onnx", "mine", **options).manifest
    assert [rung for rung, parity in manifest.parity.items() if parity.passed] == ["paddle", "onnx", "nb-x86"]
    assert [each.name for each in manifest.inputs] == ["ids", "picture"]
    # No .nb any more.
    path = Path("models/mine") / manifest.artifacts["nb-x86"].files[0].path
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunnerError, match="does not compute it"):
        compute_feeds("nb", [str(path)], [seeded_feed(manifest.inputs, 0)])


def test_every_output_is_compared(tmp_path: Path, run_cli: RunCli) -> None:
    """The second output is chaotic: no two engines agree on it."""
    nodes = [
        node("Relu", ["x"], ["y"]),
        node("Conv", ["x", "w"], ["c"]),
        node("Mul", ["c", "huge"], ["m"]),
        node("Sin", ["m"], ["z"]),
    ]
    weights = {"w": np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32),
               "huge": np.float32(1e9)}  # fmt: skip
    outputs = [("y", FLOAT, [1, 3, 8, 8]), ("z", FLOAT, [1, 4, 6, 6])]
    model(tmp_path / "net.onnx", nodes, [("x", FLOAT, [1, 3, 8, 8])], outputs, weights)
    words = ["import", "net.onnx", "--name", "mine", "--formats", "paddle,onnx"]
    done = run_cli(words, cwd=tmp_path)
    assert done.exit_code == 5, done.stderr
    assert "the rung paddle (paddle) broke: output 1: relative error" in done.stderr


def test_what_answers_for_pictures_refuses_other_models_by_name(tmp_path: Path, run_cli: RunCli) -> None:
    two_inputs(tmp_path / "net.onnx")
    import_only("net.onnx", input_shape={"picture": [1, 20, 30, 3]})
    (tmp_path / "picture.png").write_bytes(b"")
    for words in (
        ["predict", "mine", "picture.png"],
        ["quantize", "mine", "--calibration", ".", "--formats", "onnx"],
        ["bundle", "mine"],
    ):
        done = run_cli(words, cwd=tmp_path)
        assert done.exit_code == 2, (words, done.stderr)
        assert " mine: " in done.stderr and "(it takes ids int64[1, 4], picture float32" in done.stderr


def test_a_batch_that_is_fixed_is_kept(tmp_path: Path, run_cli: RunCli) -> None:
    path = scorer(tmp_path / "net.onnx", node("Identity", ["g"], ["scores"]))
    document = onnx.load(path)
    for value in [*document.graph.input, *document.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(document, path)
    done = run_cli(["import", path, "--name", "b4", "--formats", "paddle,onnx"], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    quick = ["--warmup", "1", "--repeats", "3", "--min-secs", "0", "--processes", "1", "-o", "r.json"]
    words = ["bench", "b4", "--host", "--engine", "paddle,onnxruntime", "--batch-size", "4", *quick]
    done = run_cli(words, cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    points = json.loads((tmp_path / "r.json").read_text())["points"]
    assert [point["parity"]["passed"] for point in points] == [True, True]


def test_sizes_that_are_asked_for_have_to_fit(tmp_path: Path) -> None:
    two_inputs(tmp_path / "net.onnx")
    with pytest.raises(InputError, match=r"its input picture is \[1,\?,\?,3\]; its size has to be said"):
        import_only("net.onnx")
    with pytest.raises(UsageError, match="its inputs are ids, picture"):
        import_only("net.onnx", input_shape={"image": (1, 20, 30, 3)})
    with pytest.raises(UsageError, match="without a name"):
        import_only("net.onnx", input_shape=(20, 30, 3))
    with pytest.raises(InputError, match="fixed in the model"):
        import_only("net.onnx", input_shape={"picture": (1, 20, 30, 4)})
    with pytest.raises(InputError, match="at most 268435456 are taken"):
        import_only("net.onnx", input_shape={"picture": (1, 100_000, 100_000, 3)})


# Damage, and models that lie. Each builds `net.onnx`; the text is what the refusal says.
def relu(path: Path, shape: list[Any], weights: dict[str, Any] | None = None) -> onnx.ModelProto:
    model(path, [node("Relu", ["x"], ["y"])], [("x", FLOAT, shape)], [("y", FLOAT, shape)], weights)
    return onnx.load(path)


def weighted(path: Path) -> onnx.ModelProto:
    return onnx.load(scorer(path, node("Identity", ["g"], ["scores"])))


def lies_about_a_weight(path: Path) -> None:
    document = weighted(path)
    document.graph.initializer[0].dims[0] = 10**9
    onnx.save(document, path)


def has_a_short_weight(path: Path) -> None:
    document = weighted(path)
    document.graph.initializer[0].raw_data = document.graph.initializer[0].raw_data[:-8]
    onnx.save(document, path)


def wants_a_huge_input(path: Path) -> None:
    relu(path, [1, 3, 100_000, 100_000])


def makes_a_huge_tensor(path: Path) -> None:
    nodes = [node("Expand", ["x", "shape"], ["e"]), node("ReduceMax", ["e"], ["y"], keepdims=0)]
    weights = {"shape": np.array([1000, 1000, 1000])}
    model(path, nodes, [("x", FLOAT, [1, 1, 1])], [("y", FLOAT, [])], weights)


def external(path: Path, location: str = "weights.bin") -> Path:
    document = weighted(path)
    onnx.save(document, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    document = onnx.load(path, load_external_data=False)
    for tensor in document.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(document.SerializeToString())
    return path.with_name("weights.bin")


def external_is_cut(path: Path) -> None:
    weights = external(path)
    weights.write_bytes(weights.read_bytes()[:-40])


def external_is_missing(path: Path) -> None:
    external(path).unlink()


def external_is_a_link(path: Path) -> None:
    weights = external(path)
    weights.rename(path.with_name("elsewhere"))
    weights.symlink_to("elsewhere")


def external_lies_above(path: Path) -> None:
    external(path, "../weights.bin")


def external_is_absolute(path: Path) -> None:
    external(path, "/etc/passwd")


def is_a_ring(path: Path) -> None:
    nodes = [node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"])]
    model(path, nodes, [("x", FLOAT, [1, 3])], [("b", FLOAT, [1, 3])])


def lacks_a_weight(path: Path) -> None:
    document = weighted(path)
    del document.graph.initializer[0]
    onnx.save(document, path)


def names_twice(path: Path) -> None:
    nodes = [node("Relu", ["x"], ["y"]), node("Sigmoid", ["x"], ["y"])]
    model(path, nodes, [("x", FLOAT, [1, 3])], [("y", FLOAT, [1, 3])])


def is_foreign(path: Path) -> None:
    nodes = [helper.make_node("Twist", ["x"], ["y"], name="a_twist", domain="org.example")]
    shape = [1, 3]
    model(path, nodes, [("x", FLOAT, shape)], [("y", FLOAT, shape)], domains=["org.example"])


def gives_a_sequence(path: Path) -> None:
    nodes = [node("SplitToSequence", ["x"], ["y"], axis=1)]
    model(path, nodes, [("x", FLOAT, [1, 3])], [("y", FLOAT, [1, 3])])
    document = onnx.load(path)
    made = helper.make_tensor_sequence_value_info("y", FLOAT, None)
    document.graph.output[0].CopyFrom(made)
    onnx.save(document, path)


def takes_strings(path: Path) -> None:
    nodes = [node("Identity", ["x"], ["y"])]
    model(path, nodes, [("x", TensorProto.STRING, [1])], [("y", TensorProto.STRING, [1])])


def is_no_onnx(path: Path) -> None:
    path.write_bytes(b"\x00\x01" * 50)


def is_cut(path: Path) -> None:
    weighted(path)
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lies_about_a_weight, r"its weight w \[1000000000,3,3,3\] is impossible"),
        (has_a_short_weight, r"its weight w \[8,3,3,3\] needs 864 bytes and has 856"),
        (wants_a_huge_input, r"its .*\[1,3,100000,100000\]: 30000000000 numbers, at most"),
        (makes_a_huge_tensor, r"its tensor e is \[1000,1000,1000\]: 1000000000 numbers, at most"),
        (external_is_cut, r"its weight fc .* the file is cut"),
        (external_is_missing, "lies in weights.bin, which is missing"),
        (external_is_a_link, "lies behind a link, weights.bin"),
        (external_lies_above, "lies in '../weights.bin', outside of the model's directory"),
        (external_is_absolute, "lies in '/etc/passwd', outside of the model's directory"),
        (is_a_ring, "the_Add .*reads 'b', which Relu the_Relu .*: nodes in a ring"),
        (lacks_a_weight, "the_Conv .*reads 'w', which nothing gives"),
        (names_twice, "the_Sigmoid .*gives 'y', which is there already"),
        (is_foreign, "a_twist .* is an operator of org.example"),
        (gives_a_sequence, "its output y is no tensor but a sequence"),
        (takes_strings, "its input x is a tensor of string"),
        (is_no_onnx, "net.onnx is no ONNX"),
        (is_cut, "net.onnx is no ONNX"),
    ],
)  # fmt: skip
def test_damage_and_lies_are_refused_by_name(
    tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    (tmp_path / "model").mkdir()
    path = tmp_path / "model" / "net.onnx"
    damage(path)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=said) as refused:
        inputs = open_model("onnx", path, None, "net.onnx", tmp_path).inputs
        choose_sizes(inputs, {}, (3, None, None), "net.onnx", "")
    assert refused.value.hint
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 500 << 10


@pytest.mark.parametrize("damage", [wants_a_huge_input, is_a_ring])
def test_of_a_refused_model_nothing_is_left(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    damage(tmp_path / "net.onnx")
    with pytest.raises(InputError):
        import_only("net.onnx")
    assert not Path("models").exists() or not list(Path("models").iterdir())


def test_external_weights_belong_to_the_model(tmp_path: Path) -> None:
    weights = external(tmp_path / "net.onnx")
    assert import_only("net.onnx").changed
    assert not import_only("net.onnx").changed
    content = bytearray(weights.read_bytes())
    content[0] ^= 1
    weights.write_bytes(content)
    made = import_only("net.onnx")
    assert made.changed
    assert len(list(made.directory.glob("*.onnx"))) == 1


@pytest.fixture(scope="module")
def legacy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_legacy(tmp_path_factory.mktemp("legacy"))


def cut(content: bytes) -> bytes:
    return content[:-4]


def lengthen(content: bytes) -> bytes:
    return content + bytes(4)


def widen(content: bytes) -> bytes:
    """The bias of five numbers becomes one of four: its TensorDesc says so, and its last number is gone."""
    place = content.index(b"\x08\x05\x10\x05")
    return content[: place + 3] + b"\x04" + content[place + 4 : place + 4 + 16] + content[place + 4 + 20 :]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (cut, "inference.pdiparams is damaged or ends before the parameter linear_0.w_0"),
        (lengthen, "inference.pdiparams goes on for 4 bytes after the 4 parameters"),
        (widen, r"the parameter linear_0.b_0 is \[5\] in the program and \[4\] in the file"),
    ],
)
def test_parameters_have_to_be_the_programs(
    legacy: Path, tmp_path: Path, change: Callable[[bytes], bytes], said: str
) -> None:
    pytest.importorskip("paddle", reason=NEEDS_PADDLE)
    shutil.copytree(legacy, tmp_path / "net")
    params = tmp_path / "net" / "inference.pdiparams"
    params.write_bytes(change(params.read_bytes()))
    with pytest.raises(InputError, match=said):
        open_model("paddle", tmp_path / "net" / "inference.pdmodel", str(params), "net", tmp_path)


def test_what_macos_notes_beside_files_is_no_model(legacy: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "net.tar", "w") as archive:
        for name in ("inference.pdmodel", "inference.pdiparams"):
            archive.add(legacy / name, f"net/{name}")
            (tmp_path / "note").write_bytes(b"Mac OS X")
            archive.add(tmp_path / "note", f"net/._{name}")
            archive.add(tmp_path / "note", f"__MACOSX/net/{name}")
    with open_source(tmp_path / "net.tar") as source:
        assert source.params is not None
        assert (source.model.name, source.params.name) == ("inference.pdmodel", "inference.pdiparams")
        assert source.model.read_bytes() == (legacy / "inference.pdmodel").read_bytes()


def test_two_imports_at_once_take_turns(tmp_path: Path) -> None:
    for number in range(2):
        scorer(tmp_path / f"{number}.onnx", node("Identity", ["g"], ["scores"]))
    words = [sys.executable, "-m", "edgekit", "import", "--name", "mine", "--formats", "onnx", "--no-verify"]
    running = [
        subprocess.Popen([*words, f"{number}.onnx"], cwd=tmp_path, stderr=subprocess.PIPE, env=os.environ)
        for number in range(2)
    ]
    for child in running:
        said = child.communicate(timeout=120)[1]
        assert child.returncode == 0, said
    assert sorted(path.name for path in Path("models/mine").glob("[!.]*")) == [
        "inference.onnx",
        "manifest.json",
    ]


@pytest.mark.slow
def test_a_large_model(tmp_path: Path) -> None:
    """200 MB of weights, read and copied without the command itself growing by as much."""
    width = 7200
    weights = {"w": np.zeros((width, width), np.float32)}
    nodes = [node("MatMul", ["x", "w"], ["m"]), node("Add", ["m", "x"], ["y"])]
    shape = ["N", width]
    model(tmp_path / "net.onnx", nodes, [("x", FLOAT, shape)], [("y", FLOAT, shape)], weights)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    made = import_only("net.onnx")
    assert made.manifest.artifacts["onnx"].size_bytes > 200_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_errors_of_the_worker_are_edgekits_own() -> None:
    with pytest.raises(EdgekitError):
        import_only("missing.onnx")
