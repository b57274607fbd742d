"""Operators that ONNX itself defines by others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgekit.convert.from_onnx.node import Node


def function_body(node: Node) -> tuple[list[Any], list[str], list[str]] | None:
    """Nodes, inputs and outputs of the operator's definition; None where it has none in this opset."""
    import onnx
    from onnx import helper

    schema = onnx.defs.get_schema(node.kind, node.opset, "")
    if schema.has_context_dependent_function:
        types = [
            helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            if value is not None
            else onnx.TypeProto()
            for value in node.inputs
        ]
        versions = [each for each in schema.context_dependent_function_opset_versions if each <= node.opset]
        if not versions:
            return None
        content = schema.get_context_dependent_function_with_opset_version(
            max(versions), node.proto.SerializeToString(), [each.SerializeToString() for each in types]
        )
        body = onnx.FunctionProto.FromString(content)
    elif schema.has_function:
        versions = [each for each in schema.function_opset_versions if each <= node.opset]
        if not versions:
            return None
        content = schema.get_function_with_opset_version(max(versions))
        body = onnx.FunctionProto.FromString(content) if isinstance(content, bytes) else content
    else:
        return None
    given = {each.name: each for each in node.proto.attribute}
    for name, default in schema.attributes.items():
        if name not in given and default.default_value.name:
            given[name] = default.default_value
    nodes = []
    for proto in body.node:
        own = onnx.NodeProto()
        own.CopyFrom(proto)
        _fill_attributes(own, given)
        nodes.append(own)
    return nodes, list(body.input), list(body.output)


def _fill_attributes(proto: Any, given: Mapping[str, Any]) -> None:
    """Put the calling node's attributes where a function's node refers to them."""
    for attribute in list(proto.attribute):
        if not attribute.ref_attr_name:
            continue
        name, source = attribute.name, given.get(attribute.ref_attr_name)
        proto.attribute.remove(attribute)
        if source is not None:
            proto.attribute.add().CopyFrom(source)
            proto.attribute[-1].name = name
