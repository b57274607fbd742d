"""Normalisation by statistics of the batch, a layer, a group, a neighbourhood."""

from __future__ import annotations

import math

import numpy as np

from edgekit.convert.from_onnx import lower
from edgekit.convert.from_onnx.node import Node, converts
from edgekit.convert.from_onnx.program import Program
from edgekit.convert.from_onnx.values import Value

# Paddle's own limit for a batch norm.
_LARGEST_EPSILON = 1e-3


@converts("BatchNormalization")
def batch_norm(node: Node, to: Program) -> Value:
    if node.attribute("training_mode", 0):
        raise node.refused("it is in training mode")
    x, epsilon = node[0], float(node.attribute("epsilon", 1e-5))
    if not 0 <= epsilon <= _LARGEST_EPSILON:
        return _scale_and_shift(node, to, epsilon)
    if node.readers > 1 and all(node[index].is_constant for index in range(1, 5)):
        # Paddle's batch_norm_act_fuse_pass takes the result away from whoever reads it beside a ReLU (3.1.1).
        return _scale_and_shift(node, to, epsilon)
    # Of channels by themselves Paddle makes pictures of one pixel anyway.
    shape = x.shape
    if x.rank != 4:
        rest = math.prod(shape[2:])
        x = lower.reshape(to, x, (shape[0], shape[1] if x.rank > 1 else 1, 1, rest))
    inputs = {
        slot: lower.cast(to, node[index], "float32")
        for index, slot in ((1, "Scale"), (2, "Bias"), (3, "Mean"), (4, "Variance"))
    }
    attributes = {
        "epsilon": float(node.attribute("epsilon", 1e-5)), "momentum": float(node.attribute("momentum", 0.9)),
        "is_test": True, "use_global_stats": False, "trainable_statistics": False, "data_layout": "NCHW",
    }  # fmt: skip
    result = to.batch_norm({"X": x, **inputs}, attributes)
    return lower.reshape(to, result, shape)


def _scale_and_shift(node: Node, to: Program, epsilon: float) -> Value:
    if not all(node[index].is_constant for index in range(1, 5)):
        raise node.refused(f"epsilon {epsilon:g}: Paddle takes at most {_LARGEST_EPSILON:g}")
    factor, bias, mean, variance = (node[index].array().astype(np.float64) for index in range(1, 5))
    factor = factor / np.sqrt(variance + epsilon)
    shape = (-1, *[1] * (node[0].rank - 2))
    x = lower.mul(to, node[0], to.constant(factor.reshape(shape), node[0].dtype))
    return lower.add(to, x, to.constant((bias - mean * factor).reshape(shape), x.dtype))


@converts("InstanceNormalization")
def instance_norm(node: Node, to: Program) -> Value:
    x = node[0]
    attributes = {"epsilon": float(node.attribute("epsilon", 1e-5))}
    inputs = {"X": x, "Scale": node[1], "Bias": node[2]}
    return to.emit("instance_norm", inputs, attributes, out="Y", extra=["SavedMean", "SavedVariance"])


@converts("LayerNormalization")
def layer_norm(node: Node, to: Program) -> list[Value | None]:
    x = node[0]
    axis = node.axis(-1, x.rank)
    if node.wants(1) or node.wants(2):
        return _layer_norm_in_steps(node, to, x, axis)
    size = math.prod(x.shape[axis:])
    factor, bias = (
        None if value is None else lower.reshape(to, lower.expand(to, value, x.shape[axis:]), (size,))
        for value in (node.get(1), node.get(2))
    )
    return [lower.layer_norm(to, x, factor, bias, axis, float(node.attribute("epsilon", 1e-5)))]


def _layer_norm_in_steps(node: Node, to: Program, x: Value, axis: int) -> list[Value | None]:
    """With the mean and the deviation as outputs, which Paddle's operator gives for training only."""
    axes = range(axis, x.rank)
    mean = lower.reduce(to, "reduce_mean", x, axes, True)
    centred = lower.sub(to, x, mean)
    variance = lower.reduce(to, "reduce_mean", lower.unary(to, "square", centred), axes, True)
    deviation = lower.unary(
        to, "sqrt", lower.scale(to, variance, 1.0, float(node.attribute("epsilon", 1e-5)))
    )
    result = lower.div(to, centred, deviation)
    result = lower.mul(to, result, node[1])
    if node.get(2) is not None:
        result = lower.add(to, result, node[2])
    inverse = lower.unary(to, "reciprocal", deviation)
    return [result, mean, inverse]


@converts("GroupNormalization")
def group_norm(node: Node, to: Program) -> Value:
    x, groups = node[0], int(node.attribute("num_groups"))
    channels = x.shape[1]
    inputs = {"X": x}
    for index, slot in ((1, "Scale"), (2, "Bias")):
        value = node[index]
        if node.opset < 21 and value.size != channels:
            # One number a group until opset 20.
            value = lower.reshape(to, value, (groups, 1))
            value = lower.reshape(to, lower.expand(to, value, (groups, channels // groups)), (channels,))
        inputs[slot] = value
    attributes = {
        "epsilon": float(node.attribute("epsilon", 1e-5)), "groups": groups, "data_layout": "NCHW",
    }  # fmt: skip
    return to.emit("group_norm", inputs, attributes, out="Y", extra=["Mean", "Variance"])


@converts("LRN")
def local_response_norm(node: Node, to: Program) -> Value:
    x = node[0]
    size, alpha = int(node.attribute("size")), float(node.attribute("alpha", 1e-4))
    beta, bias = float(node.attribute("beta", 0.75)), float(node.attribute("bias", 1.0))
    if size % 2 and x.rank == 4:
        attributes = {"n": size, "k": bias, "alpha": alpha / size, "beta": beta, "data_format": "NCHW"}
        return to.emit("lrn", {"X": x}, attributes, extra=["MidOut"])
    channels = x.shape[1]
    before = (size - 1) // 2
    # Which channels a channel is normalised by, as a matrix.
    near = np.zeros((channels, channels))
    for channel in range(channels):
        near[channel, max(0, channel - before) : channel + size - before] = alpha / size
    flat = lower.reshape(to, lower.unary(to, "square", x), (x.shape[0], channels, math.prod(x.shape[2:])))
    sums = lower.matmul(to, to.constant(near[None], x.dtype), flat)
    base = lower.reshape(to, lower.scale(to, sums, 1.0, bias), x.shape)
    return lower.div(to, x, lower.unary(to, "pow", base, factor=beta))
