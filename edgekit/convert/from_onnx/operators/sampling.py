"""Pictures read at places that other tensors name."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from edgekit.convert.from_onnx import lower
from edgekit.convert.from_onnx.node import Node, converts
from edgekit.convert.from_onnx.operators.elementwise import round_half_even
from edgekit.convert.from_onnx.program import Program
from edgekit.convert.from_onnx.values import Value

# Keys' kernel with the coefficient that ONNX's GridSample has: of each of the four pixels around a place the
# polynomial in the place's distance from the second, the highest power first.
_CUBIC = ((-0.75, 1.5, -0.75, 0.0), (1.25, -2.25, 0.0, 1.0), (-1.25, 1.5, 0.75, 0.0), (0.75, -0.75, 0.0, 0.0))
# A pixel's place along an axis, and its weight; None for 1.
_Tap = tuple[Value, Value | None]


@converts("GridSample")
def grid_sample(node: Node, to: Program) -> Value:
    x, grid = node[0], node[1]
    mode, padding = node.attribute("mode", "linear"), node.attribute("padding_mode", "zeros")
    corners = bool(node.attribute("align_corners", 0))
    if x.rank not in (4, 5) or (mode in ("cubic", "bicubic") and x.rank != 4):
        raise node.refused(f"mode {mode!r} of {x.rank - 2} dimensions")
    if mode in ("linear", "bilinear"):
        attributes = {"mode": "bilinear", "padding_mode": padding, "align_corners": corners}
        return to.emit("grid_sampler", {"X": x, "Grid": grid}, attributes, out="Output")
    # Paddle has no cubic one, and its nearest one rounds halves another way than ONNX.
    lead = grid.shape[1:-1]
    axes = []
    for axis, size in enumerate(x.shape[2:]):
        place = lower.cut(to, grid, grid.rank - 1, x.rank - 3 - axis, x.rank - 2 - axis)
        place = lower.reshape(to, place, (grid.shape[0], math.prod(lead)))
        place = lower.scale(to, place, (size - corners) / 2, (size - 1) / 2)
        axes.append([(round_half_even(to, place), None)] if mode == "nearest" else _cubic(to, place))
    inside = [
        [_pixel(to, tap, size, padding, corners) for tap in taps]
        for taps, size in zip(axes, x.shape[2:], strict=True)
    ]
    result = _weighted_sum(to, x, list(itertools.product(*inside)))
    channels = lower.reshape(to, result, (x.shape[0], *lead, x.shape[1]))
    return lower.transpose(to, channels, [0, x.rank - 1, *range(1, x.rank - 1)])


def _cubic(to: Program, place: Value) -> list[_Tap]:
    first = lower.unary(to, "floor", place)
    distance = lower.sub(to, place, first)
    taps: list[_Tap] = []
    for offset, (a, b, c, d) in enumerate(_CUBIC, start=-1):
        weight = lower.mul(to, lower.scale(to, distance, a, b), distance)
        weight = lower.scale(to, lower.mul(to, lower.scale(to, weight, 1.0, c), distance), 1.0, d)
        taps.append((lower.scale(to, first, 1.0, offset), weight))
    return taps


def _folded(to: Program, place: Value, size: int, padding: str, corners: bool) -> Value:
    """Places beyond the picture moved into it, as the padding says; `zeros` moves none."""
    if padding == "border":
        return lower.clip(to, place, 0, size - 1)
    if padding != "reflection":
        return place
    low, span = (0.0, size - 1.0) if corners else (-0.5, float(size))
    if not span:
        return lower.scale(to, place, 0.0)
    away = lower.unary(to, "abs", lower.scale(to, place, 1.0, -low))
    turns = lower.unary(to, "floor", lower.scale(to, away, 1 / (2 * span)))
    away = lower.sub(to, away, lower.scale(to, turns, 2 * span))
    back = lower.scale(to, away, -1.0, 2 * span)
    return lower.scale(to, lower.binary(to, "elementwise_min", away, back), 1.0, low)


def _pixel(to: Program, tap: _Tap, size: int, padding: str, corners: bool) -> _Tap:
    """A place that the picture has; where it had none the weight is zero."""
    place, weight = tap
    place = _folded(to, place, size, padding, corners)
    if padding != "zeros":
        return lower.clip(to, place, 0, size - 1), weight
    nearest = lower.clip(to, place, 0, size - 1)
    is_inside = lower.cast(to, lower.binary(to, "equal", nearest, place), place.dtype)
    return nearest, is_inside if weight is None else lower.mul(to, weight, is_inside)


def _weighted_sum(to: Program, x: Value, pixels: Sequence[tuple[_Tap, ...]]) -> Value:
    """The sum over pixels, each a tap along every axis: float[N*M, C] of N pictures and M places."""
    sizes, count = x.shape[2:], math.prod(x.shape[2:])
    order = [0, *range(2, x.rank), 1]
    rows = lower.reshape(to, lower.transpose(to, x, order), (x.shape[0] * count, x.shape[1]))
    pictures = to.constant([[count * number] for number in range(x.shape[0])], "int64")
    total = None
    for taps in pixels:
        index, weight = None, None
        for (place, own), size in zip(taps, sizes, strict=True):
            number = lower.cast(to, place, "int64")
            if index is not None:
                number = lower.add(to, lower.mul(to, index, to.constant([size], "int64")), number)
            index = number
            if own is not None:
                weight = own if weight is None else lower.mul(to, weight, own)
        assert index is not None
        index = lower.add(to, index, pictures)
        found = lower.gather(to, rows, lower.reshape(to, index, (index.size,)), 0)
        if weight is not None:
            found = lower.mul(to, found, lower.reshape(to, weight, (index.size, 1)))
        total = found if total is None else lower.add(to, total, found)
    assert total is not None
    return total
