"""A legacy program's parameter file against the program: every parameter's type and sizes, to the byte.

The file is Paddle's save_combine format (paddle/fluid/framework/lod_tensor.cc and tensor_util.cc), one
parameter after the other in order of their names: uint32 version 0, uint64 count of level-of-detail tables
and these, uint32 version 0, int32 length of a TensorDesc, the TensorDesc, the numbers.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any, BinaryIO

from edgekit.errors import InputError

# paddle.framework.proto: VarType.Type of dense tensors, and bytes a number by type.
_DENSE = 7
_BYTES = {0: 1, 1: 2, 2: 4, 3: 8, 4: 2, 5: 4, 6: 8, 20: 1, 21: 1, 22: 2, 23: 8, 24: 16}
_MOST_DESC_BYTES = 1 << 16


def check(program: Any, params: Path, origin: str) -> None:
    """Compare the parameter file with the program's declarations.

    Raises:
        InputError: A parameter has other sizes, is missing, or the file is cut or goes on.
    """
    wanted = sorted(
        (
            variable
            for variable in program.blocks[0].vars
            if variable.persistable and variable.type.type == _DENSE
        ),
        key=lambda variable: str(variable.name),
    )
    hint = "program and parameters must belong together; export the model again"
    with params.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        for variable in wanted:
            declared = variable.type.dense_tensor.tensor
            dims = tuple(int(each) for each in declared.dims)
            try:
                kind, found = _read(file, size)
            except (struct.error, ValueError) as error:
                raise InputError(
                    f"importing {origin}: {params.name} is damaged or ends before the parameter "
                    f"{variable.name}",
                    hint=hint,
                ) from error
            if found != dims or kind != declared.data_type:
                raise InputError(
                    f"importing {origin}: {params.name} is not the program's: the parameter {variable.name} "
                    f"is {list(dims)} in the program and {list(found)} in the file",
                    hint=hint,
                )
        if file.tell() != size:
            raise InputError(
                f"importing {origin}: {params.name} goes on for {size - file.tell()} bytes after the "
                f"{len(wanted)} parameters of the program",
                hint=hint,
            )


def _read(file: BinaryIO, size: int) -> tuple[int, tuple[int, ...]]:
    """Read past the next parameter and return its type and sizes. Raises ValueError, struct.error."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from paddle.base.proto import framework_pb2

    version, levels = struct.unpack("<IQ", file.read(12))
    if version != 0 or levels > 8:
        raise ValueError("another version")
    for _ in range(levels):
        (length,) = struct.unpack("<Q", file.read(8))
        if length > size:
            raise ValueError("cut")
        file.seek(length, 1)
    version, length = struct.unpack("<Ii", file.read(8))
    if version != 0 or not 0 < length < _MOST_DESC_BYTES:
        raise ValueError("another version")
    try:
        desc = framework_pb2.VarType.TensorDesc.FromString(file.read(length))
    except DecodeError as error:
        raise ValueError("no TensorDesc") from error
    dims = tuple(int(each) for each in desc.dims)
    if any(each < 0 for each in dims) or desc.data_type not in _BYTES:
        raise ValueError("a size or type that there is not")
    end = file.tell() + math.prod(dims) * _BYTES[desc.data_type]
    if end > size:
        raise ValueError("cut")
    file.seek(end)
    return int(desc.data_type), dims
