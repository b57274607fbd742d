"""Convolutions and transposed convolutions of one, two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.convert.from_onnx import lower
from edgekit.convert.from_onnx.node import Node, converts
from edgekit.convert.from_onnx.program import Program
from edgekit.convert.from_onnx.values import Value


def paddings(node: Node, sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int],
             dilations: Sequence[int]) -> tuple[list[int], list[int]]:  # fmt: skip
    """Padding before and after each axis, also where the node leaves it to `auto_pad`."""
    rank = len(sizes)
    auto = node.attribute("auto_pad", "NOTSET")
    if auto in ("NOTSET", ""):
        pads = node.attribute("pads", [0] * 2 * rank)
        return pads[:rank], pads[rank:]
    if auto == "VALID":
        return [0] * rank, [0] * rank
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        raise node.refused(f"auto_pad {auto!r}")
    before, after = [], []
    for size, side, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        total = max(0, (-(-size // stride) - 1) * stride + (side - 1) * dilation + 1 - size)
        small, large = total // 2, total - total // 2
        before.append(small if auto == "SAME_UPPER" else large)
        after.append(large if auto == "SAME_UPPER" else small)
    return before, after


def said_paddings(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """As Paddle takes them: one number an axis where both sides are alike, else pairs."""
    if list(before) == list(after):
        return list(before)
    return [each for pair in zip(before, after, strict=True) for each in pair]


@converts("Conv")
def convolve(node: Node, to: Program) -> Value:
    x, weight = node[0], node[1]
    rank = x.rank - 2
    if not 1 <= rank <= 3 or weight.rank != x.rank:
        raise node.refused(f"a convolution of {rank} dimensions")
    strides = node.attribute("strides", [1] * rank)
    dilations = node.attribute("dilations", [1] * rank)
    groups = int(node.attribute("group", 1))
    before, after = paddings(node, x.shape[2:], weight.shape[2:], strides, dilations)
    if min(*before, *after) < 0:
        raise node.refused("negative padding")
    one = rank == 1
    if one:
        x, weight = lower.unsqueeze(to, x, [2]), lower.unsqueeze(to, weight, [2])
        strides, dilations, before, after = [1, *strides], [1, *dilations], [0, *before], [0, *after]
    depthwise = rank <= 2 and groups > 1 and groups == x.shape[1] and weight.shape[0] % groups == 0
    kind = "conv3d" if rank == 3 else "depthwise_conv2d" if depthwise else "conv2d"
    attributes = {
        "strides": strides, "paddings": said_paddings(before, after), "dilations": dilations,
        "groups": groups, "padding_algorithm": "EXPLICIT", "data_format": "NCDHW" if rank == 3 else "NCHW",
    }  # fmt: skip
    result = to.emit(kind, {"Input": x, "Filter": weight}, attributes, out="Output")
    if node.get(2) is not None:
        result = add_bias(to, result, node[2])
    return lower.squeeze(to, result, [2]) if one else result


def add_bias(to: Program, x: Value, bias: Value) -> Value:
    """A number for each channel."""
    return to.emit("elementwise_add", {"X": x, "Y": bias}, {"axis": 1})


@converts("ConvTranspose")
def convolve_transposed(node: Node, to: Program) -> Value:
    x, weight = node[0], node[1]
    rank = x.rank - 2
    if not 1 <= rank <= 3 or weight.rank != x.rank:
        raise node.refused(f"a transposed convolution of {rank} dimensions")
    strides = node.attribute("strides", [1] * rank)
    dilations = node.attribute("dilations", [1] * rank)
    groups = int(node.attribute("group", 1))
    extra = node.attribute("output_padding", [0] * rank)
    kernel = weight.shape[2:]
    # Without padding the result is this large; padding cuts it, extra rows are computed like the others.
    full = [
        (size - 1) * stride + (side - 1) * dilation + 1
        for size, stride, side, dilation in zip(x.shape[2:], strides, kernel, dilations, strict=True)
    ]
    before, after = _cuts(node, x.shape[2:], full, strides, extra)
    sizes = [each + more - first - last
             for each, more, first, last in zip(full, extra, before, after, strict=True)]  # fmt: skip
    one = rank == 1
    if one:
        x, weight = lower.unsqueeze(to, x, [2]), lower.unsqueeze(to, weight, [2])
        strides, dilations, before, after = [1, *strides], [1, *dilations], [0, *before], [0, *after]
        full, sizes = [1, *full], [1, *sizes]
    # Sizes left by equal padding on both sides, beside the wanted sizes.
    plain = min(*before, *after) >= 0 and all(
        0 <= size - (each - 2 * first) < max(stride, dilation)
        for size, each, first, stride, dilation in zip(sizes, full, before, strides, dilations, strict=True)
    )
    attributes = {
        "strides": strides, "dilations": dilations, "groups": groups, "padding_algorithm": "EXPLICIT",
        "data_format": "NCDHW" if rank == 3 else "NCHW", "output_size": [], "output_padding": [],
    }  # fmt: skip
    kind = "conv3d_transpose" if rank == 3 else "conv2d_transpose"
    if plain:
        more = [size - (each - 2 * first) for size, each, first in zip(sizes, full, before, strict=True)]
        attributes |= {"paddings": before, "output_padding": more if any(more) else []}
        result = to.emit(kind, {"Input": x, "Filter": weight}, attributes, out="Output")
    else:
        attributes |= {"paddings": [0] * len(sizes)}
        result = to.emit(kind, {"Input": x, "Filter": weight}, attributes, out="Output")
        ends = [first + size - each for first, size, each in zip(before, sizes, full, strict=True)]
        result = lower.pad(to, result, [0, 0, *(-each for each in before)], [0, 0, *ends])
    if node.get(2) is not None:
        result = add_bias(to, result, node[2])
    return lower.squeeze(to, result, [2]) if one else result


def _cuts(node: Node, sizes: Sequence[int], full: Sequence[int], strides: Sequence[int],
          extra: Sequence[int]) -> tuple[list[int], list[int]]:  # fmt: skip
    """Rows that padding takes away before and after each axis."""
    rank = len(full)
    auto = node.attribute("auto_pad", "NOTSET")
    wanted = node.attribute("output_shape")
    if wanted is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [size * stride for size, stride in zip(sizes, strides, strict=True)]
    if wanted is None:
        pads = [0] * 2 * rank if auto == "VALID" else node.attribute("pads", [0] * 2 * rank)
        return pads[:rank], pads[rank:]
    wanted = wanted[-rank:]
    before, after = [], []
    for each, more, size in zip(full, extra, wanted, strict=True):
        total = each + more - size
        # SAME_UPPER takes the larger half at the end, everything else at the beginning; rows that are missing
        # come at the end.
        first = 0 if total < 0 else total // 2 if auto == "SAME_UPPER" else total - total // 2
        before.append(first)
        after.append(total - first)
    return before, after


@converts("DeformConv")
def convolve_deformed(node: Node, to: Program) -> Value:
    x, weight, offset = node[0], node[1], node[2]
    if x.rank != 4:
        raise node.refused(f"a deformed convolution of {x.rank - 2} dimensions")
    strides, dilations = node.attribute("strides", [1, 1]), node.attribute("dilations", [1, 1])
    pads = node.attribute("pads", [0] * 4)
    if pads[:2] != pads[2:]:
        raise node.refused("padding that differs between the sides")
    groups = int(node.attribute("offset_group", 1))
    mask = node.get(4)
    if mask is None:
        import numpy as np

        shape = (offset.shape[0], offset.shape[1] // 2, *offset.shape[2:])
        mask = to.constant(np.ones(shape, x.dtype))
    attributes = {
        "strides": strides, "paddings": pads[:2], "dilations": dilations, "im2col_step": 1,
        "groups": int(node.attribute("group", 1)), "deformable_groups": groups,
    }  # fmt: skip
    inputs = {"Input": x, "Filter": weight, "Offset": offset, "Mask": mask}
    result = to.emit("deformable_conv", inputs, attributes, out="Output")
    bias = node.get(3)
    return result if bias is None else add_bias(to, result, bias)
