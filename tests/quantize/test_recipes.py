"""Settings of the quantisation and layers that stay float, on small networks whose weak spot is known."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit.quantize.layers import correct_biases, layer_groups
from edgekit.quantize.recipes import (
    Bench,
    Ranges,
    Recipe,
    Trial,
    describe,
    is_within,
    keep_float,
    search,
    sensitivities,
)
from edgekit.quantize.worker import QuantizeJob, work

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

CLASSES = 10


def network(path: Path, *, spoiled: str | None, opset: int = 14) -> Path:
    """Three convolutions, pooling and a linear layer; the spoiled one has channels of far apart scales.

    Its channels are scaled up by 1000 in the first half, and the next layer scales them down again, so that
    float does not notice; int8 has one scale for all of them.
    """
    rng = np.random.default_rng(4)
    shapes = {"a": (8, 3, 3, 3), "b": (8, 8, 3, 3), "c": (8, 8, 3, 3)}
    weights = {name: rng.standard_normal(shape).astype("f4") / 5 for name, shape in shapes.items()}
    if spoiled is not None:
        following = {"a": "b", "b": "c"}[spoiled]
        weights[spoiled][:1] *= 1000
        weights[following][:, :1] /= 1000
    weights["fc"] = rng.standard_normal((8, CLASSES)).astype("f4")
    nodes = []
    previous = "x"
    for name in shapes:
        nodes.append(
            helper.make_node("Conv", [previous, name], [f"{name}.conv"], name=name, pads=[1, 1, 1, 1])
        )
        nodes.append(helper.make_node("Relu", [f"{name}.conv"], [f"{name}.relu"], name=f"{name}.act"))
        previous = f"{name}.relu"
    nodes.append(helper.make_node("GlobalAveragePool", [previous], ["pooled"], name="pool"))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"))
    nodes.append(helper.make_node("MatMul", ["flat", "fc"], ["scores"], name="linear"))
    image = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 3, 8, 8])
    scores = helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["N", CLASSES])
    constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "net", [image], [scores], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


def bench(tmp_path: Path, spoiled: str | None = None) -> Bench:
    inputs = np.random.default_rng(7).standard_normal((24, 3, 8, 8)).astype("f4")
    return Bench(network(tmp_path / "net.onnx", spoiled=spoiled), "x", inputs, tmp_path)


def test_a_layer_is_its_weights_and_what_follows(tmp_path: Path) -> None:
    groups = layer_groups(onnx.load(network(tmp_path / "net.onnx", spoiled=None)))
    assert groups["a"] == ("a", "a.act")
    assert groups["c"] == ("c", "c.act", "pool", "flatten")
    assert groups["fc"] == ("linear",)


def test_the_layer_that_breaks_int8_is_found_and_kept(tmp_path: Path) -> None:
    measured = bench(tmp_path, spoiled="b")
    start = measured.judge(Recipe())
    assert not is_within(start, 0.01)
    order = sensitivities(measured, Recipe())
    # The activations between `b` and `c` are what int8 cannot hold.
    assert {order[0].layer, order[1].layer} == {"b", "c"}
    assert order[1].noise > 3 * order[2].noise
    trials = list(keep_float(measured, Recipe(), [each.layer for each in order], 0.0))
    assert len(trials[-1].recipe.kept_float) == 2
    assert trials[-1].noise < start.noise / 10
    assert "float: " in describe(trials[-1])


def test_the_search_tries_all_ranges_and_improves_on_the_best(tmp_path: Path) -> None:
    trials = list(search(bench(tmp_path)))
    assert [each.recipe.ranges for each in trials[:3]] == list(Ranges)
    assert trials[-2].recipe.reduce_range
    assert trials[-1].recipe.bias_correction
    best = min(trials, key=lambda each: each.rank)
    assert best.agreement is not None and best.agreement >= 0.9
    assert best.noise <= trials[0].noise


@pytest.mark.parametrize("reduced", [False, True])
def test_biases_make_up_for_rounded_weights(tmp_path: Path, reduced: bool) -> None:
    import onnxruntime

    path = network(tmp_path / "net.onnx", spoiled=None)
    model = onnx.load(path)
    inputs = np.random.default_rng(3).uniform(0, 1, (6, 3, 8, 8)).astype("f4")
    levels = Recipe(reduce_range=reduced).levels
    feeds = ({"x": inputs[i : i + 1]} for i in range(6))
    correct_biases(model, feeds, tmp_path / "corrected.onnx", levels=levels)
    corrected = onnx.load(tmp_path / "corrected.onnx")

    def means(source: onnx.ModelProto, rounded: bool) -> np.ndarray:
        changed = onnx.ModelProto()
        changed.CopyFrom(source)
        first = next(each for each in changed.graph.initializer if each.name == "a")
        weight = numpy_helper.to_array(first)
        scale = np.abs(weight).max(axis=(1, 2, 3), keepdims=True) / levels
        if rounded:
            first.CopyFrom(numpy_helper.from_array((np.rint(weight / scale) * scale).astype("f4"), "a"))
        changed.graph.output.append(helper.make_tensor_value_info("a.conv", onnx.TensorProto.FLOAT, None))
        session = onnxruntime.InferenceSession(
            changed.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        return session.run(["a.conv"], {"x": inputs})[0].mean(axis=(0, 2, 3))

    wanted = means(model, False)
    uncorrected = np.abs(means(model, True) - wanted).max()
    assert np.abs(means(corrected, True) - wanted).max() < uncorrected / 50


def test_models_of_an_older_opset_are_quantised_by_channel(tmp_path: Path) -> None:
    """Opset 13 brought scales by channel; PaddleOCR's published models have opset 11."""
    import onnxruntime

    inputs = np.random.default_rng(7).standard_normal((8, 3, 8, 8)).astype("f4")
    inputs.tofile(tmp_path / "inputs")
    float_path = network(tmp_path / "net.onnx", spoiled=None, opset=11)
    job = QuantizeJob(
        route="onnx", model=str(float_path), params=None, input_name="x",
        calibration=str(tmp_path / "inputs"),
        shape=inputs.shape, outputs=(str(tmp_path / "int8.onnx"),),
    )  # fmt: skip
    assert len(list(work(job))) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inputs", "int8.onnx", "net.onnx"]
    both = (onnxruntime.InferenceSession(str(path)) for path in (float_path, job.outputs[0]))
    expected, found = (session.run(None, {"x": inputs})[0] for session in both)
    assert np.abs(found - expected).max() < 0.1 * np.ptp(expected)


def test_other_outputs_than_scores_are_judged_by_noise() -> None:
    trial = Trial(recipe=Recipe(), agreement=None, noise=0.02)
    assert is_within(trial, 0.02)
    assert not is_within(trial, 0.01)
    assert trial.rank < msgspec.structs.replace(trial, noise=0.03).rank


@pytest.mark.parametrize("reduced", [False, True])
def test_weights_are_rounded_to_the_levels_that_are_corrected_for(tmp_path: Path, reduced: bool) -> None:
    measured = bench(tmp_path)
    measured.write(Recipe(reduce_range=reduced), tmp_path / "int8.onnx")
    written = onnx.load(tmp_path / "int8.onnx").graph.initializer
    largest = {each.name: np.abs(numpy_helper.to_array(each).astype(int)).max() for each in written}
    assert largest["a_quantized"] == Recipe(reduce_range=reduced).levels
