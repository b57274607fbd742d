"""A program whose batch is free, out of those of one model for two and for three pictures.

Sizes that differ between them are the batch's, wherever an exporter has put it. Whether the results are then
right is for the caller to check.
"""

from __future__ import annotations

from typing import Any

from edgekit.convert.messages import argument, replace_operators, slice_operator


def with_free_batch(two: Any, three: Any) -> bool:
    """Make sizes of `two` free that differ from those of `three`; both are messages of whole programs.

    Returns:
        Whether every difference was such a size; `two` is of no use otherwise.
    """
    from paddle.base.proto import framework_pb2

    own, other = two.blocks[0], three.blocks[0]
    sizes = {variable.name: _dims(variable) for variable in own.vars}
    others = {variable.name: _dims(variable) for variable in other.vars}
    if [_signature(op) for op in own.ops] != [_signature(op) for op in other.ops]:
        return False
    repeated = {}
    for variable in own.vars:
        differing = _differing(sizes[variable.name], others.get(variable.name))
        if differing is None:
            return False
        if variable.persistable and differing:
            repeated[variable.name] = differing[0]
        elif differing:
            variable.type.dense_tensor.tensor.dims[differing[0]] = -1
    for op, again in zip(own.ops, other.ops, strict=True):
        if op.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True):
            continue
        if op.type != "reshape2":
            return False
        result = argument(op.outputs, "Out")
        differing = _differing(sizes[result], others[result])
        if not differing:
            return False
        said = list(sizes[result])
        said[differing[0]] = -1
        for attribute in op.attrs:
            if attribute.name == "shape":
                attribute.ints[:] = said
    for name, axis in repeated.items():
        _repeat(own, name, axis, sizes[name], framework_pb2)
    return True


def _dims(variable: Any) -> tuple[int, ...]:
    return tuple(variable.type.dense_tensor.tensor.dims)


def _signature(op: Any) -> tuple[Any, ...]:
    """Type and tensors of an operator."""
    slots = (*op.inputs, *op.outputs)
    return op.type, *((slot.parameter, tuple(slot.arguments)) for slot in slots)


def _differing(own: tuple[int, ...], other: tuple[int, ...] | None) -> list[int] | None:
    """The axis along which two shapes differ; empty for equal ones, None where more is different."""
    if other is None or len(own) != len(other):
        return None
    axes = [axis for axis, (a, b) in enumerate(zip(own, other, strict=True)) if a != b]
    # A size of two pictures is twice one picture's, and one of three is three times that.
    return axes if len(axes) < 2 and all(3 * own[axis] == 2 * other[axis] for axis in axes) else None


def _repeat(block: Any, name: str, axis: int, dims: tuple[int, ...], pb: Any) -> None:
    """Give the readers of a parameter that has a row for each picture its first row, repeated as needed."""
    feed = next(op.outputs[0].arguments[0] for op in block.ops if op.type == "feed")
    described = next(variable for variable in block.vars if variable.name == name)
    one = [size // 2 if index == axis else size for index, size in enumerate(dims)]
    free = [-1 if index == axis else size for index, size in enumerate(dims)]
    data_type = described.type.dense_tensor.tensor.data_type
    made = {}
    for part, shape in (("first", one), ("zeros", free), ("repeated", free)):
        variable = block.vars.add()
        variable.CopyFrom(described)
        variable.name, variable.persistable = f"{name}.{part}", False
        variable.type.dense_tensor.tensor.dims[:] = shape
        made[part] = variable.name
    first = slice_operator(name, made["first"], axis=axis, start=0, end=one[axis], drops_axis=False)
    zeros = pb.OpDesc(type="fill_constant_batch_size_like")
    zeros.inputs.add(parameter="Input", arguments=[feed])
    zeros.outputs.add(parameter="Out", arguments=[made["zeros"]])
    zeros.attrs.add(name="shape", type=pb.INTS, ints=free)
    zeros.attrs.add(name="value", type=pb.FLOAT, f=0.0)
    zeros.attrs.add(name="str_value", type=pb.STRING, s="0.0")
    zeros.attrs.add(name="force_cpu", type=pb.BOOLEAN, b=False)
    for attribute, number in (("dtype", data_type), ("input_dim_idx", 0), ("output_dim_idx", axis)):
        zeros.attrs.add(name=attribute, type=pb.INT, i=number)
    repeated = pb.OpDesc(type="elementwise_add")
    repeated.inputs.add(parameter="X", arguments=[made["zeros"]])
    repeated.inputs.add(parameter="Y", arguments=[made["first"]])
    repeated.outputs.add(parameter="Out", arguments=[made["repeated"]])
    repeated.attrs.add(name="axis", type=pb.INT, i=-1)
    for op in block.ops:
        for slot in op.inputs:
            slot.arguments[:] = [made["repeated"] if each == name else each for each in slot.arguments]
    behind = next(index for index, op in enumerate(block.ops) if op.type != "feed")
    replace_operators(block, [*block.ops[:behind], first, zeros, repeated, *block.ops[behind:]])
