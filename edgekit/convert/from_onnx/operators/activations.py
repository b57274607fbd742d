"""Activations: one of Paddle's operators each."""

from __future__ import annotations

import math

import numpy as np

from edgekit.convert.from_onnx import lower
from edgekit.convert.from_onnx.node import Node, converts
from edgekit.convert.from_onnx.program import Program
from edgekit.convert.from_onnx.values import Value

# ONNX's name: Paddle's name, and what its attributes are called there with their defaults in ONNX.
_BY_NAME: dict[str, tuple[str, dict[str, tuple[str, float]]]] = {
    "Relu": ("relu", {}),
    "Sigmoid": ("sigmoid", {}),
    "Tanh": ("tanh", {}),
    "Softsign": ("softsign", {}),
    "LeakyRelu": ("leaky_relu", {"alpha": ("alpha", 0.01)}),
    "Elu": ("elu", {"alpha": ("alpha", 1.0)}),
    "Celu": ("celu", {"alpha": ("alpha", 1.0)}),
    "Selu": (
        "selu",
        {"alpha": ("alpha", 1.67326319217681884765625), "gamma": ("scale", 1.05070102214813232421875)},
    ),
    "HardSigmoid": ("hard_sigmoid", {"alpha": ("slope", 0.2), "beta": ("offset", 0.5)}),
    "ThresholdedRelu": ("thresholded_relu", {"alpha": ("threshold", 1.0)}),
}
_LARGEST = 3.4028234663852886e38


def _named(node: Node, to: Program) -> Value:
    kind, attributes = _BY_NAME[node.kind]
    given = {own: float(node.attribute(name, default)) for name, (own, default) in attributes.items()}
    return lower.unary(to, kind, node[0], **given)


converts(*_BY_NAME)(_named)


@converts("HardSwish")
def hard_swish(node: Node, to: Program) -> Value:
    return lower.unary(to, "hard_swish", node[0], threshold=6.0, scale=6.0, offset=3.0)


@converts("Softplus")
def softplus(node: Node, to: Program) -> Value:
    return lower.unary(to, "softplus", node[0], beta=1.0, threshold=20.0)


@converts("Mish")
def mish(node: Node, to: Program) -> Value:
    return lower.unary(to, "mish", node[0], threshold=20.0)


@converts("Gelu")
def gelu(node: Node, to: Program) -> Value:
    x = node[0]
    if node.attribute("approximate", "none") != "tanh":
        return lower.unary(to, "gelu", x, approximate=False)
    # In steps: Paddle Lite does not see the attribute.
    cube = lower.mul(to, lower.unary(to, "square", x), x)
    inner = lower.scale(to, lower.add(to, x, lower.scale(to, cube, 0.044715)), math.sqrt(2 / math.pi))
    gate = lower.scale(to, lower.unary(to, "tanh", inner), 0.5, 0.5)
    return lower.mul(to, x, gate)


@converts("Clip")
def clip(node: Node, to: Program) -> Value:
    """Give the bounds as attributes: Paddle's fusions read these even where the bounds are tensors."""
    x = node[0]
    bounds = []
    for index, name, default in ((1, "min", -_LARGEST), (2, "max", _LARGEST)):
        value = node.get(index)
        if value is None:
            bounds.append(float(node.attribute(name, default)))
        elif value.is_constant:
            bounds.append(float(value.array().reshape(-1)[0]))
        else:
            return _clip_by_tensors(node, to)
    low, high = bounds
    if not x.is_float:
        return _clip_by_tensors(node, to)
    if low > high:
        return lower.clip(to, x, high, high)
    if (low, high) == (0.0, 6.0):
        return lower.unary(to, "relu6", x, threshold=6.0)
    if low == 0.0 and high == _LARGEST:
        return lower.unary(to, "relu", x)
    return lower.clip(to, x, low, high)


def _clip_by_tensors(node: Node, to: Program) -> Value:
    x = node[0]
    for index, kind in ((1, "elementwise_max"), (2, "elementwise_min")):
        bound = node.get(index)
        if bound is not None:
            x = lower.binary(to, kind, x, bound)
    return x


@converts("PRelu")
def prelu(node: Node, to: Program) -> Value:
    x, slope = node[0], node[1]
    if node.opset < 7 and slope.rank == 1 and x.rank > 1 and slope.size == x.shape[1]:
        slope = lower.reshape(to, slope, (1, slope.size, *[1] * (x.rank - 2)))
    if slope.rank < x.rank:
        slope = lower.with_rank(to, slope, x.rank)
    if slope.size == 1:
        return to.emit(
            "prelu", {"X": x, "Alpha": lower.reshape(to, slope, (1,))}, {"mode": "all", "data_format": "NCHW"}
        )
    if x.rank >= 2 and slope.size == slope.shape[1] == x.shape[1]:
        slope = lower.reshape(to, slope, (1, slope.size, *[1] * (x.rank - 2)))
        return to.emit("prelu", {"X": x, "Alpha": slope}, {"mode": "channel", "data_format": "NCHW"})
    positive = lower.unary(to, "relu", x)
    negative = lower.sub(to, x, positive)
    return lower.add(to, positive, lower.mul(to, negative, slope))


@converts("Shrink")
def shrink(node: Node, to: Program) -> Value:
    x = node[0]
    bias, limit = float(node.attribute("bias", 0.0)), float(node.attribute("lambd", 0.5))
    if bias == limit:
        return lower.unary(to, "softshrink", x, **{"lambda": limit})
    if bias == 0.0:
        return lower.unary(to, "hard_shrink", x, threshold=limit)
    above = lower.cast(to, lower.binary(to, "greater_than", x, to.constant([limit], x.dtype)), x.dtype)
    below = lower.cast(to, lower.binary(to, "less_than", x, to.constant([-limit], x.dtype)), x.dtype)
    high = lower.mul(to, lower.scale(to, x, 1.0, -bias), above)
    low = lower.mul(to, lower.scale(to, x, 1.0, bias), below)
    return lower.add(to, high, low)


@converts("Softmax", "LogSoftmax", "Hardmax")
def softmax(node: Node, to: Program) -> Value:
    """Along one axis since opset 13; before, over all axes from one on."""
    x = node[0]
    if node.opset >= 13:
        return _softmax(node, to, x, node.axis(-1, x.rank))
    axis = node.axis(1, x.rank)
    if math.prod(x.shape[axis:]) == x.shape[-1] and axis <= x.rank - 1 and x.shape[-1] > 1:
        return _softmax(node, to, x, x.rank - 1)
    flat = lower.reshape(to, x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))
    return lower.reshape(to, _softmax(node, to, flat, 1), x.shape)


def _softmax(node: Node, to: Program, x: Value, axis: int) -> Value:
    if node.kind == "Hardmax":
        return _hardmax(to, x, axis)
    return lower.unary(to, {"Softmax": "softmax", "LogSoftmax": "log_softmax"}[node.kind], x, axis=axis)


def _hardmax(to: Program, x: Value, axis: int) -> Value:
    """1 at the first of the largest."""
    places = lower.places(to, "reduce_max", x, axis, np.arange(x.shape[axis], 0, -1))
    first = lower.binary(to, "equal", places, lower.reduce(to, "reduce_max", places, [axis], True))
    return lower.cast(to, first, x.dtype)


@converts("Dropout")
def dropout(node: Node, to: Program) -> list[Value | None]:
    """Nothing at inference."""
    training = node.get(2)
    if training is not None and (not training.is_constant or training.array().any()):
        ratio = node.get(1)
        if ratio is None or ratio.scalar() != 0.0:
            raise node.refused("it is in training mode: its result is random")
    if node.wants(1):
        return [node[0], to.constant(np.ones(node[0].shape, dtype=bool), "bool")]
    return [node[0]]
