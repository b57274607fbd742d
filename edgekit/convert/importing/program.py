"""A user's legacy Paddle program made into an artifact: one picture in, one row of scores out.

Runs in the import worker, on the program's protobuf message.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit._files import read_bytes
from edgekit.convert.importing.jobs import name_places
from edgekit.errors import InputError

HINT = "edgekit imports classifiers: one picture float32[N,3,S,S] in, one row of scores for each out"
# hard_swish of MobileNetV3: x * min(max(x + 3, 0), 6) / 6.
SLOPE, OFFSET = 1 / 6, 0.5
CLOSE = 1e-5
# Marks an operator that has been merged into another.
DOOMED = ""


def parse(path: Path, origin: str) -> Any:
    """A ProgramDesc. Raises InputError where the file is none."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from paddle.base.proto import framework_pb2

    content = read_bytes(path, "the Paddle program")
    try:
        program = framework_pb2.ProgramDesc.FromString(content)
    except DecodeError as error:
        raise InputError(f"importing {origin}: {path.name} is no Paddle program", hint=HINT) from error
    if not program.blocks or not program.blocks[0].ops:
        raise InputError(f"importing {origin}: {path.name} has no operators", hint=HINT)
    return program


def feeds_and_fetches(program: Any, origin: str) -> tuple[list[Any], list[Any]]:
    """Variables that are fed and fetched. Raises InputError where the program does not declare them."""
    block = program.blocks[0]
    variables = {variable.name: variable for variable in block.vars}
    try:
        feeds = [variables[op.outputs[0].arguments[0]] for op in block.ops if op.type == "feed"]
        fetches = [variables[op.inputs[0].arguments[0]] for op in block.ops if op.type == "fetch"]
    except (IndexError, KeyError) as error:
        raise InputError(
            f"importing {origin}: its program is damaged (a feed or fetch without its variable)", hint=HINT
        ) from error
    return feeds, fetches


def set_input_shape(program: Any, shape: tuple[int | None, ...], origin: str) -> None:
    """Declare the input's sizes; None leaves one free."""
    feeds, _ = feeds_and_fetches(program, origin)
    dims = feeds[0].type.dense_tensor.tensor.dims
    del dims[:]
    dims.extend(-1 if size is None else size for size in shape)


def free_batch(program: Any, origin: str) -> None:
    """Let a program for one picture take any number: sizes of 1 that stand for the batch become free.

    Whether its results are then right is for the caller to check.
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


def fuse_hard_swish(program: Any) -> int:
    """X2Paddle writes hard-swish as scale, clip and multiplication; opt is faster with the one operator.

    Returns:
        How many were found.
    """
    block = program.blocks[0]
    readers: dict[str, list[Any]] = {}
    for op in block.ops:
        for slot in op.inputs:
            for name in slot.arguments:
                readers.setdefault(name, []).append(op)
    count = 0
    for scale in block.ops:
        clip = _only_reader(readers, scale, "scale", "clip")
        if clip is None or not _is_gate(scale, clip):
            continue
        source, gate = _argument(scale.inputs, "X"), clip.outputs[0].arguments[0]
        following = readers.get(gate, [])
        multiply = following[0] if len(following) == 1 else None
        names = set() if multiply is None else {_argument(multiply.inputs, each) for each in ("X", "Y")}
        if multiply is not None and multiply.type == "elementwise_mul" and names == {source, gate}:
            _become(multiply, "hard_swish", source, {"threshold": 6.0, "scale": 6.0, "offset": 3.0})
            scale.type = clip.type = DOOMED
            count += 1
        else:
            _become(clip, "hard_sigmoid", source, {"slope": SLOPE, "offset": OFFSET})
            scale.type = DOOMED
    for index in reversed(range(len(block.ops))):
        if block.ops[index].type == DOOMED:
            del block.ops[index]
    return count


def _only_reader(readers: dict[str, list[Any]], op: Any, kind: str, reader_kind: str) -> Any | None:
    if op.type != kind or not op.outputs:
        return None
    following = readers.get(op.outputs[0].arguments[0], [])
    return following[0] if len(following) == 1 and following[0].type == reader_kind else None


def _is_gate(scale: Any, clip: Any) -> bool:
    """clip(x / 6 + 1/2, 0, 1), with constants as attributes."""
    factor, limits = _floats(scale), _floats(clip)
    after = {attribute.name: attribute.b for attribute in scale.attrs}.get("bias_after_scale", True)
    return (
        after
        and abs(factor.get("scale", 0) - SLOPE) < CLOSE
        and abs(factor.get("bias", 0) - OFFSET) < CLOSE
        and limits.get("min") == 0.0
        and limits.get("max") == 1.0
        and not any(slot.arguments for op in (scale, clip) for slot in op.inputs if slot.parameter != "X")
    )


def _floats(op: Any) -> dict[str, float]:
    return {attribute.name: attribute.f for attribute in op.attrs}


def _argument(slots: Any, parameter: str) -> str | None:
    return next((slot.arguments[0] for slot in slots if slot.parameter == parameter and slot.arguments), None)


def _become(op: Any, kind: str, source: str | None, attributes: dict[str, float]) -> None:
    from paddle.base.proto import framework_pb2

    assert source is not None
    op.type = kind
    del op.inputs[:]
    op.inputs.add(parameter="X", arguments=[source])
    del op.attrs[:]
    for name, value in attributes.items():
        op.attrs.add(name=name, type=framework_pb2.FLOAT, f=value)


def ends_in_softmax(program: Any, origin: str) -> bool:
    """Whether the scores are probabilities already; copies and reshapes after the softmax do not count."""
    _, fetches = feeds_and_fetches(program, origin)
    name = fetches[0].name
    makers = {output: op for op in program.blocks[0].ops for slot in op.outputs for output in slot.arguments}
    for _ in range(8):
        op = makers.get(name)
        if op is None:
            return False
        if op.type == "softmax":
            return True
        if op.type not in ("scale", "assign", "reshape2", "squeeze2", "flatten_contiguous_range"):
            return False
        source = _argument(op.inputs, "X")
        if source is None or (op.type == "scale" and _changes(op)):
            return False
        name = source
    return False


def _changes(scale: Any) -> bool:
    values = _floats(scale)
    return values.get("scale", 1.0) != 1.0 or values.get("bias", 0.0) != 0.0


def places_of(program: Any, operators: set[str]) -> str:
    """Where operators of these types stand, for messages."""
    found = [
        f"{op.type} at {index} ({', '.join(name for slot in op.inputs for name in slot.arguments)} -> "
        f"{', '.join(name for slot in op.outputs for name in slot.arguments)})"
        for index, op in enumerate(program.blocks[0].ops)
        if op.type in operators
    ]
    return name_places(found)
