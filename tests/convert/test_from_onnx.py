"""The converter from ONNX: ONNX's own tests, types and shapes, and what it refuses by name."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edgekit.engines.paddle import import_core
from edgekit.errors import ConversionError, EdgekitError, InputError
from scripts import conformance
from tests.cli.test_import import rungs
from tests.conftest import ANOTHER_PYTHON, RunCli
from tests.convert.conversions import FLOAT, compare, convert, info, model, node, noise

INT64 = TensorProto.INT64

# A case or two of each group of operators; `make test-slow` takes all.
CASES = (
    "test_averagepool_2d_pads_count_include_pad",
    "test_averagepool_2d_same_lower",
    "test_basic_conv_with_padding",
    "test_batchnorm_epsilon",
    "test_clip",
    "test_conv_with_strides_and_asymmetric_padding",
    "test_convtranspose_autopad_same",
    "test_convtranspose_output_shape",
    "test_depthtospace_crd_mode_example",
    "test_expand_dim_changed",
    "test_gather_elements_negative_indices",
    "test_gelu_tanh_1",
    "test_gemm_all_attributes",
    "test_gridsample_border_padding",
    "test_group_normalization_example",
    "test_gru_with_initial_bias",
    "test_hardswish",
    "test_instancenorm_epsilon",
    "test_layer_normalization_3d_axis1_epsilon",
    "test_lrn",
    "test_lstm_with_peepholes",
    "test_matmul_3d",
    "test_maxpool_2d_dilations",
    "test_maxpool_2d_same_lower",
    "test_mish",
    "test_pow_bcast_array",
    "test_prelu_broadcast",
    "test_reduce_mean_keepdims_random",
    "test_resize_downsample_scales_linear_antialias",
    "test_resize_tf_crop_and_resize",
    "test_resize_upsample_scales_cubic",
    "test_resize_upsample_scales_linear_half_pixel_symmetric",
    "test_resize_upsample_sizes_nearest_floor_align_corners",
    "test_reversesequence_time",
    "test_round",
    "test_scatter_elements_with_duplicate_indices",
    "test_scatternd_max",
    "test_shrink_hard",
    "test_slice_negative_axes",
    "test_softmax_axis_0",
    "test_split_variable_parts_2d_opset18",
    "test_unsqueeze_unsorted_axes",
    "test_Conv3d_groups",
    "test_averagepool_2d_ceil",
    "test_operator_chunk",
    "test_single_relu_model",
)


def own_cases() -> list[conformance.Case]:
    """ONNX's own tests, which wheels of later versions make when they are run and do not bring as files."""
    if not (conformance.data_directory() / "node").is_dir():
        pytest.skip(f"onnx {onnx.__version__} brings no files of its tests: {ANOTHER_PYTHON}")
    return conformance.cases()


def test_cases_of_onnx_own_tests(tmp_path: Path) -> None:
    by_name = {case.name: case for case in own_cases()}
    assert set(CASES) <= set(by_name), set(CASES) - set(by_name)
    ends = {
        case.name: result for case, result in conformance.run([by_name[name] for name in CASES], tmp_path)
    }
    assert {name: result.why for name, result in ends.items() if result.outcome != "right"} == {}


@pytest.mark.slow
def test_all_of_onnx_own_tests(tmp_path: Path, x86_nb: None) -> None:
    """None wrong, none that ends the process or does not run, as .nb neither; the refused ones say why."""
    results = dict(conformance.run(own_cases(), tmp_path))
    assert {
        case.name: each.why for case, each in results.items() if each.outcome not in ("right", "refused")
    } == {}
    right = sum(each.outcome == "right" for each in results.values())
    assert right >= 0.85 * len(results), conformance.table(results)
    for case, each in results.items():
        assert each.outcome == "right" or each.why, case.name
    taken = [case.name for case, each in results.items() if each.outcome == "right" and not each.lite]
    ends = {name: (outcome, why) for name, outcome, why in conformance.run_lite(taken, tmp_path)}
    assert {name: end for name, end in ends.items() if end[0] not in ("right", "not taken")} == {}


def test_the_place_of_equal_numbers_is_the_first(tmp_path: Path, x86_nb: None) -> None:
    """Or the last where that is asked for; Paddle Lite's own arg_max always finds the last."""
    x = np.random.default_rng(0).integers(0, 3, (2, 5, 7)).astype(np.float32)
    asked = [
        ("ArgMax", {"axis": 1}), ("ArgMax", {"axis": 2, "keepdims": 0}), ("ArgMin", {"axis": 0}),
        ("ArgMax", {"axis": 1, "select_last_index": 1}), ("ArgMin", {"axis": 2, "select_last_index": 1}),
    ]  # fmt: skip
    nodes = [node(kind, ["x"], [f"y{at}"], **attributes) for at, (kind, attributes) in enumerate(asked)]
    document = model(nodes, {"x": (FLOAT, x.shape)}, {f"y{at}": (INT64, None) for at in range(len(asked))})
    compare(document, tmp_path, {"x": x})
    for suffix in ("pdmodel", "pdiparams"):
        shutil.copy(tmp_path / f"net.{suffix}", tmp_path / f"inference.{suffix}")
    wanted = onnxruntime.InferenceSession(document.SerializeToString()).run(None, {"x": x})
    np.savez(tmp_path / "data.npz", in0=x, **{f"out{at}": found for at, found in enumerate(wanted)})
    assert list(conformance.run_lite([""], tmp_path)) == [("", "right", "")]


def test_the_place_of_the_largest_in_a_large_map(tmp_path: Path) -> None:
    x = noise(1, 17, 64, 64)
    asked = [node("ArgMax", ["x"], ["y"], axis=1), node("ArgMax", ["x"], ["z"], axis=1, keepdims=0)]
    document = model(asked, {"x": (FLOAT, x.shape)}, {"y": (INT64, None), "z": (INT64, None)})
    compare(document, tmp_path, {"x": x})
    assert b"arg_max" in (tmp_path / "net.pdmodel").read_bytes()  # exact places take five times as long


@pytest.mark.parametrize("kind", [TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64])
def test_the_place_of_the_largest_of_integers(tmp_path: Path, kind: int) -> None:
    x = np.array([[3, 7, 7], [5, 5, 1]], helper.tensor_dtype_to_np_dtype(kind))
    compare(
        model([node("ArgMax", ["x"], ["y"], axis=1)], {"x": (kind, [2, 3])}, {"y": (INT64, [2, 1])}),
        tmp_path,
        {"x": x},
    )


# What a name of a tensor may hold: Paddle's own marks, Python, quotes, line ends.
NAMES = ["x@GRAD", "a'); open('EXECUTED_BY_IMPORT', 'w') #", "feed", "\n", "é|&$%[(,=+", "w1", "t3"]


def test_names_are_only_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    nodes = [node("Relu", [name], [after]) for name, after in pairwise(NAMES)]
    document = model(nodes, {NAMES[0]: (FLOAT, [2, 3])}, {NAMES[-1]: (FLOAT, [2, 3])})
    done = compare(document, tmp_path, {NAMES[0]: noise(2, 3)})
    assert not (tmp_path / "EXECUTED_BY_IMPORT").exists()
    assert (done.inputs, done.outputs) == (("x_0",), ("y_0",))
    program = (tmp_path / "net.pdmodel").read_bytes()
    assert b"EXECUTED" not in program and b"@GRAD" not in program


def test_several_inputs_and_outputs_keep_their_plain_names_and_order(tmp_path: Path) -> None:
    nodes = [
        node("Gather", ["table", "words"], ["found"]),
        node("Where", ["mask", "found", "x"], ["chosen"]),
        node("Cast", ["bytes"], ["floats"], to=FLOAT),
        node("Identity", ["chosen"], ["copy"]),
    ]
    document = model(
        nodes,
        {"words": (TensorProto.INT64, [3]), "mask": (TensorProto.BOOL, [3, 1]), "x": (FLOAT, [3, 4]),
         "bytes": (TensorProto.UINT8, [2])},
        {"floats": (FLOAT, [2]), "copy": (FLOAT, [3, 4]), "chosen": (FLOAT, [3, 4])},
        {"table": noise(7, 4)},
    )  # fmt: skip
    done = compare(
        document,
        tmp_path,
        {"words": np.array([6, 0, -1]), "mask": np.array([[True], [False], [True]]), "x": noise(3, 4),
         "bytes": np.array([0, 255], np.uint8)},
    )  # fmt: skip
    assert done.inputs == ("words", "mask", "x", "bytes")
    assert done.outputs == ("floats", "copy", "chosen")


def test_an_output_that_others_read_too_is_there(tmp_path: Path) -> None:
    """Paddle's fusions put convolution, norm and activation together, whoever else wants the middle."""
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("BatchNormalization", ["c", "one", "zero", "zero", "one"], ["b"]),
        node("Relu", ["b"], ["y"]),
    ]
    weights = {"w": noise(4, 3, 1, 1), "one": np.ones(4, np.float32), "zero": np.zeros(4, np.float32)}
    shape = (FLOAT, [1, 4, 5, 5])
    document = model(nodes, {"x": (FLOAT, [1, 3, 5, 5])}, {"c": shape, "b": shape, "y": shape}, weights)
    compare(document, tmp_path, {"x": noise(1, 3, 5, 5)})


def test_half_floats_are_computed_as_floats(tmp_path: Path) -> None:
    half = TensorProto.FLOAT16
    weights = {"w": noise(4, 2).astype(np.float16)}
    document = model(
        [node("MatMul", ["x", "w"], ["y"])], {"x": (half, [3, 4])}, {"y": (half, [3, 2])}, weights
    )
    done = convert(document, tmp_path)
    assert done.notes == ("half floats are computed as float32",)
    x = noise(3, 4).astype(np.float16)
    (found,) = conformance.infer(import_core(), tmp_path / "net", {"x": x.astype(np.float32)}, done.outputs)
    np.testing.assert_allclose(found, x.astype(np.float32) @ weights["w"].astype(np.float32), rtol=1e-5)


def test_free_sizes_are_given_by_name(tmp_path: Path) -> None:
    """Shapes that the graph computes are known then, and so is which branch of an If is taken."""
    then = helper.make_graph([node("Relu", ["x"], ["a"])], "t", [], [info("a", FLOAT, None)])
    other = helper.make_graph([node("Neg", ["x"], ["b"])], "e", [], [info("b", FLOAT, None)])
    nodes = [
        node("Shape", ["x"], ["shape"], start=1, end=2),
        node("Equal", ["shape", "four"], ["is_four"]),
        node("If", ["is_four"], ["chosen"], then_branch=then, else_branch=other),
        node("Concat", ["shape", "rest"], ["wanted"], axis=0),
        node("Reshape", ["chosen", "wanted"], ["y"]),
    ]
    document = model(
        nodes, {"x": (FLOAT, ["N", "C"])}, {"y": (FLOAT, ["C", "N"])},
        {"four": np.array([4]), "rest": np.array([-1])},
    )  # fmt: skip
    compare(document, tmp_path, {"x": noise(3, 4)})
    compare(document, tmp_path, {"x": noise(3, 5)})
    with pytest.raises(InputError, match=r"'x' is .None, None.: sizes are missing"):
        convert(document, tmp_path)
    with pytest.raises(InputError, match=r"'x' is .None, None., not .3, 4, 5."):
        convert(document, tmp_path, {"x": (3, 4, 5)})


def loop() -> onnx.NodeProto:
    body = helper.make_graph(
        [node("Identity", ["c"], ["d"]), node("Relu", ["v"], ["w"])], "body",
        [info("i", TensorProto.INT64, []), info("c", TensorProto.BOOL, []),
         info("v", FLOAT, [2])],
        [info("d", TensorProto.BOOL, []), info("w", FLOAT, [2])],
    )  # fmt: skip
    return node("Loop", ["count", "", "x"], ["y"], name="round_and_round", body=body)


def undecided() -> list[onnx.NodeProto]:
    branches = [
        helper.make_graph([node(kind, ["x"], ["z"])], kind, [], [info("z", FLOAT, [2])])
        for kind in ("Relu", "Neg")
    ]
    return [
        node("ReduceMax", ["x"], ["m"], keepdims=0),
        node("Greater", ["m", "zero"], ["c"]),
        node("If", ["c"], ["y"], name="either", then_branch=branches[0], else_branch=branches[1]),
    ]


@pytest.mark.parametrize(
    ("nodes", "weights", "said"),
    [
        ([node("Grow", ["x"], ["y"], domain="their.own", name="g")], {}, "their.own.Grow g (x -> y)"),
        ([loop()], {"count": np.array(3)}, "Loop round_and_round (count, , x -> y): edgekit converts no"),
        (undecided(), {"zero": np.zeros((), np.float32)}, "If either (c -> y): its condition is known only"),
        ([node("NonZero", ["x"], ["y"], name="nz")], {}, "NonZero nz (x -> y): no Paddle operator is known"),
        ([node("RandomNormalLike", ["x"], ["y"])], {}, "RandomNormalLike (x -> y)"),
        ([node("SequenceConstruct", ["x"], ["s"]), node("SequenceAt", ["s", "i"], ["y"])],
         {"i": np.array(0)}, "SequenceConstruct (x -> s)"),
    ],
    ids=["foreign", "loop", "if", "nonzero", "random", "sequence"],
)  # fmt: skip
def test_operators_that_cannot_be_said_are_refused_with_their_place(
    tmp_path: Path, nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], said: str
) -> None:
    document = model(nodes, {"x": (FLOAT, [2])}, {"y": (FLOAT, None)}, weights)
    document.opset_import.append(helper.make_opsetid("their.own", 1))
    with pytest.raises(ConversionError) as caught:
        convert(document, tmp_path)
    assert caught.value.message.startswith("importing made: ") and said in caught.value.message
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def broken(name: str) -> onnx.ModelProto:
    relu, shape = node("Relu", ["x"], ["y"], name="r"), {"x": (FLOAT, [2])}
    out = {"y": (FLOAT, [2])}
    if name == "missing":
        return model([node("Add", ["x", "lost"], ["y"], name="a")], shape, out)
    if name == "ring":
        a, b = (
            node("Add", ["x", "b"], ["a"], name="first"),
            node("Relu", ["a"], ["b"]),
        )
        return model([a, b, node("Relu", ["b"], ["y"])], shape, out)
    if name == "twice":
        return model([relu, relu], shape, out)
    if name == "two weights":
        document = model([relu], shape, out, {"w": noise(2)})
        document.graph.initializer.append(document.graph.initializer[0])
        return document
    if name == "no output":
        return model([relu], shape, {"z": (FLOAT, [2])})
    if name == "cut weight":
        document = model([node("Add", ["x", "w"], ["y"])], shape, out, {"w": noise(2)})
        document.graph.initializer[0].raw_data = b"1234"
        return document
    if name == "huge input":
        return model([relu], {"x": (FLOAT, [10**5, 10**4])}, {"y": (FLOAT, None)})
    if name == "huge constant":
        nodes = [
            node("ConstantOfShape", ["s"], ["c"], name="filler"),
            node("Add", ["x", "c"], ["y"]),
        ]
        return model(nodes, shape, {"y": (FLOAT, None)}, {"s": np.array([10**9, 2])})
    if name == "huge product":
        nodes = [node("Expand", ["x", "s"], ["y"], name="spread")]
        return model(nodes, shape, {"y": (FLOAT, None)}, {"s": np.array([10**9, 2])})
    if name == "huge outer product":
        nodes = [
            node("Mul", ["a", "b"], ["c"], name="outer"),
            node("Add", ["x", "c"], ["y"]),
        ]
        return model(nodes, shape, {"y": (FLOAT, None)}, {"a": noise(40000, 1), "b": noise(1, 40000)})
    assert name == "misfit"
    return model([node("Add", ["x", "w"], ["y"], name="a")], shape, {"y": (FLOAT, None)}, {"w": noise(3)})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing", "Add a (x, lost -> y) reads 'lost', which nothing gives"),
        ("ring", "Add first (x, b -> a) reads 'b', which Relu (a -> b) gives only later"),
        ("twice", "Relu r (x -> y) gives 'y', which is there already"),
        ("two weights", "it has two weights called 'w'"),
        ("no output", "nothing gives its output 'z'"),
        ("cut weight", "the weight 'w' has 4 bytes for [2] of float32"),
        ("huge input", "its input 'x' is [100000,10000]"),
        ("huge constant", "ConstantOfShape filler (s -> c): its result is [1000000000,2]"),
        ("huge product", "Expand spread (x, s -> y): its result is [1000000000,2]"),
        ("huge outer product", "Mul outer (a, b -> c): its result is [40000,40000]"),
        ("misfit", "Add a (x, w -> y): its inputs do not fit"),
    ],
)
def test_damaged_and_lying_models_are_refused_by_name(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        convert(broken(name), tmp_path)
    assert caught.value.message.startswith("importing made: ") and said in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_an_opset_that_is_not_read_is_refused(tmp_path: Path) -> None:
    document = model([node("Relu", ["x"], ["y"])], {"x": (FLOAT, [2])}, {"y": (FLOAT, [2])}, opset=5)
    with pytest.raises(EdgekitError, match="it is written in opset 5, edgekit reads 6 to "):
        convert(document, tmp_path)


def test_what_pytorch_writes_today_is_right_down_to_the_nb(tmp_path: Path, run_cli: RunCli) -> None:
    """Opset 18: bounds, axes and sizes as inputs, numbers at their defaults, names of another kind."""
    weights: dict[str, Any] = {
        "conv.weight": 0.3 * noise(8, 3, 3, 3), "zero": np.float32(0), "six": np.float32(6),
        "pads": np.array([0, 1, 1, 0]), "hw": np.array([2, 3]), "none": np.float32(0), "fc": noise(8, 5),
        "twice": np.array([1, 1, 2, 2], np.float32), "spatial": np.array([2, 3]),
    }  # fmt: skip
    nodes = [
        node("Conv", ["input[0]", "conv.weight"], ["c@1"], pads=[1] * 4),
        node("Clip", ["c@1", "zero", "six"], ["relu6=%"]),
        node("MaxPool", ["relu6=%"], ["p|"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4,
             dilations=[1, 1], ceil_mode=0),
        node("Split", ["p|"], ["left", "right"], axis=1, num_outputs=2),
        node("Mish", ["left"], ["m"]),
        node("Concat", ["right", "m"], ["swapped"], axis=1),
        node("Pad", ["swapped", "pads", "none", "hw"], ["padded"]),
        node("AveragePool", ["padded"], ["a"], kernel_shape=[3, 3], strides=[2, 2],
             ceil_mode=1, count_include_pad=1, pads=[1] * 4),
        node("Resize", ["a", "", "twice"], ["big"], mode="linear",
             coordinate_transformation_mode="asymmetric"),
        node("Resize", ["big", "", "twice"], ["bigger"], mode="linear",
             coordinate_transformation_mode="half_pixel"),
        node("ReduceMean", ["bigger", "spatial"], ["mean"], keepdims=0),
        node("MatMul", ["mean", "fc"], ["scores+"]),
    ]  # fmt: skip
    arrays = {name: np.asarray(value) for name, value in weights.items()}
    document = model(nodes, {"input[0]": (FLOAT, ["N", 3, 32, 32])}, {"scores+": (FLOAT, ["N", 5])}, arrays)
    document.opset_import[0].version = 19
    onnx.save(document, tmp_path / "net.onnx")
    result = run_cli(["import", "net.onnx", "--name", "mine"], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert rungs(result.stderr) | {"nb-x86": "passed"} == {
        "source": "reference", "paddle": "passed", "onnx": "passed", "nb-x86": "passed",
    }  # fmt: skip


@pytest.mark.parametrize("mode", ["nearest", "cubic"])
def test_places_of_a_grid_are_read_as_onnx_runtime_does(tmp_path: Path, mode: str) -> None:
    """Paddle has no cubic mode and rounds halves another way; some places lie beyond the edges."""
    grid = 1.7 * np.random.default_rng(1).uniform(-1, 1, (2, 3, 4, 2)).astype(np.float32)
    grid[0, 0] = [[0.0, 0.0], [1.0, -1.0], [-1.0, 1.0], [0.5, -0.5]]
    for padding in ("zeros", "border", "reflection"):
        for corners in (0, 1):
            sample = node(
                "GridSample", ["x", "g"], ["y"], mode=mode, padding_mode=padding, align_corners=corners
            )
            inputs = {"x": (FLOAT, [2, 3, 4, 5]), "g": (FLOAT, [2, 3, 4, 2])}
            document = model([sample], inputs, {"y": (FLOAT, [2, 3, 3, 4])}, opset=20)
            compare(document, tmp_path, {"x": noise(2, 3, 4, 5), "g": grid})


@pytest.mark.parametrize(
    ("equation", "x", "y"),
    [
        ("...ij,...jk", (2, 3, 4, 5), (2, 3, 5, 6)),
        ("...ij,...jk->...ik", (1, 3, 4, 5), (2, 1, 5, 6)),
    ],
)
def test_sums_of_products_keep_the_order_of_an_ellipsis(
    tmp_path: Path, equation: str, x: tuple[int, ...], y: tuple[int, ...]
) -> None:
    feeds = {"x": noise(*x), "y": noise(*y)}
    shape = np.einsum(equation, *feeds.values()).shape
    nodes = [node("Einsum", ["x", "y"], ["z"], equation=equation)]
    compare(model(nodes, {"x": (FLOAT, x), "y": (FLOAT, y)}, {"z": (FLOAT, shape)}), tmp_path, feeds)


def test_axes_of_a_crop_may_be_counted_from_the_end(tmp_path: Path) -> None:
    weights = {"roi": np.float32([0.4, 0.6, 0.6, 0.8]), "sizes": np.int64([3, 3])}
    nodes = [
        node("Resize", ["x", "roi", "", "sizes"], ["y"], mode="linear", axes=[-2, -1],
             coordinate_transformation_mode="tf_crop_and_resize"),
    ]  # fmt: skip
    document = model(nodes, {"x": (FLOAT, (1, 1, 4, 4))}, {"y": (FLOAT, (1, 1, 3, 3))}, weights)
    compare(document, tmp_path, {"x": noise(1, 1, 4, 4)})
