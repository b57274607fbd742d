"""Operators that move numbers and compute none."""

from __future__ import annotations

import math

import numpy as np

from edgekit.convert.from_onnx import lower
from edgekit.convert.from_onnx.node import Node, converts
from edgekit.convert.from_onnx.program import Program
from edgekit.convert.from_onnx.values import Value


@converts("Reshape")
def reshape(node: Node, to: Program) -> Value:
    x = node[0]
    wanted = [int(each) for each in node.constant(1, "shape").reshape(-1)]
    if not node.attribute("allowzero", 0):
        wanted = [x.shape[axis] if each == 0 and axis < x.rank else each for axis, each in enumerate(wanted)]
    if -1 in wanted:
        rest = math.prod(each for each in wanted if each != -1)
        wanted[wanted.index(-1)] = x.size // rest if rest else 0
    if math.prod(wanted) != x.size:
        raise node.refused(f"{x.size} elements cannot be {wanted}")
    return lower.reshape(to, x, wanted)


@converts("Flatten")
def flatten(node: Node, to: Program) -> Value:
    x = node[0]
    axis = int(node.attribute("axis", 1))
    axis = axis + x.rank if axis < 0 else axis
    if axis == 1 and x.rank > 1:
        attributes = {"start_axis": 1, "stop_axis": x.rank - 1}
        return (
            x if x.rank == 2 else to.emit("flatten_contiguous_range", {"X": x}, attributes, extra=["XShape"])
        )
    return lower.reshape(to, x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


@converts("Squeeze")
def squeeze(node: Node, to: Program) -> Value:
    x = node[0]
    axes = node.integers("axes", 1)
    if axes is None:
        axes = [axis for axis, size in enumerate(x.shape) if size == 1]
    return lower.squeeze(to, x, [node.normal_axis(axis, x.rank) for axis in axes])


@converts("Unsqueeze")
def unsqueeze(node: Node, to: Program) -> Value:
    x = node[0]
    axes = node.integers("axes", 1) or []
    rank = x.rank + len(axes)
    return lower.unsqueeze(to, x, [node.normal_axis(axis, rank) for axis in axes]) if axes else x


@converts("Transpose")
def transpose(node: Node, to: Program) -> Value:
    x = node[0]
    return lower.transpose(to, x, node.attribute("perm", list(reversed(range(x.rank)))))


@converts("Concat")
def concat(node: Node, to: Program) -> Value:
    values = [node[index] for index in range(len(node.inputs))]
    return lower.concat(to, values, node.axis(0, values[0].rank))


@converts("Split")
def split(node: Node, to: Program) -> list[Value | None]:
    x = node[0]
    axis = node.axis(0, x.rank)
    count = len(node.proto.output)
    sizes = node.integers("split", 1)
    if sizes is None:
        each = -(-x.shape[axis] // count)
        sizes = [each] * (count - 1) + [x.shape[axis] - each * (count - 1)]
    if len(sizes) != count or sum(sizes) != x.shape[axis] or min(sizes) < 0:
        raise node.refused(f"sizes {sizes} of an axis of {x.shape[axis]}, for {count} outputs")
    if count == 1:
        return [x]
    if 0 in sizes:
        ends = np.cumsum(sizes)
        return [
            lower.cut(to, x, axis, int(end) - size, int(end)) for end, size in zip(ends, sizes, strict=True)
        ]
    attributes = {"axis": axis, "sections": sizes, "num": 0}
    return list(to.emit_all("split", {"X": x}, attributes, {"Out": count})["Out"])


@converts("Slice")
def cut(node: Node, to: Program) -> Value:
    x = node[0]
    starts, ends = node.integers("starts", 1), node.integers("ends", 2)
    if starts is None or ends is None:
        raise node.refused("its starts or ends are missing")
    axes = node.integers("axes", 3) or list(range(len(starts)))
    steps = node.integers("steps", 4) or [1] * len(starts)
    ranges = {}
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step == 0:
            raise node.refused("a step of 0")
        axis = node.normal_axis(axis, x.rank)
        ranges[axis] = range(*slice(start, end if end > -(2**62) else None, step).indices(x.shape[axis]))
    if all(each.step == 1 for each in ranges.values()):
        kept = {axis: each for axis, each in ranges.items() if len(each) != x.shape[axis]}
        if not kept:
            return x
        attributes = {
            "axes": list(kept), "starts": [each.start for each in kept.values()],
            "ends": [max(each.stop, each.start) for each in kept.values()], "decrease_axis": [],
            "infer_flags": [1] * len(kept),
        }  # fmt: skip
        return to.emit("slice", {"Input": x}, attributes)
    for axis, each in ranges.items():
        if each.step < 0 and len(each):
            # The same numbers upwards, then turned round.
            low = each[-1]
            step = -each.step
            if step > 1:
                x = lower.strided(to, x, [axis], [low], [each[0] + 1], [step])
            else:
                x = lower.cut(to, x, axis, low, each[0] + 1)
            x = lower.flip(to, x, [axis])
        elif each.step > 1 and len(each):
            x = lower.strided(to, x, [axis], [each.start], [each[-1] + 1], [each.step])
        else:
            x = lower.cut(to, x, axis, each.start, max(each.stop, each.start))
    return x


@converts("Expand")
def expand(node: Node, to: Program) -> Value:
    x = node[0]
    wanted = tuple(int(each) for each in node.constant(1, "shape").reshape(-1))
    return lower.expand(to, x, np.broadcast_shapes(x.shape, wanted))


@converts("Tile")
def tile(node: Node, to: Program) -> Value:
    times = [int(each) for each in node.constant(1, "repeats").reshape(-1)]
    return to.emit("tile", {"X": node[0]}, {"repeat_times": times})


@converts("Pad")
def pad(node: Node, to: Program) -> Value:
    x = node[0]
    pads = node.integers("pads", 1) or []
    axes = node.integers("axes", 3) if node.opset >= 18 else None
    axes = list(range(x.rank)) if axes is None else [node.normal_axis(axis, x.rank) for axis in axes]
    if len(pads) != 2 * len(axes):
        raise node.refused(f"{len(pads)} pads for {len(axes)} axes")
    before, after = [0] * x.rank, [0] * x.rank
    for position, axis in enumerate(axes):
        before[axis], after[axis] = pads[position], pads[position + len(axes)]
    mode = node.attribute("mode", "constant")
    if mode == "constant":
        if node.get(2) is not None:
            value = float(node.constant(2, "constant_value").reshape(-1)[0])
        else:
            value = float(node.attribute("value", 0.0))
        return lower.pad(to, x, before, after, value)
    if mode not in ("reflect", "edge", "wrap"):
        raise node.refused(f"mode {mode!r}")
    for axis in range(x.rank):
        x = _pad_by_copies(node, to, x, axis, before[axis], after[axis], mode)
    return x


def _pad_by_copies(node: Node, to: Program, x: Value, axis: int, before: int, after: int, mode: str) -> Value:
    """Padding with the tensor's own rows, taken by their number: one axis and any amount."""
    size = x.shape[axis]
    if before < 0 or after < 0:
        x = lower.cut(to, x, axis, max(0, -before), size + min(0, after))
        before, after, size = max(0, before), max(0, after), x.shape[axis]
    if not before and not after:
        return x
    if not size:
        raise node.refused("padding of an axis without rows")
    numpy_mode = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}[mode]
    rows = np.pad(np.arange(size), (before, after), mode=numpy_mode)  # type: ignore[call-overload]
    return lower.gather(to, x, to.constant(rows, "int64"), axis)


@converts("DepthToSpace")
def depth_to_space(node: Node, to: Program) -> Value:
    x, block = node[0], int(node.attribute("blocksize"))
    count, channels, height, width = x.shape
    if node.attribute("mode", "DCR") == "CRD":
        return to.emit("pixel_shuffle", {"X": x}, {"upscale_factor": block, "data_format": "NCHW"})
    rest = channels // block**2
    x = lower.reshape(to, x, (count, block, block, rest, height, width))
    x = lower.transpose(to, x, [0, 3, 4, 1, 5, 2])
    return lower.reshape(to, x, (count, rest, height * block, width * block))


@converts("SpaceToDepth")
def space_to_depth(node: Node, to: Program) -> Value:
    x, block = node[0], int(node.attribute("blocksize"))
    count, channels, height, width = x.shape
    x = lower.reshape(to, x, (count, channels, height // block, block, width // block, block))
    x = lower.transpose(to, x, [0, 3, 5, 1, 2, 4])
    return lower.reshape(to, x, (count, channels * block**2, height // block, width // block))


@converts("EyeLike")
def eye_like(node: Node, to: Program) -> Value:
    from onnx import helper

    x = node[0]
    number = node.attribute("dtype")
    dtype = x.dtype if number is None else np.dtype(helper.tensor_dtype_to_np_dtype(int(number)))
    return to.constant(np.eye(x.shape[0], x.shape[1], k=int(node.attribute("k", 0)), dtype=dtype))


@converts("Trilu")
def triangle(node: Node, to: Program) -> Value:
    x = node[0]
    diagonal = 0 if node.get(1) is None else int(node.constant(1, "k").reshape(-1)[0])
    return to.emit("tril_triu", {"X": x}, {"diagonal": diagonal, "lower": not node.attribute("upper", 1)})


@converts("ReverseSequence")
def reverse_sequence(node: Node, to: Program) -> Value:
    x = node[0]
    lengths = node.constant(1, "sequence_lens").reshape(-1)
    batch, time = node.axis(1, x.rank, "batch_axis"), node.axis(0, x.rank, "time_axis")
    rows = np.tile(np.arange(x.shape[time]), (x.shape[batch], 1))
    for index, length in enumerate(lengths):
        rows[index, :length] = rows[index, :length][::-1]
    order = [batch, time, *(axis for axis in range(x.rank) if axis not in (batch, time))]
    moved = lower.transpose(to, x, order)
    flat = lower.reshape(to, moved, (moved.shape[0] * moved.shape[1], *moved.shape[2:]))
    numbers = (rows + np.arange(len(rows))[:, None] * x.shape[time]).reshape(-1)
    taken = lower.reshape(to, lower.gather(to, flat, to.constant(numbers, "int64"), 0), moved.shape)
    return lower.transpose(to, taken, list(np.argsort(order)))
