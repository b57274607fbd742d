"""Quantised operators, computed in floats: Paddle's program says int8 in another way."""

from __future__ import annotations

import numpy as np

from edgekit.convert.from_onnx import lower
from edgekit.convert.from_onnx.node import Node, converts
from edgekit.convert.from_onnx.program import Program
from edgekit.convert.from_onnx.values import Value


def _along(node: Node, to: Program, numbers: Value, x: Value) -> Value:
    """A scale or zero point, shaped so that it broadcasts over its axis."""
    if numbers.rank == 0 or numbers.size == 1:
        return lower.reshape(to, numbers, (1,) * max(1, x.rank))
    if numbers.rank > 1 or node.attribute("block_size", 0):
        raise node.refused("numbers for blocks")
    shape = [1] * x.rank
    shape[node.axis(1, x.rank)] = numbers.size
    return lower.reshape(to, numbers, shape)


@converts("DequantizeLinear")
def dequantise(node: Node, to: Program) -> Value:
    x = node[0]
    value = lower.cast(to, x, "float32")
    if node.get(2) is not None:
        value = lower.sub(to, value, lower.cast(to, _along(node, to, node[2], x), "float32"))
    return lower.mul(to, value, _along(node, to, node[1], x))


@converts("QuantizeLinear")
def quantise(node: Node, to: Program) -> Value:
    from edgekit.convert.from_onnx.operators.elementwise import round_half_even

    x, zero = node[0], node.get(2)
    dtype = np.dtype("uint8") if zero is None else zero.dtype
    if dtype.name not in ("uint8", "int8"):
        raise node.refused(f"{dtype} numbers")
    scaled = lower.div(to, lower.cast(to, x, "float32"), _along(node, to, node[1], x))
    whole = round_half_even(to, scaled)
    if zero is not None:
        whole = lower.add(to, whole, lower.cast(to, _along(node, to, zero, x), "float32"))
    limits = np.iinfo(dtype)
    return lower.cast(to, lower.clip(to, whole, limits.min, limits.max), dtype)


@converts("MatMulInteger")
def matmul_of_integers(node: Node, to: Program) -> Value:
    sides = []
    for place in (0, 1):
        value = lower.cast(to, node[place], "float32")
        zero = node.get(place + 2)
        if zero is not None:
            shape = (zero.size, 1) if place == 0 and zero.size > 1 else (1, zero.size)
            value = lower.sub(to, value, lower.cast(to, lower.reshape(to, zero, shape), "float32"))
        sides.append(value)
    return lower.cast(to, lower.matmul(to, *sides), "int32")
