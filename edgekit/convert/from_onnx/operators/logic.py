"""Comparisons, logic, choices."""

from __future__ import annotations

import numpy as np

from edgekit.convert.from_onnx import lower
from edgekit.convert.from_onnx.node import Node, converts
from edgekit.convert.from_onnx.program import Program
from edgekit.convert.from_onnx.values import Value

_COMPARE = {
    "Equal": "equal", "Greater": "greater_than", "GreaterOrEqual": "greater_equal", "Less": "less_than",
    "LessOrEqual": "less_equal", "And": "logical_and", "Or": "logical_or", "Xor": "logical_xor",
    "BitwiseAnd": "bitwise_and", "BitwiseOr": "bitwise_or", "BitwiseXor": "bitwise_xor",
}  # fmt: skip


@converts(*_COMPARE)
def compare(node: Node, to: Program) -> Value:
    return lower.binary(to, _COMPARE[node.kind], node[0], node[1])


@converts("Not", "BitwiseNot")
def negate(node: Node, to: Program) -> Value:
    return lower.unary(to, {"Not": "logical_not", "BitwiseNot": "bitwise_not"}[node.kind], node[0])


@converts("IsNaN")
def is_nan(node: Node, to: Program) -> Value:
    return lower.unary(to, "isnan_v2", node[0])


@converts("IsInf")
def is_infinite(node: Node, to: Program) -> Value:
    x = node[0]
    infinite = lower.unary(to, "isinf_v2", x)
    positive, negative = node.attribute("detect_positive", 1), node.attribute("detect_negative", 1)
    if positive and negative:
        return infinite
    kind = "greater_than" if positive else "less_than"
    side = lower.binary(to, kind, x, to.constant([0], x.dtype))
    if not positive and not negative:
        return lower.binary(to, "logical_and", infinite, lower.unary(to, "logical_not", infinite))
    return lower.binary(to, "logical_and", infinite, side)


@converts("Where")
def choose(node: Node, to: Program) -> Value:
    condition, x, y = node[0], node[1], node[2]
    shape = np.broadcast_shapes(condition.shape, x.shape, y.shape)
    if condition.is_constant and condition.variable is None:
        mask = condition.array()
        if mask.all() and x.shape == shape:
            return x
        if not mask.any() and y.shape == shape:
            return y
    return lower.where(to, condition, x, y)
