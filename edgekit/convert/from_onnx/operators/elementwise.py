"""Arithmetic element by element."""

from __future__ import annotations

import numpy as np

from edgekit.convert.from_onnx import lower, patterns
from edgekit.convert.from_onnx.node import Node, converts
from edgekit.convert.from_onnx.program import Program
from edgekit.convert.from_onnx.program_file import TYPES
from edgekit.convert.from_onnx.values import Value

_UNARY = {
    "Abs": "abs", "Acos": "acos", "Acosh": "acosh", "Asin": "asin", "Asinh": "asinh", "Atan": "atan",
    "Atanh": "atanh", "Ceil": "ceil", "Cos": "cos", "Cosh": "cosh", "Erf": "erf", "Exp": "exp",
    "Floor": "floor", "Log": "log", "Reciprocal": "reciprocal", "Sign": "sign", "Sin": "sin",
    "Sinh": "sinh", "Sqrt": "sqrt", "Tan": "tan",
}  # fmt: skip
# Of the same number of elements, whatever those are.
_BINARY = {
    "Add": "elementwise_add",
    "Sub": "elementwise_sub",
    "Mul": "elementwise_mul",
    "Div": "elementwise_div",
}


@converts(*_UNARY)
def unary(node: Node, to: Program) -> Value:
    return lower.unary(to, _UNARY[node.kind], node[0])


@converts("Identity")
def identity(node: Node, to: Program) -> Value:
    return node[0]


@converts("Neg")
def negate(node: Node, to: Program) -> Value:
    return lower.scale(to, node[0], -1.0)


@converts("Round")
def whole(node: Node, to: Program) -> Value:
    return round_half_even(to, node[0])


def round_half_even(to: Program, x: Value) -> Value:
    """Paddle rounds halves away from zero, ONNX to the even number."""
    up = lower.unary(to, "floor", lower.scale(to, x, 1.0, 0.5))
    half = lower.binary(to, "equal", lower.sub(to, up, x), to.constant([0.5], x.dtype))
    odd = lower.sub(to, up, lower.scale(to, lower.unary(to, "floor", lower.scale(to, up, 0.5)), 2.0))
    return lower.sub(to, up, lower.mul(to, lower.cast(to, half, x.dtype), odd))


@converts(*_BINARY)
def arithmetic(node: Node, to: Program) -> Value:
    x, y = node[0], node[1]
    if node.opset < 7 and node.attribute("broadcast", 0) and y.rank < x.rank:
        # Before opset 7 the second tensor stood at an axis of the first, by default at its end.
        axis = int(node.attribute("axis", x.rank - y.rank))
        y = lower.reshape(to, y, (*y.shape, *[1] * (x.rank - axis - y.rank)))
    pattern = patterns.recognised(to, node.kind, x, y)
    if pattern is not None:
        return pattern
    if x.is_float and node.kind != "Div":
        # A number is part of the operator, and costs no tensor.
        factor = y.scalar() if y.rank <= x.rank else None
        if factor is not None and node.kind in ("Add", "Sub", "Mul"):
            return {
                "Add": lambda: lower.scale(to, x, 1.0, factor),
                "Sub": lambda: lower.scale(to, x, 1.0, -factor),
                "Mul": lambda: lower.scale(to, x, factor),
            }[node.kind]()
        factor = x.scalar() if x.rank <= y.rank else None
        if factor is not None and node.kind in ("Add", "Mul"):
            return lower.scale(to, y, 1.0, factor) if node.kind == "Add" else lower.scale(to, y, factor)
    return lower.binary(to, _BINARY[node.kind], x, y)


@converts("Pow")
def power(node: Node, to: Program) -> Value:
    x, exponent = node[0], node[1]
    number = exponent.scalar()
    if number is not None and x.is_float and exponent.rank <= x.rank:
        if number == 2.0:
            return lower.unary(to, "square", x)
        if number == 0.5:
            return lower.unary(to, "sqrt", x)
        if number == 3.0:
            return lower.mul(to, lower.unary(to, "square", x), x)
        return lower.unary(to, "pow", x, factor=number)
    kind = x.dtype if x.is_float else np.dtype("float64")
    result = lower.binary(to, "elementwise_pow", lower.cast(to, x, kind), lower.cast(to, exponent, kind))
    return lower.cast(to, result, x.dtype)


@converts("Mod")
def modulo(node: Node, to: Program) -> Value:
    x, y = node[0], node[1]
    if not node.attribute("fmod", 0):
        return lower.binary(to, "elementwise_mod", x, y)
    if not x.is_float:
        raise node.refused("fmod of integers")
    # The remainder of C: it has the sign of the dividend.
    rest = lower.binary(to, "elementwise_mod", lower.unary(to, "abs", x), lower.unary(to, "abs", y))
    return lower.mul(to, rest, lower.unary(to, "sign", x))


@converts("Max", "Min", "Sum", "Mean")
def several(node: Node, to: Program) -> Value:
    kind = {"Max": "elementwise_max", "Min": "elementwise_min"}.get(node.kind, "elementwise_add")
    result = node[0]
    for index in range(1, len(node.inputs)):
        result = lower.binary(to, kind, result, node[index])
    return lower.scale(to, result, 1 / len(node.inputs)) if node.kind == "Mean" else result


@converts("Cast", "CastLike")
def cast(node: Node, to: Program) -> Value:
    from onnx import TensorProto, helper

    x = node[0]
    if node.kind == "CastLike":
        dtype = node[1].dtype
    else:
        number = int(node.attribute("to"))
        halves = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
        dtype = np.dtype("float32") if number in halves else np.dtype(helper.tensor_dtype_to_np_dtype(number))
    if dtype.name not in TYPES or x.dtype.name not in TYPES:
        raise node.refused(f"Paddle casts no {x.dtype} to {dtype}")
    return lower.cast(to, x, dtype)
