"""Small ONNX classifiers made with onnx's own helpers, as exporters of other frameworks write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = 5


def classifier(
    path: Path,
    *,
    opset: int = 17,
    activation: str = "Relu",
    batch: int | str = "N",
    side: int | str = 32,
    strange: bool = False,
    chaotic: bool = False,
    width: int | None = None,
    end: str = "Identity",
    classes: int = CLASSES,
    channels: int = 3,
) -> Path:
    """Conv, batch norm, activation, pooling, flatten, Gemm, `end`; NCHW, square or not.

    A chaotic one computes sines of huge angles last, so that no two engines agree on its scores.
    """
    random = np.random.default_rng(3)
    weights = {
        "w": random.standard_normal((8, channels, 3, 3)),
        "bn_scale": random.uniform(0.5, 1.5, 8),
        "bn_bias": random.standard_normal(8),
        "bn_mean": random.standard_normal(8),
        "bn_var": random.uniform(0.5, 1.5, 8),
        "fc": random.standard_normal((classes, 8)),
        "fc_bias": random.standard_normal(classes),
    }
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["c"], kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("BatchNormalization", ["c", "bn_scale", "bn_bias", "bn_mean", "bn_var"], ["b"]),
        helper.make_node(activation, ["b"], ["a"], name="the_activation"),
        helper.make_node("GlobalAveragePool", ["a"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "fc", "fc_bias"], ["g"], transB=1),
    ]
    if strange:
        nodes.append(helper.make_node("MatMul", ["b", "to_square"], ["square"]))
        nodes.append(helper.make_node("Det", ["square"], ["d"], name="a_determinant"))
        nodes.append(helper.make_node("Flatten", ["d"], ["flat"]))
        nodes.append(helper.make_node("MatMul", ["flat", "to_classes"], ["scores"]))
        weights["to_square"] = random.standard_normal((16, 16))
        weights["to_classes"] = random.standard_normal((8, CLASSES))
    elif chaotic:
        nodes.append(helper.make_node("Mul", ["g", "huge"], ["angles"]))
        nodes.append(helper.make_node("Sin", ["angles"], ["scores"]))
        weights["huge"] = np.array(1e9)
    else:
        nodes.append(helper.make_node(end, ["g"], ["scores"]))
    inputs = [
        helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, channels, side, width or side])
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        inputs,
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, classes])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def two_inputs(path: Path, *, batch: int | str = "N") -> Path:
    """y: x float32[N,3,4] times a matrix, plus the row of two that k int64[N,3] chooses; n: k twice.

    An index beyond the table's two rows is an error of every engine.
    """
    table = {"w": np.linspace(-1, 1, 8).reshape(4, 2), "table": np.array([[0.5, 1.0], [-2.0, 4.0]])}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"]),
        helper.make_node("Gather", ["table", "k"], ["rows"], axis=0),
        helper.make_node("Add", ["product", "rows"], ["y"]),
        helper.make_node("Add", ["k", "k"], ["n"]),
    ]
    inputs = {"x": (TensorProto.FLOAT, (batch, 3, 4)), "k": (TensorProto.INT64, (batch, 3))}
    outputs = {"y": (TensorProto.FLOAT, (batch, 3, 2)), "n": (TensorProto.INT64, (batch, 3))}
    _save(path, nodes, inputs, outputs, table)
    return path


def every_type(path: Path) -> Path:
    """Six inputs, one of each type that runners feed, and each cast to the next one's type as an output."""
    kinds = TensorProto
    types = [kinds.FLOAT, kinds.UINT8, kinds.FLOAT16, kinds.BOOL, kinds.INT64, kinds.INT32]
    names = ["x", "u", "h", "b", "k", "i"]
    others = types[1:] + types[:1]
    nodes = [
        helper.make_node("Cast", [name], [f"of_{name}"], to=other)
        for name, other in zip(names, others, strict=True)
    ]
    inputs = {name: (own, ("N", 3)) for name, own in zip(names, types, strict=True)}
    outputs = {f"of_{name}": (other, ("N", 3)) for name, other in zip(names, others, strict=True)}
    _save(path, nodes, inputs, outputs, {})
    return path


_Tensors = dict[str, tuple[int, tuple[int | str, ...]]]


def _save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: _Tensors,
    outputs: _Tensors,
    weights: dict[str, np.ndarray],
) -> None:
    described = [
        [helper.make_tensor_value_info(name, *about) for name, about in tensors.items()]
        for tensors in (inputs, outputs)
    ]
    constants = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "graph", *described, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
