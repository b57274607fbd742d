"""Numbers of tensors that are known while converting."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgekit.convert.from_onnx.node import Node
from edgekit.convert.from_onnx.values import Array, check_size
from edgekit.errors import ToolError

RANDOM = {
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
}  # fmt: skip
# Operators that exporters compute shapes with: ONNX Runtime would take a millisecond for each node.
_QUICK: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Identity": lambda x: x,
    "Equal": np.equal,
    "Where": np.where,
}
# Whose result may be far larger than what goes in; their shape comes from ONNX's inference.
SHAPES_ONLY = {"Shape", "Size"}


def fold(node: Node, shapes: Sequence[tuple[int, ...] | None]) -> list[Array | None]:
    """Compute a node all of whose inputs are known.

    Args:
        node: The node.
        shapes: What ONNX infers for its outputs; None where it does not.

    Raises:
        InputError: The result would be too large.
        ConversionError: ONNX Runtime does not compute it.
    """
    for shape in shapes:
        if shape is not None:
            check_size(shape, f"{node.place()}: its result")
    if node.kind == "Constant":
        return [_constant(node)]
    arrays = [None if value is None else value.array() for value in node.inputs]
    if node.kind in _QUICK and all(each is not None for each in arrays):
        return [np.asarray(_QUICK[node.kind](*arrays)).astype(_quick_type(node, arrays))]
    if node.kind in ("Cast", "CastLike", "Expand", "ConstantOfShape", "Tile", "Range"):
        _check_growth(node, arrays)
    return _by_onnxruntime(node, arrays)


def _quick_type(node: Node, arrays: list[Any]) -> Any:
    return bool if node.kind == "Equal" else arrays[-1].dtype


def _constant(node: Node) -> Array:
    from onnx import helper, numpy_helper

    (attribute,) = node.proto.attribute
    value = helper.get_attribute_value(attribute)
    if attribute.name == "value":
        return tensor_array(value)
    if attribute.name == "sparse_value":
        dense = np.zeros(tuple(value.dims), dtype=numpy_helper.to_array(value.values).dtype)
        places = numpy_helper.to_array(value.indices)
        numbers = numpy_helper.to_array(value.values)
        if places.ndim == 1:
            dense.reshape(-1)[places] = numbers
        else:
            dense[tuple(places.T)] = numbers
        return dense
    types: dict[str, Any] = {"value_int": np.int64, "value_ints": np.int64}
    return np.asarray(value, dtype=types.get(attribute.name, np.float32))


def tensor_array(tensor: Any) -> Array:
    """The numbers of ONNX's message; halves as float32."""
    from onnx import TensorProto, numpy_helper

    array: Array = numpy_helper.to_array(tensor)
    if tensor.data_type in (TensorProto.FLOAT16, TensorProto.BFLOAT16):
        return array.astype(np.float32)
    return array


def _check_growth(node: Node, arrays: list[Any]) -> None:
    if node.kind == "ConstantOfShape":
        check_size(tuple(int(each) for each in arrays[0].reshape(-1)), f"{node.place()}: its result")
    elif node.kind == "Expand":
        sizes = [int(each) for each in arrays[1].reshape(-1)]
        check_size((max(1, arrays[0].size), *sizes), f"{node.place()}: its result")
    elif node.kind == "Tile":
        times = math.prod(int(each) for each in arrays[1].reshape(-1))
        check_size((arrays[0].size * times,), f"{node.place()}: its result")
    elif node.kind == "Range":
        start, limit, delta = (float(each) for each in arrays)
        if delta == 0:
            raise node.refused("its step is 0")
        check_size((max(0, math.ceil((limit - start) / delta)),), f"{node.place()}: its result")


def _by_onnxruntime(node: Node, arrays: list[Any]) -> list[Array | None]:
    """Return a node's outputs, None for those not asked for. Inputs that are left out are None."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ToolError(
            "converting ONNX: onnxruntime is not installed", hint="pip install 'edgekit[onnxruntime]'"
        ) from error
    from onnx import TypeProto, helper

    own = type(node.proto)()
    own.CopyFrom(node.proto)
    inputs = ["" if array is None else f"i{index}" for index, array in enumerate(arrays)]
    outputs = [f"o{index}" if each else "" for index, each in enumerate(node.proto.output)]
    del own.input[:], own.output[:]
    own.input.extend(inputs)
    own.output.extend(outputs)
    _compute_halves_as_floats(own)
    feeds = {name: np.ascontiguousarray(array).reshape(array.shape)
             for name, array in zip(inputs, arrays, strict=True) if name}  # fmt: skip
    graph = helper.make_graph(
        [own],
        "constant",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in feeds.items()
        ],
        [helper.make_value_info(name, TypeProto()) for name in outputs if name],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", node.opset)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        results = iter(session.run(None, feeds))
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
        raise node.refused(f"ONNX Runtime does not compute it beforehand: {lines[0][:200]}") from error
    return [np.asarray(next(results)) if each else None for each in outputs]


def _compute_halves_as_floats(proto: Any) -> None:
    from onnx import TensorProto

    for attribute in proto.attribute:
        if attribute.name in ("to", "dtype") and attribute.i in (TensorProto.FLOAT16, TensorProto.BFLOAT16):
            attribute.i = TensorProto.FLOAT
