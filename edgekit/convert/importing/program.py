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
from edgekit.convert.messages import argument
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
        if op.type != "reshape2" or argument(op.inputs, "X") in weights:
            continue
        for attribute in op.attrs:
            if attribute.name == "shape" and list(attribute.ints[:1]) == [1]:
                attribute.ints[0] = 0  # "as in the input"
    feeds, fetches = feeds_and_fetches(program, origin)
    for variable in [*feeds, *fetches]:
        dims = variable.type.dense_tensor.tensor.dims
        if len(dims) and dims[0] == 1:
            dims[0] = -1


def places_of(program: Any, operators: set[str]) -> str:
    """Return the places of operators of these types, for messages."""
    found = [
        f"{op.type} at {index} ({', '.join(name for slot in op.inputs for name in slot.arguments)} -> "
        f"{', '.join(name for slot in op.outputs for name in slot.arguments)})"
        for index, op in enumerate(program.blocks[0].ops)
        if op.type in operators
    ]
    return name_places(found)
