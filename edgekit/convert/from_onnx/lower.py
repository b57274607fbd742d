"""Operators of Paddle's for the functions of `operators`, with their attributes said in full."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgekit.convert.from_onnx.program import Program
from edgekit.convert.from_onnx.program_file import TYPES
from edgekit.convert.from_onnx.values import Value, of_array

_COMMUTE = {"elementwise_add", "elementwise_mul", "elementwise_max", "elementwise_min"}
_CONVOLUTIONS = {"conv2d", "depthwise_conv2d", "conv2d_transpose", "conv3d", "conv3d_transpose"}
_COMMUTE |= {"equal", "not_equal", "logical_and", "logical_or", "logical_xor"}


def unary(to: Program, kind: str, x: Value, **attributes: Any) -> Value:
    return to.emit(kind, {"X": x}, attributes)


def binary(to: Program, kind: str, x: Value, y: Value) -> Value:
    """An operator that broadcasts as numpy does.

    Paddle Lite and oneDNN want the tensor of more dimensions first, or both of as many; a convolution's bias
    is given as a vector, which is what opt's fusions look for.
    """
    if kind in _COMMUTE and ((x.rank, x.size) < (y.rank, y.size) or (x.is_constant and not y.is_constant)):
        x, y = y, x
    rank = max(x.rank, y.rank)
    axis = -1
    # With an activation behind it oneDNN's fused operator forgets the axis, except in a convolution's bias.
    is_bias = kind == "elementwise_add" and x.made_by is not None and x.made_by[0] in _CONVOLUTIONS
    along = _vector_axis(x, y) if is_bias else None
    if along is not None:
        axis, y = along, reshape(to, y, (y.size,))
    else:
        x, y = (with_rank(to, each, rank) for each in (x, y))
    return to.emit(kind, {"X": x, "Y": y}, {"axis": axis})


def _vector_axis(x: Value, y: Value) -> int | None:
    """The axis of x that a constant y runs along, where it is 1 along all others."""
    if not y.is_constant or y.variable is not None or x.rank < 2 or y.rank > x.rank:
        return None
    shape = (1,) * (x.rank - y.rank) + y.shape
    long = [axis for axis, size in enumerate(shape) if size != 1]
    if len(long) != 1 or long[0] == x.rank - 1 or shape[long[0]] != x.shape[long[0]]:
        return None
    return long[0]


def with_rank(to: Program, x: Value, rank: int) -> Value:
    """Ones in front until it has that many dimensions."""
    return x if x.rank >= rank else reshape(to, x, (1,) * (rank - x.rank) + x.shape)


def add(to: Program, x: Value, y: Value) -> Value:
    return binary(to, "elementwise_add", x, y)


def sub(to: Program, x: Value, y: Value) -> Value:
    return binary(to, "elementwise_sub", x, y)


def mul(to: Program, x: Value, y: Value) -> Value:
    return binary(to, "elementwise_mul", x, y)


def div(to: Program, x: Value, y: Value) -> Value:
    return binary(to, "elementwise_div", x, y)


def scale(to: Program, x: Value, factor: float, bias: float = 0.0) -> Value:
    """x * factor + bias."""
    attributes = {"scale": float(factor), "bias": float(bias), "bias_after_scale": True}
    return to.emit("scale", {"X": x}, attributes)


def cast(to: Program, x: Value, dtype: str | np.dtype[Any]) -> Value:
    dtype = np.dtype(dtype)
    if x.dtype == dtype:
        return x
    if x.is_constant and x.variable is None:
        return of_array(x.array().astype(dtype))
    return to.emit("cast", {"X": x}, {"in_dtype": TYPES[x.dtype.name], "out_dtype": TYPES[dtype.name]})


def reshape(to: Program, x: Value, shape: Sequence[int]) -> Value:
    """Another shape of as many elements; the first size follows the input's, so the batch can be free."""
    shape = tuple(int(size) for size in shape)
    if shape == x.shape:
        return x
    if x.is_constant and x.variable is None:
        return of_array(x.array().reshape(shape))
    said = list(shape)
    if shape and x.shape and x.size:
        if shape[0] == x.shape[0]:
            said[0] = 0
        else:
            said[0] = -1
    if not said:
        # Paddle's reshape cannot be told to leave no dimension in every version; squeezing can.
        return to.emit("squeeze2", {"X": x}, {"axes": list(range(x.rank))}, extra=["XShape"])
    return to.emit("reshape2", {"X": x}, {"shape": said}, extra=["XShape"])


def transpose(to: Program, x: Value, axes: Sequence[int]) -> Value:
    if list(axes) == list(range(x.rank)):
        return x
    if x.is_constant and x.variable is None:
        return of_array(np.ascontiguousarray(x.array().transpose(axes)))
    return to.emit("transpose2", {"X": x}, {"axis": [int(axis) for axis in axes]}, extra=["XShape"])


def unsqueeze(to: Program, x: Value, axes: Sequence[int]) -> Value:
    """New dimensions of 1 at these axes of the result."""
    axes = sorted(int(axis) for axis in axes)
    if x.is_constant and x.variable is None:
        return of_array(np.expand_dims(x.array(), tuple(axes)))
    return to.emit("unsqueeze2", {"X": x}, {"axes": axes}, extra=["XShape"])


def squeeze(to: Program, x: Value, axes: Sequence[int]) -> Value:
    if not axes:
        return x
    return to.emit("squeeze2", {"X": x}, {"axes": [int(axis) for axis in axes]}, extra=["XShape"])


def concat(to: Program, values: Sequence[Value], axis: int) -> Value:
    values = [value for value in values if value.shape[axis]] or list(values[:1])
    if len(values) == 1:
        return values[0]
    # With oneDNN Paddle's seqpool_cvm_concat_fuse_pass looks for what makes the inputs, and crashes on none.
    made = [scale(to, value, 1.0) if value.is_constant else value for value in values]
    return to.emit("concat", {"X": made}, {"axis": axis})


def cut(to: Program, x: Value, axis: int, start: int, end: int) -> Value:
    """x[start:end] along an axis."""
    if (start, end) == (0, x.shape[axis]):
        return x
    attributes = {
        "axes": [axis], "starts": [start], "ends": [end], "decrease_axis": [], "infer_flags": [1],
    }  # fmt: skip
    return to.emit("slice", {"Input": x}, attributes)


def strided(
    to: Program, x: Value, axes: list[int], starts: list[int], ends: list[int], steps: list[int]
) -> Value:
    """x[start:end:step] along axes; steps may be negative."""
    attributes = {
        "axes": axes, "starts": starts, "ends": ends, "strides": steps,
        "infer_flags": [1] * len(axes), "decrease_axis": [],
    }  # fmt: skip
    return to.emit("strided_slice", {"Input": x}, attributes)


def flip(to: Program, x: Value, axes: Sequence[int]) -> Value:
    return to.emit("flip", {"X": x}, {"axis": [int(axis) for axis in axes]})


def gather(to: Program, x: Value, indices: Value, axis: int) -> Value:
    """x taken along an axis at a vector of indices that are not negative."""
    if indices.is_constant and np.array_equal(indices.array(), np.arange(x.shape[axis])):
        return x
    return to.emit("gather", {"X": x, "Index": indices}, {"axis": axis})


def matmul(to: Program, x: Value, y: Value, *, transpose_x: bool = False, transpose_y: bool = False) -> Value:
    return to.emit("matmul_v2", {"X": x, "Y": y}, {"trans_x": transpose_x, "trans_y": transpose_y})


def reduce(to: Program, kind: str, x: Value, axes: Sequence[int], keep: bool) -> Value:
    """One of `reduce_sum`, `reduce_mean`, `reduce_max`, `reduce_min`, `reduce_prod` over axes."""
    axes = [int(axis) for axis in axes]
    everything = len(axes) == x.rank
    attributes = {"dim": axes, "keep_dim": keep, "reduce_all": everything}
    if kind in ("reduce_sum", "reduce_mean"):
        attributes |= {"in_dtype": -1, "out_dtype": -1}
    return to.emit(kind, {"X": x}, attributes)


def arg_max(to: Program, x: Value, axis: int, *, keep: bool) -> Value:
    """The place of the largest along an axis, as int64; of equal ones Paddle Lite finds the last (2.12)."""
    # Paddle Lite's own way of keeping the dimension gives other numbers (2.12).
    later = keep and x.rank > 1
    attributes = {"axis": axis, "keepdims": keep and not later, "flatten": False, "dtype": 3}
    found = to.emit("arg_max", {"X": x}, attributes)
    return unsqueeze(to, found, [axis]) if later else found


def places(to: Program, kind: str, x: Value, axis: int, counted: np.ndarray) -> Value:
    """The numbers counted along an axis, as float32, where x is its largest (kind `reduce_max`) or smallest
    (`reduce_min`) there, and 0 elsewhere."""
    shape = [1] * x.rank
    shape[axis] = x.shape[axis]
    found = binary(to, "equal", x, reduce(to, kind, x, [axis], True))
    return mul(to, cast(to, found, "float32"), to.constant(counted.reshape(shape), "float32"))


def where(to: Program, condition: Value, x: Value, y: Value) -> Value:
    """x where the condition holds, else y; all three broadcast."""
    shape = np.broadcast_shapes(condition.shape, x.shape, y.shape)
    condition, x, y = (expand(to, each, shape) for each in (condition, x, y))
    return to.emit("where", {"Condition": condition, "X": x, "Y": y})


def expand(to: Program, x: Value, shape: Sequence[int]) -> Value:
    """Repeat along dimensions of 1, as broadcasting does."""
    shape = tuple(int(size) for size in shape)
    if x.shape == shape:
        return x
    if x.is_constant and x.variable is None:
        return of_array(np.ascontiguousarray(np.broadcast_to(x.array(), shape)))
    x = with_rank(to, x, len(shape))
    said = [-1 if own == size else size for own, size in zip(x.shape, shape, strict=True)]
    return to.emit("expand_v2", {"X": x}, {"shape": said})


def layer_norm(
    to: Program, x: Value, factor: Value | None, bias: Value | None, axis: int, epsilon: float
) -> Value:
    """Normalise over the axes from `axis` on; factor and bias are vectors of as many elements.

    Without a bias oneDNN's operator computes other numbers (Paddle 3.1.1), so there always is one.
    """
    size = math.prod(x.shape[axis:])
    inputs = {
        "X": x,
        "Scale": to.constant(np.ones(size), "float32") if factor is None else factor,
        "Bias": to.constant(np.zeros(size), "float32") if bias is None else bias,
    }
    attributes = {"epsilon": epsilon, "begin_norm_axis": axis}
    return to.emit("layer_norm", inputs, attributes, out="Y", extra=["Mean", "Variance"])


def clip(to: Program, x: Value, low: float, high: float) -> Value:
    return to.emit("clip", {"X": x}, {"min": float(low), "max": float(high)})


def pad(to: Program, x: Value, before: Sequence[int], after: Sequence[int], value: float = 0.0) -> Value:
    """Constant padding of every dimension; negative numbers cut."""
    for axis, (first, last) in enumerate(zip(before, after, strict=True)):
        if first < 0 or last < 0:
            x = cut(to, x, axis, max(0, -first), x.shape[axis] + min(0, last))
    before, after = ([max(0, int(each)) for each in side] for side in (before, after))
    if not any(before) and not any(after):
        return x
    padded = _pad_with_zeros(to, x, before, after)
    if value:
        # Paddle Lite ignores the number to pad with (2.12).
        sides = zip(x.shape, before, after, strict=True)
        border = np.ones([size + first + last if first or last else 1 for size, first, last in sides], bool)
        border[tuple(slice(first, first + size) for size, first in zip(x.shape, before, strict=True))] = False
        padded = binary(to, "elementwise_add", padded, to.constant(np.where(border, value, 0), x.dtype))
    return padded


def _pad_with_zeros(to: Program, x: Value, before: Sequence[int], after: Sequence[int]) -> Value:
    # Of pad3d between unsqueeze2 and squeeze2, as Paddle writes it, opt makes a pad2d that has height and
    # width exchanged (2.12): so reshape.
    if x.rank in (4, 5) and not any((*before[:2], *after[:2])):
        room = reshape(to, x, (*x.shape[:2], 1, *x.shape[2:])) if x.rank == 4 else x
        sides = list(zip(before, after, strict=True))[:1:-1]
        said = [each for pair in sides for each in pair] + ([0, 0] if x.rank == 4 else [])
        padded = _pad3d(to, room, said)
        shape = (size + first + last for size, first, last in zip(x.shape, before, after, strict=True))
        return reshape(to, padded, tuple(shape))
    for axis, (first, last) in enumerate(zip(before, after, strict=True)):
        if first or last:
            x = _pad_axis(to, x, axis, first, last)
    return x


def _pad3d(to: Program, x: Value, paddings: list[int]) -> Value:
    attributes = {"paddings": paddings, "mode": "constant", "value": 0.0, "data_format": "NCDHW"}
    return to.emit("pad3d", {"X": x}, attributes)


def _pad_axis(to: Program, x: Value, axis: int, before: int, after: int) -> Value:
    """Pad one axis with zeros by pad3d, in five dimensions: Paddle 3 has no kernel for `pad` of any rank."""
    lead, tail = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    padded = _pad3d(to, reshape(to, x, (1, 1, lead, x.shape[axis], tail)), [0, 0, before, after, 0, 0])
    return reshape(to, padded, (*x.shape[:axis], x.shape[axis] + before + after, *x.shape[axis + 1 :]))
