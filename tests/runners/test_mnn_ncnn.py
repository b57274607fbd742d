"""MNN and ncnn in the worker: numbers against ONNX Runtime, threads, options, files that do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edgekit.convert.formats.mnn import quantize_mnn
from edgekit.convert.formats.onnx import read_signature
from edgekit.core.artifact import ArtifactKind, TensorSpec
from edgekit.core.spec import Precision
from edgekit.engines.registry import artifact_kind, host_options, host_side
from edgekit.errors import ConversionError, RunnerError, UnsupportedError
from edgekit.runners.launch import host_launcher
from edgekit.runners.protocol import Load, Run, Tensor
from edgekit.runners.session import RunnerSession
from edgekit.toolchain.converters import MNNCONVERT, require_python
from edgekit.transports.local import LocalTransport
from tests.conftest import ANOTHER_PYTHON
from tests.convert import onnx_graphs, onnx_models
from tests.convert.mobile_models import convert

# Its wheel asks for an executable stack, which glibc 2.41 and later refuse.
pytest.importorskip("_mnncengine", reason=f"needs MNN that loads: {ANOTHER_PYTHON}", exc_type=ImportError)
pytest.importorskip("ncnn")

ENGINES = ("mnn", "ncnn")
# MNN differs from ONNX Runtime by up to 1e-5 here, ncnn by less.
FP32 = 3e-5
GELU = {"root": 2**0.5, "one": 1.0, "half": 0.5}
Sources = tuple[Path, Path]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """A classifier of pictures that are not square, and its directory of artifacts."""
    place = tmp_path_factory.mktemp("small")
    onnx = onnx_models.classifier(place / "small.onnx", side=30, width=21)
    convert(onnx, place, "mnn", "mnn-fp16", "ncnn", "ncnn-fp16")
    return onnx, place


def session(engine: str) -> RunnerSession:
    launcher = host_launcher(engine)
    return RunnerSession(LocalTransport(), launcher.argv, env=launcher.env, label=engine)


def request(
    engine: str, directory: Path, shape: tuple[int, ...], precision: Precision, **changes: object
) -> Load:
    kind = artifact_kind(engine, host_side(engine), precision)
    files = [str(directory / name) for name in kind.file_names]
    options = {**host_options(engine, precision, {}), **changes.pop("options", {})}  # type: ignore[dict-item]
    return Load(
        model=files[0],
        params=files[1] if len(files) > 1 else None,
        inputs=(Tensor(name="in0" if engine == "ncnn" else "input", dtype="float32", shape=shape),),
        options=options,
        **changes,  # type: ignore[arg-type]
    )


def infer(
    engine: str, small: Sources, picture: np.ndarray, precision: Precision = Precision.FP32, **changes: object
) -> tuple[np.ndarray, Mapping[str, str]]:
    with session(engine) as runner:
        loaded = runner.load(request(engine, small[1], picture.shape, precision, **changes))
        assert loaded.effective_threads == loaded.requested_threads
        # MNN writes over its inputs: the second answer is as right as the first.
        answers = [runner.infer([picture])[0][0] for _ in range(2)]
        np.testing.assert_array_equal(*answers)
        return answers[0], loaded.options


def test_mnn_computes_gelu_by_erf(tmp_path: Path) -> None:
    numbers = np.linspace(-6, 6, 192, dtype=np.float32).reshape(1, 3, 8, 8)
    onnx = onnx_graphs.model(
        tmp_path / "gelu.onnx",
        [
            onnx_graphs.node("Div", ["input", "root"], ["scaled"]),
            onnx_graphs.node("Erf", ["scaled"], ["erf"]),
            onnx_graphs.node("Add", ["erf", "one"], ["gate"]),
            onnx_graphs.node("Mul", ["input", "gate"], ["twice"]),
            helper.make_node("Mul", ["twice", "half"], ["output"]),
        ],
        [("input", TensorProto.FLOAT, list(numbers.shape))],
        [("output", TensorProto.FLOAT, list(numbers.shape))],
        {name: np.array(value, np.float32) for name, value in GELU.items()},
    )
    convert(onnx, tmp_path / "made", "mnn")
    [wanted] = onnxruntime.InferenceSession(str(onnx)).run(None, {"input": numbers})
    answer, _ = infer("mnn", (onnx, tmp_path / "made"), numbers)
    # 4.7e-4 by MNN's own GELU.
    np.testing.assert_allclose(answer, wanted, rtol=0, atol=2e-6)


def error(found: np.ndarray, small: Sources, picture: np.ndarray) -> float:
    wanted = onnxruntime.InferenceSession(small[0]).run(None, {"input": picture})[0]
    assert found.shape == wanted.shape
    return float(np.abs(found - wanted).max() / np.ptp(wanted))


@pytest.mark.parametrize("engine", ENGINES)
def test_layers_are_timed_in_order(engine: str, small: Sources) -> None:
    picture = np.ones((1, 3, 30, 21), np.float32)
    with session(engine) as runner:
        runner.load(request(engine, small[1], picture.shape, Precision.FP32))
        before = runner.infer([picture])[0][0]
        timed = runner.layer_times(3)
        np.testing.assert_array_equal(runner.infer([picture])[0][0], before)
    operators = [one.operator for one in timed.layers]
    assert "Convolution" in operators and "Input" not in operators
    assert timed.layers[-1].output_shape[-1] == before.shape[-1]
    convolution = operators.index("Convolution")
    assert all(run[convolution] > 0 for run in timed.microseconds)


def test_an_engine_without_times_of_layers_refuses_them(small: Sources) -> None:
    with session("openvino") as runner:
        runner.load(
            Load(model=str(small[0]), inputs=(Tensor(name="input", dtype="float32", shape=(1, 3, 30, 21)),))
        )
        with pytest.raises(UnsupportedError, match="openvino does not time its layers"):
            runner.layer_times(1)


def picture(batch: int = 1) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((batch, 3, 30, 21)).astype(np.float32)


@pytest.mark.parametrize("engine", ENGINES)
def test_fp32_is_fp32_at_every_number_of_threads_and_option(engine: str, small: Sources) -> None:
    own = host_side(engine).choices
    for threads, changed in ((1, {}), (2, {option: values[-1] for option, values in own.items()})):
        lower = {"mnn_precision": "normal", "ncnn_fp16": "off"}
        options = {**changed, **{key: value for key, value in lower.items() if key in own}}
        found, told = infer(engine, small, picture(), threads=threads, options=options)
        assert error(found, small, picture()) < FP32
        assert all(told[option] == value for option, value in options.items())


def test_mnn_takes_any_batch_and_ncnn_one_input(small: Sources) -> None:
    found, _ = infer("mnn", small, picture(3))
    assert error(found, small, picture(3)) < FP32
    with (
        session("ncnn") as runner,
        pytest.raises(RunnerError, match="input in0 takes 1x3x30x21, not 2x3x30x21"),
    ):
        runner.load(request("ncnn", small[1], (2, 3, 30, 21), Precision.FP32))


@pytest.mark.parametrize("engine", ENGINES)
def test_fp16_rounds_weights_and_stays_within_its_gate(engine: str, small: Sources) -> None:
    found, _ = infer(engine, small, picture(), Precision.FP16)
    assert FP32 < error(found, small, picture()) < 1e-2


def test_ncnns_fp16_storage_changes_the_answer_only_where_it_is_asked_for(small: Sources) -> None:
    exact, _ = infer("ncnn", small, picture())
    stored, told = infer("ncnn", small, picture(), options={"ncnn_fp16": "on"})
    assert told["ncnn_fp16"] == "on"
    assert error(exact, small, picture()) < FP32 < error(stored, small, picture())


def test_mnns_own_quantiser_makes_equal_int8_files_that_agree(small: Sources, tmp_path: Path) -> None:
    python = require_python(MNNCONVERT, install=True, progress=print)
    inputs = np.random.default_rng(1).standard_normal((8, 3, 30, 21)).astype(np.float32)
    float_model, signature = small[1] / "inference.mnn", read_signature(small[0])
    for name in ("a", "b"):
        output = tmp_path / name / ArtifactKind.MNN_INT8.file_names[0]
        output.parent.mkdir()
        told = quantize_mnn(python, float_model, signature, inputs, output, "small")
        assert [path.name for path in output.parent.iterdir()] == [output.name]
    assert told["feature_quantize_method"] == "KL"
    assert output.read_bytes() == (tmp_path / "a" / output.name).read_bytes()
    found, _ = infer("mnn", (small[0], output.parent), picture(), Precision.INT8)
    assert FP32 < error(found, small, picture()) < 0.1
    (tmp_path / "cut.mnn").write_bytes(float_model.read_bytes()[:1000])
    with pytest.raises(ConversionError, match="left no file that MNN loads"):
        quantize_mnn(python, tmp_path / "cut.mnn", signature, inputs, tmp_path / "none.mnn", "cut")


def test_int8_for_ncnn_is_refused_with_its_reason() -> None:
    with pytest.raises(UnsupportedError, match="calibration tool"):
        artifact_kind("ncnn", host_side("ncnn"), Precision.INT8)


def test_files_that_are_cut_or_belong_to_others_are_refused(small: Sources, tmp_path: Path) -> None:
    for name in ("inference.mnn", "inference.ncnn.bin"):
        content = (small[1] / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    param = small[1] / "inference.ncnn.param"
    (tmp_path / param.name).write_bytes(param.read_bytes())
    for engine, said in (
        ("mnn", r"inference\.mnn: MNN refuses it"),
        ("ncnn", r"ncnn\.bin is too short: damaged"),
    ):
        with session(engine) as runner, pytest.raises(RunnerError, match=said):
            runner.load(request(engine, tmp_path, (1, 3, 30, 21), Precision.FP32))
    # ncnn reads what it needs of a file that belongs to a larger network, and computes.
    weights = (small[1] / "inference.ncnn.bin").read_bytes()
    (tmp_path / "inference.ncnn.bin").write_bytes(weights + bytes(8))
    with session("ncnn") as runner, pytest.raises(RunnerError, match="8 bytes too long: damaged, or of ano"):
        runner.load(request("ncnn", tmp_path, (1, 3, 30, 21), Precision.FP32))


def test_the_weights_of_another_network_are_refused_both_ways(small: Sources, tmp_path: Path) -> None:
    onnx = onnx_models.classifier(tmp_path / "wide.onnx", side=30, width=21, classes=9)
    convert(onnx, tmp_path, "ncnn")
    (own, other), names = (small[1], tmp_path), ArtifactKind.NCNN.file_names
    for param, weights, said in ((own, other, "bytes too long"), (other, own, "is too short")):
        (mixed := tmp_path / said.split()[-1]).mkdir()
        for source, name in zip((param, weights), names, strict=True):
            (mixed / name).write_bytes((source / name).read_bytes())
        with session("ncnn") as runner, pytest.raises(RunnerError, match=rf"{said}: damaged, or of another"):
            runner.load(request("ncnn", mixed, (1, 3, 30, 21), Precision.FP32))


@pytest.mark.parametrize("ask", ["run", "layers"])
def test_an_inference_that_mnn_ends_early_is_no_measurement(ask: str, small: Sources) -> None:
    """MNN loads a network for sizes that it cannot compute, and leaves its outputs as they were."""
    with session("mnn") as runner:
        runner.load(request("mnn", small[1], (1, 4, 30, 21), Precision.FP32))
        with pytest.raises(
            RunnerError, match="inputs of 1x4x30x21: the network takes no inputs of these siz"
        ):
            runner.run(Run(repeats=1)) if ask == "run" else runner.layer_times(1)


def test_an_inference_that_ncnn_ends_early_is_no_measurement(tmp_path: Path) -> None:
    layers = ("Input in0 0 1 in0 0=4 1=3 2=2", "Crop c 1 1 in0 out0 0=9 3=0 4=0 5=0")
    (tmp_path / "inference.ncnn.param").write_text("\n".join(("7767517", "2 2", *layers, "")))
    (tmp_path / "inference.ncnn.bin").write_bytes(b"")
    with session("ncnn") as runner:
        runner.load(request("ncnn", tmp_path, (1, 2, 3, 4), Precision.FP32))
        with pytest.raises(RunnerError, match="output out0: ncnn ended with -100"):
            runner.run(Run(repeats=1))


def test_several_inputs_and_outputs_keep_their_order(tmp_path: Path) -> None:
    onnx = onnx_models.two_inputs(tmp_path / "two.onnx")
    inputs, outputs = convert(onnx, tmp_path, "mnn")["mnn"].signature
    # MNN has no int64.
    assert [(one.name, one.dtype) for one in (*inputs, *outputs)] == [
        ("x", "float32"), ("k", "int32"), ("y", "float32"), ("n", "int32"),
    ]  # fmt: skip
    random = np.random.default_rng(0)
    x, k = random.standard_normal((1, 3, 4)).astype(np.float32), random.integers(0, 2, (1, 3))
    wanted = onnxruntime.InferenceSession(onnx).run(None, {"x": x, "k": k})
    with session("mnn") as runner:
        runner.load(
            Load(
                model=str(tmp_path / ArtifactKind.MNN.file_names[0]),
                inputs=tuple(tensor(one, array.shape) for one, array in zip(inputs, (x, k), strict=True)),
            )
        )
        found, answer = runner.infer([x, k.astype(np.int32)])
    assert [one.name for one in answer.outputs] == ["y", "n"]
    for mine, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


def tensor(spec: TensorSpec, shape: tuple[int, ...]) -> Tensor:
    return Tensor(name=spec.name, dtype=spec.dtype, shape=shape)


def test_ncnns_outputs_are_in_the_models_order(tmp_path: Path) -> None:
    layers = (
        "Input in0 0 1 in0 0=4 1=3 2=2",
        "Split s 1 2 in0 a b",
        "ReLU r 1 1 a out1",
        "TanH t 1 1 b out0",
    )
    (tmp_path / "inference.ncnn.param").write_text("\n".join(("7767517", "4 5", *layers, "")))
    (tmp_path / "inference.ncnn.bin").write_bytes(b"")
    given = np.linspace(-2, 2, 24, dtype=np.float32).reshape(1, 2, 3, 4)
    with session("ncnn") as runner:
        runner.load(request("ncnn", tmp_path, given.shape, Precision.FP32))
        outputs, answer = runner.infer([given])
    assert [one.name for one in answer.outputs] == ["out0", "out1"]
    np.testing.assert_allclose(outputs[0], np.tanh(given), rtol=1e-5)
    np.testing.assert_array_equal(outputs[1], np.maximum(given, 0))
