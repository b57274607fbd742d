"""A legacy program's two files, `.pdmodel` and `.pdiparams`, as Paddle 2 and 3 read them."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.convert.from_onnx.values import Array, Value

# paddle.framework.proto, VarType.Type
TYPES = {
    "bool": 0, "int16": 1, "int32": 2, "int64": 3, "float32": 5, "float64": 6, "uint8": 20, "int8": 21,
}  # fmt: skip
_FEED, _FETCH = 9, 10
_CALL_STACK = "op_callstack"


def write_program(
    content: bytes,
    given: Sequence[Mapping[str, Any]],
    renamed: Mapping[str, str],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> tuple[bytes, set[str]]:
    """Add feeds, fetches and names to a program, and drop what nobody reads.

    Args:
        content: The program as Paddle serialises it.
        given: The attributes that each of its operators was made with.
        renamed: New names of its inputs and outputs by their old ones.
        inputs: New names of the inputs, in order.
        outputs: New names of the outputs, in order.

    Returns:
        The serialised program, and the old names of what its operators read.
    """
    from paddle.base.proto import framework_pb2

    message = framework_pb2.ProgramDesc.FromString(content)
    block = message.blocks[0]
    fetched = {old for old, new in renamed.items() if new in outputs}
    for op, attributes in zip(block.ops, given, strict=True):
        _tidy(op, attributes, framework_pb2)
    _drop_unread(block, fetched)
    read = {name for op in block.ops for slot in op.inputs for name in slot.arguments}
    named = read | renamed.keys()
    named |= {name for op in block.ops for slot in op.outputs for name in slot.arguments}
    kept = [variable for variable in block.vars if variable.name in named]
    for variable in kept:
        variable.name = renamed.get(variable.name, variable.name)
    for op in block.ops:
        for slot in (*op.inputs, *op.outputs):
            names = [renamed.get(name, name) for name in slot.arguments]
            del slot.arguments[:]
            slot.arguments.extend(names)
    feeds = [_feed(name, column, framework_pb2) for column, name in enumerate(inputs)]
    fetches = [_fetch(name, column, framework_pb2) for column, name in enumerate(outputs)]
    ops = [*feeds, *block.ops, *fetches]
    # Every message is copied on extend, so the old ones can go first only after that.
    whole = framework_pb2.BlockDesc(idx=0, parent_idx=-1, ops=ops, vars=kept, forward_block_idx=-1)
    for name, number in (("feed", _FEED), ("fetch", _FETCH)):
        holder = whole.vars.add(name=name, persistable=True)
        holder.type.type = number
    block.CopyFrom(whole)
    return message.SerializeToString(deterministic=True), read


def _tidy(op: Any, given: Mapping[str, Any], pb: Any) -> None:
    """Drop what belongs to Python, and add the attributes that Paddle keeps out of its files."""
    kept = [each for each in op.attrs if each.name != _CALL_STACK]
    del op.attrs[:]
    op.attrs.extend(kept)
    present = {each.name for each in kept}
    for name, value in given.items():
        if name in present:
            continue
        attribute = op.attrs.add(name=name)
        if isinstance(value, bool):
            attribute.type, attribute.b = pb.BOOLEAN, value
        elif isinstance(value, int):
            attribute.type, attribute.i = pb.INT, value
        elif isinstance(value, float):
            attribute.type, attribute.f = pb.FLOAT, value
        elif isinstance(value, str):
            attribute.type, attribute.s = pb.STRING, value
        else:
            raise AssertionError(f"{op.type}: {name}")


def _drop_unread(block: Any, fetched: set[str]) -> None:
    """Drop operators whose results nobody reads: the parts of recognised patterns."""
    read = set(fetched)
    for index in reversed(range(len(block.ops))):
        op = block.ops[index]
        if any(name in read for slot in op.outputs for name in slot.arguments):
            read.update(name for slot in op.inputs for name in slot.arguments)
        else:
            del block.ops[index]


def _feed(name: str, column: int, pb: Any) -> Any:
    op = pb.OpDesc(type="feed")
    op.inputs.add(parameter="X", arguments=["feed"])
    op.outputs.add(parameter="Out", arguments=[name])
    op.attrs.add(name="col", type=pb.INT, i=column)
    return op


def _fetch(name: str, column: int, pb: Any) -> Any:
    op = pb.OpDesc(type="fetch")
    op.inputs.add(parameter="X", arguments=[name])
    op.outputs.add(parameter="Out", arguments=["fetch"])
    op.attrs.add(name="col", type=pb.INT, i=column)
    return op


def write_parameters(parameters: Mapping[str, Value], path: Path) -> None:
    """Write a `.pdiparams`: every tensor in the order of the names, as Paddle's `save_combine` does.

    The format is that of `SerializeToStream` in paddle/fluid/framework/lod_tensor.cc and tensor_util.cc:
    versions, no levels of detail, the tensor's description as a message, the numbers.
    """
    from paddle.base.proto import framework_pb2

    with path.open("wb") as file:
        for name in sorted(parameters):
            array: Array = np.ascontiguousarray(parameters[name].array())
            description = framework_pb2.VarType.TensorDesc(
                data_type=TYPES[array.dtype.name], dims=list(parameters[name].shape)
            ).SerializeToString()
            file.write(struct.pack("<IQIi", 0, 0, 0, len(description)))
            file.write(description)
            assert array.size == math.prod(parameters[name].shape)
            file.write(array.reshape(-1).view(np.uint8).data if array.size else b"")
