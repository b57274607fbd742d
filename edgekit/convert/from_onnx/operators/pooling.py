"""Pooling."""

from __future__ import annotations

import math

import numpy as np

from edgekit.convert.from_onnx import lower
from edgekit.convert.from_onnx.node import Node, converts
from edgekit.convert.from_onnx.operators.convolutions import paddings, said_paddings
from edgekit.convert.from_onnx.operators.indexing import overwrite_rows
from edgekit.convert.from_onnx.program import Program
from edgekit.convert.from_onnx.values import Array, Value

_LOWEST = -3.4028234663852886e38


class _Window:
    """Where the windows of a pooling stand, as ONNX reckons it."""

    def __init__(self, node: Node, sizes: tuple[int, ...]) -> None:
        rank = len(sizes)
        self.sizes = list(sizes)
        self.kernel = list(node.attribute("kernel_shape"))
        self.strides = list(node.attribute("strides", [1] * rank))
        self.dilations = list(node.attribute("dilations", [1] * rank))
        before, after = paddings(node, sizes, self.kernel, self.strides, self.dilations)
        self.before, self.said_after = list(before), list(after)
        reach = [
            (side - 1) * dilation + 1 for side, dilation in zip(self.kernel, self.dilations, strict=True)
        ]
        self.out, self.after = [], []
        ceil = bool(node.attribute("ceil_mode", 0))
        for size, far, stride, first, last in zip(sizes, reach, self.strides, before, after, strict=True):
            room = size + first + last - far
            count = (-(-room // stride) if ceil else room // stride) + 1
            if ceil and (count - 1) * stride >= size + first:
                count -= 1  # a window that would start behind the picture
            self.out.append(count)
            # The padding with which exactly so many windows fit.
            self.after.append(max(0, (count - 1) * stride + far - size - first))

    def counts(self) -> list[Array]:
        """For each axis and window, how many of its places lie in the picture or in its padding."""
        found = []
        for axis, size in enumerate(self.sizes):
            starts = np.arange(self.out[axis]) * self.strides[axis] - self.before[axis]
            places = starts[:, None] + np.arange(self.kernel[axis]) * self.dilations[axis]
            inside = (places >= -self.before[axis]) & (places < size + self.said_after[axis])
            found.append(inside.sum(axis=1))
        return found


@converts("MaxPool")
def max_pool(node: Node, to: Program) -> list[Value | None]:
    x = node[0]
    rank = x.rank - 2
    if not 1 <= rank <= 3:
        raise node.refused(f"a pooling of {rank} dimensions")
    window = _Window(node, x.shape[2:])
    if node.wants(1):
        return _max_pool_with_places(node, to, window)
    if not x.is_float:
        kind = x.dtype
        result = _max_pool(to, lower.cast(to, x, "float32"), window)
        return [lower.cast(to, result, kind)]
    return [_max_pool(to, x, window)]


def _max_pool(to: Program, x: Value, window: _Window) -> Value:
    if any(each != 1 for each in window.dilations):
        x = lower.pad(to, x, [0, 0, *window.before], [0, 0, *window.after], _LOWEST)
        return _over_slices(to, x, window, "elementwise_max")
    if any(a >= k for a, k in zip((*window.before, *window.after), window.kernel * 2, strict=True)):
        x = lower.pad(to, x, [0, 0, *window.before], [0, 0, *window.after], _LOWEST)
        none = [0] * len(window.kernel)
        return _pool(to, x, "max", window, none, none)
    return _pool(to, x, "max", window, window.before, window.after)


def _pool(
    to: Program,
    x: Value,
    kind: str,
    window: _Window,
    before: list[int],
    after: list[int],
    *,
    exclusive: bool = True,
) -> Value:
    kernel, strides, rank = window.kernel, window.strides, len(window.kernel)
    one = rank == 1
    if one:
        x = lower.unsqueeze(to, x, [2])
        kernel, strides, before, after = [1, *kernel], [1, *strides], [0, *before], [0, *after]
    attributes = {
        "pooling_type": kind, "ksize": kernel, "strides": strides, "paddings": said_paddings(before, after),
        "global_pooling": False, "adaptive": False, "ceil_mode": False, "exclusive": exclusive,
        "padding_algorithm": "EXPLICIT", "data_format": "NCDHW" if rank == 3 else "NCHW",
    }  # fmt: skip
    result = to.emit("pool3d" if rank == 3 else "pool2d", {"X": x}, attributes)
    return lower.squeeze(to, result, [2]) if one else result


def _over_slices(to: Program, x: Value, window: _Window, kind: str) -> Value:
    """Padded windows combined axis by axis from the slices that one of their places gives.

    Paddle's pooling knows no dilation.
    """
    for axis, side in enumerate(window.kernel):
        count, stride, dilation = window.out[axis], window.strides[axis], window.dilations[axis]
        slices = [
            lower.strided(to, x, [axis + 2], [first], [first + (count - 1) * stride + 1], [stride])
            for first in range(0, side * dilation, dilation)
        ]
        x = slices[0]
        for each in slices[1:]:
            x = to.emit(kind, {"X": x, "Y": each}, {"axis": -1})
    return x


def _max_pool_with_places(node: Node, to: Program, window: _Window) -> list[Value | None]:
    x = node[0]
    if x.rank != 4 or window.before != window.after or any(each != 1 for each in window.dilations):
        raise node.refused("its output Indices, with this padding or these dilations")
    attributes = {
        "ksize": window.kernel, "strides": window.strides, "paddings": window.before, "global_pooling": False,
        "adaptive": False, "ceil_mode": False,
    }  # fmt: skip
    found = to.emit_all("max_pool2d_with_index", {"X": x}, attributes, {"Out": 1, "Mask": 1})
    places = lower.cast(to, found["Mask"][0], "int64")
    # ONNX counts through all pictures and channels, Paddle in each plane.
    pictures, channels, height, width = x.shape
    planes = np.arange(pictures * channels, dtype=np.int64).reshape(pictures, channels, 1, 1) * height * width
    if int(node.attribute("storage_order", 0)):
        raise node.refused("its output Indices in column-major order")
    return [
        found["Out"][0],
        lower.add(to, places, to.constant(np.broadcast_to(planes, (pictures, channels, 1, 1)))),
    ]


@converts("AveragePool")
def average_pool(node: Node, to: Program) -> Value:
    x = node[0]
    if not 1 <= x.rank - 2 <= 3:
        raise node.refused(f"a pooling of {x.rank - 2} dimensions")
    window = _Window(node, x.shape[2:])
    included = bool(node.attribute("count_include_pad", 0))
    padded = any(window.before) or any(window.after)
    if any(each != 1 for each in window.dilations):
        if included and window.after != window.said_after:
            raise node.refused("ceil_mode with dilations and count_include_pad, on which runtimes disagree")
        return _average_of_slices(to, x, window, included)
    if not padded:
        return _pool(to, x, "avg", window, window.before, window.after)
    if not included and window.before == window.after:
        return _pool(to, x, "avg", window, window.before, window.after)
    none = [0] * len(window.kernel)
    if included and window.after == window.said_after:
        if window.before == window.after:
            return _pool(to, x, "avg", window, window.before, window.after, exclusive=False)
        x = lower.pad(to, x, [0, 0, *window.before], [0, 0, *window.after])
        return _pool(to, x, "avg", window, none, none)
    x = lower.pad(to, x, [0, 0, *window.before], [0, 0, *window.after])
    mean = _pool(to, x, "avg", window, none, none)
    return lower.mul(to, mean, _correction(to, window, included, math.prod(window.kernel), mean))


def _correction(to: Program, window: _Window, included: bool, divisor: int, like: Value) -> Value:
    """Return the factors that turn window sums divided by `divisor` into means."""
    counts = window.counts() if included else _inside(window)
    total = np.ones((1, 1, *[1] * len(counts)))
    for axis, each in enumerate(counts):
        shape = [1] * total.ndim
        shape[axis + 2] = len(each)
        total = total * each.reshape(shape)
    return to.constant(divisor / total, like.dtype)


def _inside(window: _Window) -> list[Array]:
    found = []
    for axis, size in enumerate(window.sizes):
        starts = np.arange(window.out[axis]) * window.strides[axis] - window.before[axis]
        places = starts[:, None] + np.arange(window.kernel[axis]) * window.dilations[axis]
        found.append(((places >= 0) & (places < size)).sum(axis=1))
    return found


def _average_of_slices(to: Program, x: Value, window: _Window, included: bool) -> Value:
    x = lower.pad(to, x, [0, 0, *window.before], [0, 0, *window.after])
    total = _over_slices(to, x, window, "elementwise_add")
    return lower.mul(to, total, _correction(to, window, included, 1, total))


@converts("LpPool")
def power_pool(node: Node, to: Program) -> Value:
    x, power = node[0], float(node.attribute("p", 2))
    window = _Window(node, x.shape[2:])
    x = _power(to, lower.unary(to, "abs", x), power)
    x = lower.pad(to, x, [0, 0, *window.before], [0, 0, *window.after])
    if any(each != 1 for each in window.dilations):
        return _power(to, _over_slices(to, x, window, "elementwise_add"), 1 / power)
    none = [0] * len(window.kernel)
    total = lower.scale(to, _pool(to, x, "avg", window, none, none), math.prod(window.kernel))
    return _power(to, total, 1 / power)


def _power(to: Program, x: Value, power: float) -> Value:
    if power == 1.0:
        return x
    if power in (2.0, 0.5):
        return lower.unary(to, "square" if power == 2.0 else "sqrt", x)
    return lower.unary(to, "pow", x, factor=power)


@converts("GlobalAveragePool", "GlobalMaxPool")
def global_pool(node: Node, to: Program) -> Value:
    x = node[0]
    average = node.kind == "GlobalAveragePool"
    if x.rank != 4:
        return lower.reduce(to, "reduce_mean" if average else "reduce_max", x, range(2, x.rank), True)
    attributes = {
        "pooling_type": "avg" if average else "max", "ksize": [1, 1], "strides": [1, 1], "paddings": [0, 0],
        "global_pooling": not average, "adaptive": average, "ceil_mode": False, "exclusive": True,
        "padding_algorithm": "EXPLICIT", "data_format": "NCHW",
    }  # fmt: skip
    return to.emit("pool2d", {"X": x}, attributes)


@converts("GlobalLpPool")
def global_power_pool(node: Node, to: Program) -> Value:
    x, power = node[0], float(node.attribute("p", 2))
    total = lower.reduce(
        to, "reduce_sum", _power(to, lower.unary(to, "abs", x), power), range(2, x.rank), True
    )
    return _power(to, total, 1 / power)


@converts("MaxUnpool")
def max_unpool(node: Node, to: Program) -> Value:
    x = node[0]
    kernel, rank = node.attribute("kernel_shape"), x.rank - 2
    strides, pads = node.attribute("strides", [1] * rank), node.attribute("pads", [0] * 2 * rank)
    own = [
        (size - 1) * stride - pads[axis] - pads[axis + rank] + side
        for axis, (size, stride, side) in enumerate(zip(x.shape[2:], strides, kernel, strict=True))
    ]
    inner = (*x.shape[:2], *own)
    wanted = inner
    if node.get(2) is not None:
        wanted = tuple(int(each) for each in node.constant(2, "output_shape").reshape(-1))
    places = node.constant(1, "indices").reshape(-1).astype(np.int64)
    # The places count in the tensor as it was pooled.
    empty = to.constant(np.zeros((math.prod(inner), 1)), x.dtype)
    filled = lower.reshape(to, overwrite_rows(to, empty, math.prod(inner), places, x), inner)
    after = [more - less for more, less in zip(wanted, inner, strict=True)]
    return lower.pad(to, filled, [0] * x.rank, after)
