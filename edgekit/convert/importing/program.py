"""A user's legacy Paddle program made into an artifact.

Runs in the import worker, on the program's protobuf message.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekit._files import PROGRAM_BYTES, read_bytes
from edgekit.convert.formats import paddle
from edgekit.convert.formats.operators import refuse_acting
from edgekit.convert.from_onnx.node import name_places
from edgekit.errors import InputError

HINT = "export the model again"


def parse(path: Path, origin: str) -> Any:
    """Read a ProgramDesc. Raises InputError where the file is none."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from paddle.base.proto import framework_pb2

    content = read_bytes(path, "the Paddle program", most_bytes=PROGRAM_BYTES)
    try:
        program = framework_pb2.ProgramDesc.FromString(content)
    except DecodeError as error:
        raise InputError(f"importing {origin}: {path.name} is no Paddle program", hint=HINT) from error
    refuse_acting([op.type for block in program.blocks for op in block.ops], f"importing {origin}")
    if not program.blocks or not program.blocks[0].ops:
        raise InputError(f"importing {origin}: {path.name} has no operators", hint=HINT)
    return program


def feeds_and_fetches(program: Any, origin: str) -> tuple[list[Any], list[Any]]:
    """Return the variables that are fed and fetched. Raises InputError where the program declares none."""
    try:
        return paddle.feeds_and_fetches(program)
    except LookupError as error:
        raise InputError(
            f"importing {origin}: its program is damaged (a feed or fetch without its variable)", hint=HINT
        ) from error


def set_input_shapes(program: Any, shapes: Sequence[tuple[int | None, ...]], origin: str) -> None:
    """Declare the sizes of all inputs, in order; None leaves one free."""
    feeds, _ = feeds_and_fetches(program, origin)
    for feed, shape in zip(feeds, shapes, strict=True):
        dims = feed.type.dense_tensor.tensor.dims
        del dims[:]
        dims.extend(-1 if size is None else size for size in shape)


def free_batch(program: Any, origin: str) -> None:
    """Make the batch of a program for one picture free: sizes of 1 that stand for the batch become free.

    The caller checks the results of the changed program.
    """
    block = program.blocks[0]
    weights = {variable.name for variable in block.vars if variable.persistable}
    for op in block.ops:
        if op.type != "reshape2" or _argument(op.inputs, "X") in weights:
            continue
        for attribute in op.attrs:
            if attribute.name == "shape" and list(attribute.ints[:1]) == [1]:
                attribute.ints[0] = 0  # "as in the input"
    feeds, fetches = feeds_and_fetches(program, origin)
    for variable in [*feeds, *fetches]:
        dims = variable.type.dense_tensor.tensor.dims
        if len(dims) and dims[0] == 1:
            dims[0] = -1


def keep_paddings(program: Any) -> int:
    """Write each squeeze2 after a pad3d as reshape2; return their number.

    Of pad3d between unsqueeze2 and squeeze2, as Paddle writes the padding of pictures, opt makes a pad2d that
    has height and width exchanged (2.12).
    """
    from paddle.base.proto import framework_pb2

    block = program.blocks[0]
    variables = {variable.name: variable for variable in block.vars}
    padded = {
        name for op in block.ops if op.type == "pad3d" for slot in op.outputs for name in slot.arguments
    }
    changed = 0
    for op in block.ops:
        if op.type != "squeeze2" or _argument(op.inputs, "X") not in padded:
            continue
        sizes = list(variables[_argument(op.outputs, "Out")].type.dense_tensor.tensor.dims)
        if len(sizes) != 4 or sizes[2:].count(-1) > 1:
            continue
        op.type = "reshape2"
        del op.attrs[:]
        op.attrs.add(name="shape", type=framework_pb2.INTS, ints=[0, 0, *sizes[2:]])
        if _argument(op.outputs, "XShape") is None:
            # opt aborts without it, and Paddle 3 leaves it out of squeeze2.
            shape = block.vars.add()
            shape.CopyFrom(variables[_argument(op.inputs, "X")])
            shape.name = f"{shape.name}.xshape"
            op.outputs.add(parameter="XShape", arguments=[shape.name])
        changed += 1
    return changed


def complete_norms(program: Any) -> int:
    """Give every instance_norm the outputs that Paddle 3 leaves out; return the number of changed operators.

    Without them opt aborts (2.12).
    """
    block = program.blocks[0]
    variables = {variable.name: variable for variable in block.vars}
    changed = 0
    for op in block.ops:
        if op.type != "instance_norm" or _argument(op.outputs, "SavedMean") is not None:
            continue
        result = variables[_argument(op.outputs, "Y")]
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


def places_of(program: Any, operators: set[str]) -> str:
    """Return the places of operators of these types, for messages."""
    found = [
        f"{op.type} at {index} ({', '.join(name for slot in op.inputs for name in slot.arguments)} -> "
        f"{', '.join(name for slot in op.outputs for name in slot.arguments)})"
        for index, op in enumerate(program.blocks[0].ops)
        if op.type in operators
    ]
    return name_places(found)


def _argument(slots: Any, parameter: str) -> str | None:
    return next((slot.arguments[0] for slot in slots if slot.parameter == parameter and slot.arguments), None)
