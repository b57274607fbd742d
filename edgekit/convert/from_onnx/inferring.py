"""ONNX's own inference of types and shapes, a node at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.convert.from_onnx.node import Node
from edgekit.convert.from_onnx.values import HALVES
from edgekit.errors import InputError

Inferred = tuple[np.dtype[Any] | None, tuple[int, ...] | None]
"""Type and shape of a tensor, each None where ONNX cannot tell."""


def infer(node: Node, *, strict: bool) -> list[Inferred | None]:
    """Types and shapes of a node's outputs by ONNX's own inference.

    Args:
        node: The node.
        strict: Whether inputs that do not fit are an error; else nothing is known then.

    Raises:
        InputError: ONNX finds that the node's inputs do not fit.
    """
    import onnx
    from onnx import helper, numpy_helper, shape_inference

    try:
        schema = onnx.defs.get_schema(node.kind, node.opset, "")
    except onnx.defs.SchemaError as error:
        raise node.refused(f"opset {node.opset} has no such operator") from error
    types, data = {}, {}
    for name, value in zip(node.proto.input, node.inputs, strict=True):
        if value is None:
            continue
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        types[name] = helper.make_tensor_type_proto(kind, value.shape)
        if value.is_constant and value.size <= 1024:
            data[name] = numpy_helper.from_array(value.array(), name)
    try:
        found = shape_inference.infer_node_outputs(schema, node.proto, types, data)
    except shape_inference.InferenceError as error:
        if not strict:
            return [None] * len(node.proto.output)
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
        raise InputError(f"{node.place()}: its inputs do not fit: {lines[0][:200]}") from error
    return [_tensor_type(found.get(name)) for name in node.proto.output]


def _tensor_type(kind: Any) -> Inferred | None:
    from onnx import helper

    if kind is None or not kind.HasField("tensor_type"):
        return None
    tensor = kind.tensor_type
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)) if tensor.elem_type else None
    if dtype is not None and dtype.name in HALVES:
        dtype = np.dtype("float32")
    if not tensor.HasField("shape") or not all(each.HasField("dim_value") for each in tensor.shape.dim):
        return dtype, None
    return dtype, tuple(int(each.dim_value) for each in tensor.shape.dim)
