"""Operators that opt takes and Paddle Lite computes wrongly or crashes on: no `.nb` is made of them.

Seen with opt and Paddle Lite 2.12 on x86 (scripts/conformance.py --lite).
"""

from __future__ import annotations

from typing import Any

from edgekit.convert.messages import arguments

_FLOAT64 = 6
_NO_OPERATORS = {"feed", "fetch"}


def lite_faults(program: Any) -> dict[str, str]:
    """Return the operators of a legacy program that Paddle Lite computes wrongly, with their faults."""
    faults: dict[str, str] = {}
    for block in program.blocks:
        variables = {variable.name: variable.type.dense_tensor.tensor for variable in block.vars}
        for op in block.ops:
            fault = None if op.type in _NO_OPERATORS else _fault(op, variables)
            if fault is not None:
                faults.setdefault(op.type, fault)
    return faults


def lite_remarks(program: Any) -> list[str]:
    """Return remarks for the user about operators that Paddle Lite computes in another way than Paddle."""
    if any(op.type == "arg_max" for block in program.blocks for op in block.ops):
        return ["arg_max: of equal numbers Paddle Lite's .nb finds the last, Paddle the first"]
    return []


def _fault(op: Any, variables: dict[str, Any]) -> str | None:
    tensors = [
        variables[name] for slot in (*op.inputs, *op.outputs) for name in slot.arguments if name in variables
    ]
    if any(tensor.data_type == _FLOAT64 for tensor in tensors):
        return "of float64"
    if op.type == "pad3d":
        given = {attribute.name: attribute for attribute in op.attrs}
        is_constant = "mode" not in given or given["mode"].s == "constant"
        if is_constant and "value" in given and given["value"].f != 0:
            return "with another number than zero"
    if op.type == "grid_sampler":
        x, result = (
            variables[arguments(slots, name)[0]].dims
            for slots, name in ((op.inputs, "X"), (op.outputs, "Output"))
        )
        if list(x[2:]) != list(result[2:]):
            return "to another size than its input's"
    return None
