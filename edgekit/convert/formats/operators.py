"""Operators of Paddle programs that do more than compute: those write files, run Python or open connections.

Paddle Inference runs them like any other, so a stranger's program could write wherever its user may.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit._files import PROGRAM_BYTES, read_bytes
from edgekit.errors import PADDLE_REMEDY, InputError, ToolError

# Beginnings of their names in Paddle 2 and 3: files, Python, readers, collectives and parameter servers, and
# programs of other engines inside of this one. `send_u_recv` and its like compute on graphs.
ACTING = (
    "save", "load", "py_", "create_", "read_file", "read_from", "run_program", "recv", "listen",
    "push_", "pull_", "distributed_", "gen_", "c_", "partial_send", "partial_recv", "barrier", "checkpoint_",
    "prefetch", "fetch_barrier", "queue_", "enqueue", "dequeue", "cinn_", "lite_engine", "tensorrt_engine",
)  # fmt: skip
ACTING_NAMES = frozenset({"send", "send_v2", "send_and_recv", "send_barrier"})
HINT = "export the model again, for inference; a program of operators that compute"


def framework() -> Any:
    """Return Paddle's protobuf module without importing Paddle, which takes a second.

    Raises:
        ToolError: Neither this Python nor an environment of its own has Paddle, or this one has no protobuf.
    """
    found = importlib.util.find_spec("paddle")
    packages: Path | None
    if found is not None and found.origin is not None:
        packages = Path(found.origin).parents[1]
    else:
        from edgekit.toolchain.paddle import environment_packages

        packages = environment_packages()
    if packages is None:
        raise ToolError("reading a Paddle program: paddlepaddle is not installed", hint=PADDLE_REMEDY)
    path = packages / "paddle" / "base" / "proto" / "framework_pb2.py"
    spec = importlib.util.spec_from_file_location("edgekit_framework_pb2", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise ToolError(f"reading a Paddle program: {error}", hint="pip install protobuf") from error
    return module


def check_program(path: Path) -> None:
    """Refuse a program file, legacy or PIR, with an operator that acts.

    Raises:
        InputError: It has one, or is damaged.
        ToolError: Paddle, which reads a legacy program, is not installed.
    """
    doing = f"reading the Paddle program {path}"
    content = read_bytes(path, "the Paddle program", most_bytes=PROGRAM_BYTES)
    if path.suffix == ".json":
        try:
            names = list(_pir_names(json.loads(content)))
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"reading the Paddle program {path}: it is damaged: {error}", hint=HINT
            ) from error
    else:
        names = [op.type for block in _decode(content, path).blocks for op in block.ops]
    refuse_acting(names, doing)


def read_program(path: Path) -> Any:
    """Return the message of a legacy program file.

    Raises:
        InputError: It cannot be read, or is damaged.
        ToolError: Paddle, which reads it, is not installed.
    """
    return _decode(read_bytes(path, "the Paddle program", most_bytes=PROGRAM_BYTES), path)


def _decode(content: bytes, path: Path) -> Any:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        return framework().ProgramDesc.FromString(content)
    except DecodeError as error:
        raise InputError(f"reading the Paddle program {path}: it is damaged: {error}", hint=HINT) from error


def refuse_acting(names: list[str], doing: str) -> None:
    """Raise InputError where one of a program's operators does more than compute."""
    for name in names:
        if name.startswith(ACTING) or name in ACTING_NAMES:
            raise InputError(f"{doing}: its operator {name!r} does more than compute", hint=HINT)


def _pir_names(value: Any) -> Iterator[str]:
    """Yield the operators' names anywhere in a PIR document, without the number of their dialect."""
    if isinstance(value, dict):
        kind = value.get("#")
        if isinstance(kind, str):
            yield kind.rpartition(".")[2]
        for each in value.values():
            yield from _pir_names(each)
    elif isinstance(value, list):
        for each in value:
            yield from _pir_names(each)
