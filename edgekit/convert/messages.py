"""Operators of a legacy Paddle program, as its protobuf message holds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def arguments(slots: Any, parameter: str) -> list[str]:
    """Return the variables of an operator's input or output; none where it has no such one."""
    return next((list(slot.arguments) for slot in slots if slot.parameter == parameter), [])


def argument(slots: Any, parameter: str) -> str | None:
    """Return the first variable of an operator's input or output; None where it has none."""
    return next(iter(arguments(slots, parameter)), None)


def slice_operator(source: str, part: str, *, axis: int, start: int, end: int, drops_axis: bool) -> Any:
    """Return the message of an operator that takes a part of a variable along one axis.

    Args:
        source: The variable.
        part: Name of the result.
        axis: Axis that is cut.
        start: First index of the part.
        end: Index after the last one.
        drops_axis: Whether the result lacks the axis, of which one index is left.
    """
    from paddle.base.proto import framework_pb2

    op = framework_pb2.OpDesc(type="slice")
    op.inputs.add(parameter="Input", arguments=[source])
    op.outputs.add(parameter="Out", arguments=[part])
    numbers = {
        "axes": [axis], "starts": [start], "ends": [end], "decrease_axis": [axis] if drops_axis else [],
        "infer_flags": [1],
    }  # fmt: skip
    for name, ints in numbers.items():
        op.attrs.add(name=name, type=framework_pb2.INTS, ints=ints)
    return op


def replace_operators(block: Any, operators: Sequence[Any]) -> None:
    """Give a block other operators, which may be its own."""
    from paddle.base.proto import framework_pb2

    whole = framework_pb2.BlockDesc(ops=operators)  # copied before the old ones go
    del block.ops[:]
    block.ops.extend(whole.ops)
