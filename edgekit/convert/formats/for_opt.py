"""Changes to a legacy Paddle program that opt aborts on, or that Paddle Lite would compute wrongly.

Paddle and paddle2onnx compute the changed program as before. Seen with opt and Paddle Lite 2.12.
"""

from __future__ import annotations

from typing import Any

from edgekit.convert.messages import argument, arguments, replace_operators, slice_operator

# What Paddle 3 leaves out and opt aborts without ("No attributes called threshold found for relu6").
_LEFT_OUT = {"relu6": ("threshold", 6.0), "swish": ("beta", 1.0)}
# Attribute, its type and the message's fields for numbers of a type, by framework.proto's VarType.
_TYPED = {
    2: ("int32_values", "INTS", "ints", "i"),
    3: ("int64_values", "LONGS", "longs", "i"),
    5: ("fp32_values", "FLOATS", "floats", "r"),
}


def mend(program: Any) -> list[str]:
    """Change a program's message in place; return a sentence for each kind of change."""
    changes = {
        f"{kind} given their {name} of {value:g}": complete(program, kind, name, value)
        for kind, (name, value) in _LEFT_OUT.items()
    }
    changes |= {
        "pad3d written so that opt does not exchange height and width": keep_paddings(program),
        "instance_norm given the outputs that opt wants": complete_norms(program),
        "assign_value given their numbers as opt reads them": type_numbers(program),
        "unbind written as slices, since Paddle Lite writes beyond their outputs": slice_unbound(program),
    }
    return [f"{count} {change}" for change, count in changes.items() if count]


def complete(program: Any, kind: str, name: str, value: float) -> int:
    """Give all operators of a kind an attribute that they lack; return the number of changed operators."""
    from paddle.base.proto import framework_pb2

    changed = 0
    for op in _operators(program):
        if op.type == kind and name not in {attribute.name for attribute in op.attrs}:
            op.attrs.add(name=name, type=framework_pb2.FLOAT, f=value)
            changed += 1
    return changed


def keep_paddings(program: Any) -> int:
    """Write each squeeze2 after a pad3d as reshape2; return their number.

    Of pad3d between unsqueeze2 and squeeze2, as Paddle writes the padding of pictures, opt makes a pad2d that
    has height and width exchanged.
    """
    from paddle.base.proto import framework_pb2

    block = program.blocks[0]
    variables = {variable.name: variable for variable in block.vars}
    padded = {
        name for op in block.ops if op.type == "pad3d" for slot in op.outputs for name in slot.arguments
    }
    changed = 0
    for op in block.ops:
        if op.type != "squeeze2" or argument(op.inputs, "X") not in padded:
            continue
        sizes = list(variables[argument(op.outputs, "Out")].type.dense_tensor.tensor.dims)
        if len(sizes) != 4 or sizes[2:].count(-1) > 1:
            continue
        op.type = "reshape2"
        del op.attrs[:]
        op.attrs.add(name="shape", type=framework_pb2.INTS, ints=[0, 0, *sizes[2:]])
        if argument(op.outputs, "XShape") is None:
            # opt aborts without it, and Paddle 3 leaves it out of squeeze2.
            shape = block.vars.add()
            shape.CopyFrom(variables[argument(op.inputs, "X")])
            shape.name = f"{shape.name}.xshape"
            op.outputs.add(parameter="XShape", arguments=[shape.name])
        changed += 1
    return changed


def complete_norms(program: Any) -> int:
    """Give every instance_norm the outputs that Paddle 3 leaves out; return the number of changed operators.

    Without them opt aborts.
    """
    block = program.blocks[0]
    variables = {variable.name: variable for variable in block.vars}
    changed = 0
    for op in block.ops:
        if op.type != "instance_norm" or argument(op.outputs, "SavedMean") is not None:
            continue
        result = variables[argument(op.outputs, "Y")]
        for parameter in ("SavedMean", "SavedVariance"):
            variable = block.vars.add()
            variable.CopyFrom(result)
            variable.name = f"{result.name}.{parameter}"
            dims = variable.type.dense_tensor.tensor.dims
            del dims[:]
            dims.append(-1)
            op.outputs.add(parameter=parameter, arguments=[variable.name])
        changed += 1
    return changed


def type_numbers(program: Any) -> int:
    """Write the numbers of assign_value, which Paddle 3 keeps as scalars, as a list of their type too.

    opt reads that alone, and Paddle Lite finds the constant empty (`Check failed: op_->CheckShape()`).
    """
    from paddle.base.proto import framework_pb2

    changed = 0
    for op in _operators(program):
        given = {attribute.name: attribute for attribute in op.attrs}
        if op.type != "assign_value" or "values" not in given or given["dtype"].i not in _TYPED:
            continue
        name, kind, field, scalar = _TYPED[given["dtype"].i]
        if name in given:
            continue
        typed = op.attrs.add(name=name, type=getattr(framework_pb2, kind))
        getattr(typed, field).extend(getattr(one, scalar) for one in given["values"].scalars)
        changed += 1
    return changed


def slice_unbound(program: Any) -> int:
    """Write each unbind along the first axis as slices; return their number.

    Paddle Lite copies as many times as the axis is long, beyond the end of each output, and is killed or
    computes with what it has written over.
    """
    block = program.blocks[0]
    variables = {variable.name: variable for variable in block.vars}
    operators: list[Any] = []
    changed = 0
    for op in block.ops:
        source, parts = argument(op.inputs, "X"), arguments(op.outputs, "Out")
        if op.type != "unbind" or source is None or len(parts) < 2 or not _is_first(op, variables[source]):
            operators.append(op)
            continue
        operators += [
            slice_operator(source, part, axis=0, start=number, end=number + 1, drops_axis=True)
            for number, part in enumerate(parts)
        ]
        changed += 1
    if changed:
        replace_operators(block, operators)
    return changed


def _is_first(op: Any, source: Any) -> bool:
    axis = next((attribute.i for attribute in op.attrs if attribute.name == "axis"), 0)
    return axis in (0, -len(source.type.dense_tensor.tensor.dims))


def _operators(program: Any) -> list[Any]:
    return [op for block in program.blocks for op in block.ops]
