"""Resizing: Paddle's own interpolation where it reckons as the node does, else a product with a matrix."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgekit.convert.from_onnx import lower
from edgekit.convert.from_onnx.node import Node, converts
from edgekit.convert.from_onnx.program import Program
from edgekit.convert.from_onnx.values import Array, Value


@converts("Upsample")
def upsample(node: Node, to: Program) -> Value:
    scales = node.attribute("scales")
    if scales is None:
        scales = [float(each) for each in node.constant(1, "scales").reshape(-1)]
    return _resize(node, to, scales, None, "asymmetric")


@converts("Resize")
def resize(node: Node, to: Program) -> Value:
    x = node[0]
    if node.opset < 11:
        scales = [float(each) for each in node.constant(1, "scales").reshape(-1)]
        return _resize(node, to, scales, None, "asymmetric")
    scales_value, sizes_value = node.get(2), node.get(3)
    axes = node.attribute("axes")
    axes = list(range(x.rank)) if axes is None else [node.normal_axis(axis, x.rank) for axis in axes]
    how = node.attribute("coordinate_transformation_mode", "half_pixel")
    if sizes_value is not None and sizes_value.size:
        wanted = [int(each) for each in node.constant(3, "sizes").reshape(-1)]
        return _resize(node, to, *_fitted(node, x, axes, wanted), how)
    if scales_value is None or not scales_value.size:
        raise node.refused("it says neither scales nor sizes")
    scales = [1.0] * x.rank
    for axis, scale in zip(axes, node.constant(2, "scales").reshape(-1), strict=True):
        scales[axis] = float(scale)
    return _resize(node, to, scales, None, how)


def _fitted(node: Node, x: Value, axes: list[int], wanted: list[int]) -> tuple[list[float], list[int]]:
    """Scales and sizes where sizes are said, by the policy that keeps the picture's proportions or not."""
    policy = node.attribute("keep_aspect_ratio_policy", "stretch")
    scales, sizes = [1.0] * x.rank, list(x.shape)
    if policy == "stretch":
        for axis, size in zip(axes, wanted, strict=True):
            scales[axis], sizes[axis] = size / x.shape[axis], size
        return scales, sizes
    ratios = [size / x.shape[axis] for axis, size in zip(axes, wanted, strict=True)]
    ratio = min(ratios) if policy == "not_larger" else max(ratios)
    for axis in axes:
        scales[axis], sizes[axis] = ratio, int(np.floor(x.shape[axis] * ratio + 0.5))
    return scales, sizes


def _resize(node: Node, to: Program, scales: list[float], sizes: list[int] | None, how: str) -> Value:
    x, mode = node[0], node.attribute("mode", "nearest")
    if sizes is None:
        sizes = [int(np.floor(size * scale)) for size, scale in zip(x.shape, scales, strict=True)]
    if _is_native(node, x, scales, sizes, how, mode):
        return _native(to, x, sizes, mode, how)
    for axis in range(x.rank):
        if sizes[axis] == x.shape[axis] and scales[axis] == 1.0 and how != "tf_crop_and_resize":
            continue
        if how == "tf_crop_and_resize" and _region(node, axis) == _WHOLE and sizes[axis] == x.shape[axis]:
            continue
        matrix = _matrix(node, axis, x.shape[axis], scales[axis], sizes[axis], how, mode)
        x = _nearest(to, x, axis, matrix) if mode == "nearest" and _picks(matrix) else _weighted(
            to, x, axis, matrix
        )  # fmt: skip
    return _outside(node, to, x, sizes, scales, how)


def _is_native(node: Node, x: Value, scales: list[float], sizes: list[int], how: str, mode: str) -> bool:
    if x.rank != 4 or x.dtype != np.float32 or tuple(sizes[:2]) != x.shape[:2]:
        return False
    if node.attribute("antialias", 0) or any(
        abs(size - own * scale) > 1e-4 for size, own, scale in zip(sizes, x.shape, scales, strict=True)
    ):
        return False
    whole = all(size % own == 0 for size, own in zip(sizes[2:], x.shape[2:], strict=True))
    if mode == "nearest":
        rounding = node.attribute("nearest_mode", "round_prefer_floor")
        if node.opset < 11:
            return whole
        # At whole factors these all repeat each pixel.
        return whole and (
            (how == "asymmetric" and rounding == "floor")
            or (
                how in ("half_pixel", "pytorch_half_pixel")
                and rounding in ("round_prefer_floor", "round_prefer_ceil")
            )
        )
    if mode == "linear":
        if how == "align_corners":
            return min(sizes[2:]) > 1
        return how in ("half_pixel", "asymmetric") or (how == "pytorch_half_pixel" and min(sizes[2:]) > 1)
    return False


def _native(to: Program, x: Value, sizes: list[int], mode: str, how: str) -> Value:
    kind = "nearest_interp_v2" if mode == "nearest" else "bilinear_interp_v2"
    corners = how == "align_corners" and mode == "linear"
    attributes = {
        "data_layout": "NCHW", "out_d": -1, "out_h": sizes[2], "out_w": sizes[3], "scale": [],
        "interp_method": "nearest" if mode == "nearest" else "bilinear", "align_corners": corners,
        "align_mode": 1 if how == "asymmetric" or mode == "nearest" else 0,
    }  # fmt: skip
    return to.emit(kind, {"X": x}, attributes)


def _matrix(node: Node, axis: int, own: int, scale: float, size: int, how: str, mode: str) -> Array:
    """Return the weights float64[size, own] that resize one axis, after ONNX's description of Resize.

    A row of a place outside a crop is NaN.
    """
    start, end = _region(node, axis) if how == "tf_crop_and_resize" else _WHOLE
    places = _source_places(np.arange(size), own, scale, size, how, start, end)
    matrix = np.zeros((size, own))
    if mode == "nearest":
        rounded = _ROUNDINGS[
            node.attribute("nearest_mode", "round_prefer_floor" if node.opset >= 11 else "floor")
        ](places)
        matrix[np.arange(size), np.clip(rounded, 0, own - 1).astype(int)] = 1.0
    else:
        smaller = min(scale, 1.0) if node.attribute("antialias", 0) else 1.0
        reach = {"linear": 1.0, "cubic": 2.0}[mode] / smaller
        coefficient = float(node.attribute("cubic_coeff_a", -0.75))
        for row, place in enumerate(places):
            near = np.arange(int(np.floor(place - reach)) + 1, int(np.ceil(place + reach)))
            near = near if len(near) else np.asarray([int(np.floor(place))])
            distance = np.abs(near - place) * smaller
            weights = np.maximum(0.0, 1.0 - distance) if mode == "linear" else _cubic(distance, coefficient)
            if node.attribute("exclude_outside", 0):
                weights = np.where((near >= 0) & (near < own), weights, 0.0)
                weights = weights / weights.sum()
            elif smaller != 1.0:
                weights = weights / weights.sum()
            np.add.at(matrix[row], np.clip(near, 0, own - 1), weights)
    if how == "tf_crop_and_resize":
        matrix[(places < 0) | (places > own - 1)] = np.nan
    return matrix


_ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


_WHOLE = (0.0, 1.0)


def _region(node: Node, axis: int) -> tuple[float, float]:
    """Return where a crop of an axis starts and ends, as shares of its length."""
    given = node.get(1)
    if given is None or not given.size:
        return _WHOLE
    numbers = node.constant(1, "roi").reshape(-1)
    half = len(numbers) // 2
    axes = [node.normal_axis(each, node[0].rank) for each in node.attribute("axes", range(half))]
    if axis not in axes:
        return _WHOLE
    position = axes.index(axis)
    return float(numbers[position]), float(numbers[position + half])


def _source_places(
    out: Array, own: int, scale: float, size: int, how: str, start: float, end: float
) -> Array:
    """Where in the source each place of the result lies."""
    length = scale * own
    if how == "align_corners":
        return out * (own - 1) / (length - 1) if length != 1 else out * 0.0
    if how == "asymmetric":
        return out / scale
    if how == "tf_crop_and_resize":
        if length > 1:
            return start * (own - 1) + out * (end - start) * (own - 1) / (length - 1)
        return out * 0.0 + 0.5 * (start + end) * (own - 1)
    if how == "pytorch_half_pixel" and length <= 1:
        return out * 0.0
    if how == "half_pixel_symmetric":
        middle = own / 2
        return middle * (1 - size / length) + (out + 0.5) / scale - 0.5
    return (out + 0.5) / scale - 0.5


def _cubic(distance: Array, a: float) -> Array:
    """Keys' kernel; `a` is ONNX's cubic_coeff_a."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def _picks(matrix: Array) -> bool:
    return bool(((matrix == 0) | (matrix == 1)).all() and (matrix.sum(axis=1) == 1).all())


def _nearest(to: Program, x: Value, axis: int, matrix: Array) -> Value:
    return lower.gather(to, x, to.constant(matrix.argmax(axis=1), "int64"), axis)


def _weighted(to: Program, x: Value, axis: int, matrix: Array) -> Value:
    matrix = np.nan_to_num(matrix, nan=0.0)
    if axis == x.rank - 1:
        return lower.matmul(to, x, to.constant(np.ascontiguousarray(matrix.T), x.dtype))
    if axis == x.rank - 2:
        return lower.matmul(to, to.constant(matrix[(None,) * (x.rank - 2)], x.dtype), x)
    order = [each for each in range(x.rank) if each != axis] + [axis]
    moved = lower.matmul(
        to, lower.transpose(to, x, order), to.constant(np.ascontiguousarray(matrix.T), x.dtype)
    )
    return lower.transpose(to, moved, [int(each) for each in np.argsort(order)])


def _outside(node: Node, to: Program, x: Value, sizes: list[int], scales: list[float], how: str) -> Value:
    """Where a crop reaches over the picture's edge its own value stands."""
    if how != "tf_crop_and_resize":
        return x
    value = float(node.attribute("extrapolation_value", 0.0))
    keep = np.ones([1] * x.rank)
    for axis in range(x.rank):
        if _region(node, axis) == _WHOLE:
            continue
        mode = node.attribute("mode", "nearest")
        matrix = _matrix(node, axis, node[0].shape[axis], scales[axis], sizes[axis], how, mode)
        inside = np.isfinite(matrix[:, 0])
        shape = [1] * x.rank
        shape[axis] = len(inside)
        keep = keep * inside.reshape(shape)
    if keep.all():
        return x
    kept = lower.mul(to, x, to.constant(keep, x.dtype))
    return lower.add(to, kept, to.constant((1 - keep) * value, x.dtype)) if value else kept
