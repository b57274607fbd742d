"""What opt takes and Paddle Lite then computes wrongly or ends on: no `.nb` is made of it.

Seen with opt and Paddle Lite 2.12 on x86 (scripts/conformance.py --lite).
"""

from __future__ import annotations

from typing import Any

_FLOAT64 = 6
_NO_OPERATORS = {"feed", "fetch"}


def lite_faults(program: Any) -> dict[str, str]:
    """The operators of a legacy program's message that Paddle Lite gets wrong, each with what is wrong."""
    faults: dict[str, str] = {}
    for block in program.blocks:
        variables = {variable.name: variable.type.dense_tensor.tensor for variable in block.vars}
        for op in block.ops:
            fault = None if op.type in _NO_OPERATORS else _fault(op, variables)
            if fault is not None:
                faults.setdefault(op.type, fault)
    return faults


def lite_remarks(program: Any) -> list[str]:
    """What a user should know of how Paddle Lite computes a legacy program's message, although it does."""
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
            variables[slot.arguments[0]].dims
            for slots, name in ((op.inputs, "X"), (op.outputs, "Output"))
            for slot in slots
            if slot.parameter == name
        )
        if list(x[2:]) != list(result[2:]):
            return "to another size than its input's"
    return None
