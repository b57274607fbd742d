"""Reading and writing at indices."""

from __future__ import annotations

import math

import numpy as np

from edgekit.convert.from_onnx import lower
from edgekit.convert.from_onnx.node import Node, converts
from edgekit.convert.from_onnx.program import Program
from edgekit.convert.from_onnx.values import Array, Value


def counted_from_front(to: Program, indices: Value, size: int) -> Value:
    """Indices with negative ones counted from the end, as int64."""
    if indices.is_constant and indices.variable is None:
        numbers = indices.array().astype(np.int64)
        return to.constant(np.where(numbers < 0, numbers + size, numbers))
    indices = lower.cast(to, indices, "int64")
    negative = lower.cast(to, lower.binary(to, "less_than", indices, to.constant([0], "int64")), "int64")
    return lower.add(to, indices, lower.mul(to, negative, to.constant([size], "int64")))


@converts("Gather")
def gather(node: Node, to: Program) -> Value:
    x, indices = node[0], node[1]
    axis = node.axis(0, x.rank)
    number = indices.scalar()
    if number is not None and indices.rank == 0:
        # One row: a slice, which needs no tensor of indices.
        start = int(number) + (x.shape[axis] if number < 0 else 0)
        if not 0 <= start < x.shape[axis]:
            raise node.refused(f"index {int(number)} of an axis of {x.shape[axis]}")
        attributes = {
            "axes": [axis], "starts": [start], "ends": [start + 1], "decrease_axis": [axis],
            "infer_flags": [1],
        }  # fmt: skip
        return to.emit("slice", {"Input": x}, attributes)
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    flat = lower.reshape(to, counted_from_front(to, indices, x.shape[axis]), (indices.size,))
    return lower.reshape(to, lower.gather(to, x, flat, axis), shape)


@converts("GatherElements")
def gather_elements(node: Node, to: Program) -> Value:
    x, indices = node[0], node[1]
    axis = node.axis(0, x.rank)
    index = counted_from_front(to, indices, x.shape[axis])
    return to.emit("take_along_axis", {"Input": x, "Index": index}, {"Axis": axis}, out="Result")


@converts("GatherND")
def gather_nd(node: Node, to: Program) -> Value:
    x, indices = node[0], node[1]
    batch = int(node.attribute("batch_dims", 0))
    depth = indices.shape[-1]
    sizes = x.shape[batch : batch + depth]
    if indices.is_constant and indices.variable is None:
        numbers = indices.array().astype(np.int64)
        index: Value = to.constant(np.where(numbers < 0, numbers + np.asarray(sizes), numbers))
    else:
        index = lower.cast(to, indices, "int64")
        negative = lower.cast(to, lower.binary(to, "less_than", index, to.constant([0], "int64")), "int64")
        index = lower.add(to, index, lower.mul(to, negative, to.constant(np.asarray(sizes, np.int64))))
    if batch:
        lead = indices.shape[:batch]
        grid = np.moveaxis(np.asarray(np.indices(lead)), 0, -1).reshape(
            *lead, *[1] * (indices.rank - batch - 1), batch
        )
        grid = np.broadcast_to(grid, (*indices.shape[:-1], batch)).astype(np.int64)
        index = lower.concat(to, [to.constant(np.ascontiguousarray(grid)), index], indices.rank - 1)
    return to.emit("gather_nd", {"X": x, "Index": index}, {})


_COMBINE = {
    "add": "elementwise_add", "mul": "elementwise_mul", "max": "elementwise_max", "min": "elementwise_min",
}  # fmt: skip


@converts("ScatterND")
def scatter_nd(node: Node, to: Program) -> Value:
    x, indices, updates = node[0], node[1], node[2]
    depth = indices.shape[-1]
    numbers = node.constant(1, "indices").astype(np.int64)
    numbers = np.where(numbers < 0, numbers + np.asarray(x.shape[:depth]), numbers)
    # By rows: the tensor as a list of what one index names, overwritten at some.
    flat = np.ravel_multi_index(tuple(numbers.reshape(-1, depth).T), x.shape[:depth])
    return _scatter(node, to, math.prod(x.shape[:depth]), flat, updates)


@converts("ScatterElements", "Scatter")
def scatter_elements(node: Node, to: Program) -> Value:
    x = node[0]
    axis = node.axis(0, x.rank)
    numbers = node.constant(1, "indices").astype(np.int64)
    numbers = np.where(numbers < 0, numbers + x.shape[axis], numbers)
    grid = list(np.indices(numbers.shape))
    grid[axis] = numbers
    flat = np.ravel_multi_index(grid, x.shape).reshape(-1)
    return _scatter(node, to, x.size, flat, node[2])


def _scatter(node: Node, to: Program, rows: int, places: Array, updates: Value) -> Value:
    """Rows of the first input overwritten by the updates, or combined with them, one after the other."""
    x, reduction = node[0], node.attribute("reduction", "none")
    if reduction == "none":
        return lower.reshape(to, overwrite_rows(to, x, rows, places, updates), x.shape)
    width = x.size // rows
    news = lower.reshape(to, updates, (len(places), width))
    left = np.arange(len(places))
    while len(left):
        # Each round takes the first update that is left for every row.
        _, first = np.unique(places[left], return_index=True)
        chosen = left[np.sort(first)]
        left = np.setdiff1d(left, chosen)
        there = lower.gather(to, lower.reshape(to, x, (rows, width)), to.constant(places[chosen], "int64"), 0)
        new = lower.gather(to, news, to.constant(chosen, "int64"), 0)
        both = lower.binary(to, _COMBINE[reduction], there, new)
        x = lower.reshape(to, overwrite_rows(to, x, rows, places[chosen], both), node[0].shape)
    return x


def overwrite_rows(to: Program, x: Value, rows: int, places: Array, updates: Value) -> Value:
    """x as [rows, …] with the rows at `places` taken from the updates, the last of several counts."""
    width = x.size // rows
    source = np.arange(rows)
    source[places] = rows + np.arange(len(places))
    own = lower.reshape(to, x, (rows, width))
    new = lower.reshape(to, updates, (len(places), width))
    return lower.gather(to, lower.concat(to, [own, new], 0), to.constant(source, "int64"), 0)


@converts("OneHot")
def one_hot(node: Node, to: Program) -> Value:
    indices, depth = node[0], int(node.constant(1, "depth").reshape(-1)[0])
    off, on = (float(each) for each in node.constant(2, "values").reshape(-1))
    dtype = node[2].dtype
    rank = indices.rank + 1
    axis = node.axis(-1, rank)
    classes = counted_from_front(to, lower.cast(to, indices, "int64"), depth)
    shape = [1] * rank
    shape[axis] = depth
    numbers = to.constant(np.arange(depth, dtype=np.int64).reshape(shape))
    same = lower.binary(to, "equal", lower.unsqueeze(to, classes, [axis]), numbers)
    hot = lower.cast(to, same, "float32")
    return lower.cast(to, lower.scale(to, hot, on - off, off), dtype)


@converts("RoiAlign")
def roi_align(node: Node, to: Program) -> Value:
    if node.attribute("mode", "avg") != "avg":
        raise node.refused("mode 'max'")
    x, boxes = node[0], node[1]
    owners = node.constant(2, "batch_indices").reshape(-1).astype(np.int64)
    if (np.diff(owners) < 0).any():
        raise node.refused("boxes that are not in the order of their pictures")
    counts = np.bincount(owners, minlength=x.shape[0]).astype(np.int32)
    default = "half_pixel" if node.opset >= 16 else "output_half_pixel"
    attributes = {
        "pooled_height": int(node.attribute("output_height", 1)),
        "pooled_width": int(node.attribute("output_width", 1)),
        "spatial_scale": float(node.attribute("spatial_scale", 1.0)),
        "sampling_ratio": int(node.attribute("sampling_ratio", 0)) or -1,
        "aligned": node.attribute("coordinate_transformation_mode", default) == "half_pixel",
    }
    inputs = {"X": x, "ROIs": boxes, "RoisNum": to.constant(counts)}
    return to.emit("roi_align", inputs, attributes)


@converts("Compress")
def compress(node: Node, to: Program) -> Value:
    x = node[0]
    chosen = np.flatnonzero(node.constant(1, "condition"))
    if node.attribute("axis") is None:
        return lower.gather(to, lower.reshape(to, x, (x.size,)), to.constant(chosen, "int64"), 0)
    return lower.gather(to, x, to.constant(chosen, "int64"), node.axis(0, x.rank))


@converts("Col2Im")
def columns_to_picture(node: Node, to: Program) -> Value:
    """Blocks added where they overlap: for each place of a block, where it goes, is known beforehand."""
    x = node[0]
    picture = [int(each) for each in node.constant(1, "image_shape").reshape(-1)]
    block = [int(each) for each in node.constant(2, "block_shape").reshape(-1)]
    rank = len(picture)
    strides, dilations = node.attribute("strides", [1] * rank), node.attribute("dilations", [1] * rank)
    pads = node.attribute("pads", [0] * 2 * rank)
    padded = [size + pads[axis] + pads[axis + rank] for axis, size in enumerate(picture)]
    counts = [
        (size - (side - 1) * dilation - 1) // stride + 1
        for size, side, dilation, stride in zip(padded, block, dilations, strides, strict=True)
    ]
    size, area = math.prod(block) * math.prod(counts), math.prod(padded)
    if size * area > 2**24:
        raise node.refused("its matrix is too large")
    inside, where = np.indices(block).reshape(rank, -1), np.indices(counts).reshape(rank, -1)
    places = [
        inside[axis][:, None] * dilations[axis] + where[axis][None] * strides[axis] for axis in range(rank)
    ]
    matrix = np.zeros((size, area))
    matrix[np.arange(size), np.ravel_multi_index(places, padded).reshape(-1)] = 1.0
    channels = x.shape[1] // math.prod(block)
    flat = lower.reshape(to, x, (x.shape[0], channels, size))
    full = lower.reshape(
        to, lower.matmul(to, flat, to.constant(matrix, x.dtype)), (x.shape[0], channels, *padded)
    )
    return lower.pad(
        to, full, [0, 0, *(-each for each in pads[:rank])], [0, 0, *(-each for each in pads[rank:])]
    )
