"""Reductions over axes, the place of the largest, the largest few, running sums."""

from __future__ import annotations

import math

import numpy as np

from edgekit.convert.from_onnx import lower
from edgekit.convert.from_onnx.node import Node, converts
from edgekit.convert.from_onnx.program import Program
from edgekit.convert.from_onnx.values import Value

# For each operator: the operator before the reduction, the reduction, and the operator after it.
_STEPS: dict[str, tuple[tuple[str, ...], str, tuple[str, ...]]] = {
    "ReduceMean": ((), "reduce_mean", ()),
    "ReduceSum": ((), "reduce_sum", ()),
    "ReduceMax": ((), "reduce_max", ()),
    "ReduceMin": ((), "reduce_min", ()),
    "ReduceProd": ((), "reduce_prod", ()),
    "ReduceL1": (("abs",), "reduce_sum", ()),
    "ReduceL2": (("square",), "reduce_sum", ("sqrt",)),
    "ReduceLogSum": ((), "reduce_sum", ("log",)),
    "ReduceSumSquare": (("square",), "reduce_sum", ()),
}


# So many numbers take 1 ms (one core, Paddle with oneDNN).
_MOST_EXACT = 1 << 16
# Paddle has no largest of these.
_SMALL_INTEGERS = frozenset(map(np.dtype, ("int8", "uint8", "int16")))


def axes_of(node: Node, x: Value) -> list[int] | None:
    """The axes that a reduction takes; None for the one that takes none and changes nothing."""
    axes = node.integers("axes", 1)
    if not axes:
        return None if node.attribute("noop_with_empty_axes", 0) else list(range(x.rank))
    return sorted(node.normal_axis(axis, x.rank) for axis in axes)


# Result of a reduction of no elements.
_OF_NOTHING = {
    "ReduceMax": -np.inf, "ReduceMin": np.inf, "ReduceProd": 1.0, "ReduceLogSum": -np.inf,
    "ReduceLogSumExp": -np.inf,
}  # fmt: skip


@converts(*_STEPS, "ReduceLogSumExp")
def reduce(node: Node, to: Program) -> Value:
    x, axes = node[0], axes_of(node, node[0])
    keep = bool(node.attribute("keepdims", 1))
    if 0 in x.shape and axes is not None:
        if node.kind == "ReduceMean" or not x.is_float:
            raise node.refused("a reduction of nothing")
        sizes = [1 if axis in axes else size for axis, size in enumerate(x.shape) if keep or axis not in axes]
        return to.constant(np.full(sizes, _OF_NOTHING.get(node.kind, 0.0)), x.dtype)
    if node.kind == "ReduceLogSumExp":
        if axes is None or not x.rank:
            return x
        attributes = {"axis": axes, "keepdim": keep, "reduce_all": len(axes) == x.rank}
        return to.emit("logsumexp", {"X": x}, attributes)
    before, kind, after = _STEPS[node.kind]
    for step in before:
        x = lower.unary(to, step, x)
    if axes is not None and x.rank:
        x = lower.reduce(to, kind, x, axes, keep)
    for step in after:
        x = lower.unary(to, step, x)
    return x


@converts("ArgMax", "ArgMin")
def arg_extreme(node: Node, to: Program) -> Value:
    """Exact, but for large maps of floats: equal numbers are rare there, `arg_max` takes a fifth of the time.

    Paddle Lite's `arg_max` finds the last of equal numbers, where ONNX wants the first (2.12).
    """
    x = node[0]
    axis, keep = node.axis(0, x.rank), bool(node.attribute("keepdims", 1))
    size = x.shape[axis]
    if size > 1 << 24:
        raise node.refused("more than 2^24 numbers along its axis")
    if x.dtype in _SMALL_INTEGERS:
        x = lower.cast(to, x, "int32")
    kind = "reduce_max" if node.kind == "ArgMax" else "reduce_min"
    last = bool(node.attribute("select_last_index", 0))
    if x.is_float and math.prod(x.shape) > _MOST_EXACT and kind == "reduce_max" and not last:
        return lower.arg_max(to, x, axis, keep=keep)
    counted = np.arange(1, size + 1) if last else np.arange(size, 0, -1)
    found = lower.reduce(to, "reduce_max", lower.places(to, kind, x, axis, counted), [axis], keep)
    place = lower.scale(to, found, 1.0, -1.0) if last else lower.scale(to, found, -1.0, float(size))
    return lower.cast(to, place, "int64")


@converts("TopK")
def top(node: Node, to: Program) -> list[Value | None]:
    x = node[0]
    count = node.integers("k", 1)
    if count is None:
        raise node.refused("its k is missing")
    axis = node.axis(-1, x.rank)
    attributes = {
        "k": count[0], "axis": axis, "largest": bool(node.attribute("largest", 1)),
        "sorted": bool(node.attribute("sorted", 1)),
    }  # fmt: skip
    found = to.emit_all("top_k_v2", {"X": x}, attributes, {"Out": 1, "Indices": 1})
    return [found["Out"][0], found["Indices"][0]]


@converts("CumSum")
def running_sum(node: Node, to: Program) -> Value:
    axis = node.normal_axis(int(node.constant(1, "axis").reshape(-1)[0]), node[0].rank)
    attributes = {
        "axis": axis, "exclusive": bool(node.attribute("exclusive", 0)),
        "reverse": bool(node.attribute("reverse", 0)), "flatten": False,
    }  # fmt: skip
    return to.emit("cumsum", {"X": node[0]}, attributes)


@converts("LpNormalization")
def normalise(node: Node, to: Program) -> Value:
    x = node[0]
    axis, power = node.axis(-1, x.rank), int(node.attribute("p", 2))
    if power == 1:
        total = lower.reduce(to, "reduce_sum", lower.unary(to, "abs", x), [axis], True)
    else:
        squares = lower.reduce(to, "reduce_sum", lower.unary(to, "square", x), [axis], True)
        total = lower.unary(to, "sqrt", squares)
    return lower.div(to, x, total)
