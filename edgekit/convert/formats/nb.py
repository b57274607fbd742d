"""Paddle Lite's `.nb` files: what their header says, whether they are whole, and equal bytes for equal input.

Layout (Paddle Lite, lite/model_parser/model_parser.cc and flatbuffers/io.cc), little-endian:
uint16 meta version (2), char[16] opt version, uint64 topology size, the topology; then of the
parameters uint16 version (0), uint16 size of extra meta information, that, uint16 header size, uint16
count, uint32 largest tensor; then of each parameter uint32 total size, uint32 offset, its data.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from edgekit.errors import InputError
from edgekit.toolchain.opt.opt import registry_version

META_VERSION = 2
VERSION_OFFSET = 2
VERSION_BYTES = 16
HEADER_BYTES = 2 + VERSION_BYTES + 8
_VERSION = re.compile(rb"v?\d+\.\d+[0-9A-Za-z.\-]*\0")


class NbHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The header of a `.nb` file.

    Attributes:
        opt_version: opt's version as on the registry, e.g. `2.12`; the runtime must be of the same.
        topology_bytes: Size of the program.
        parameters: Number of weight tensors.
    """

    opt_version: str
    topology_bytes: int
    parameters: int


def read_header(path: Path) -> NbHeader:
    """Read a `.nb` file's header and check that every part that it announces is there, to the byte.

    Raises:
        InputError: It cannot be read, is no `.nb`, of another format version, truncated or too long.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            return _read(file, size, path)
    except OSError as error:
        raise InputError(f"reading {path}: {error.strerror or error}", hint="edgekit export NAME") from error
    except struct.error as error:
        raise _broken(path, "it ends too early") from error


def read_operators(path: Path) -> tuple[str, ...]:
    """The operators of a `.nb` file's program in the order of their execution, e.g. `conv2d`.

    `feed` and `fetch` are left out: Paddle Lite runs none for them.

    Raises:
        InputError: As `read_header`; or its program is not readable.
    """
    topology = read_header(path).topology_bytes
    program = path.read_bytes()[HEADER_BYTES : HEADER_BYTES + topology]
    try:
        (root,) = struct.unpack_from("<I", program, 0)
        block = next(_elements(program, _field(program, root, 0)))
        operators = _elements(program, _field(program, block, 3))
        types = tuple(_text(program, _field(program, operator, 0)) for operator in operators)
    except (struct.error, StopIteration, UnicodeDecodeError) as error:
        raise _broken(path, "its program is not readable") from error
    return tuple(one for one in types if one not in ("feed", "fetch"))


# FlatBuffers, little-endian: a table begins with the distance back to its vtable, which holds its size, the
# table's, and where in the table each field lies. Fields as numbered in lite/model_parser/flatbuffers/
# framework.fbs: ProgramDesc.blocks 0, BlockDesc.ops 3, OpDesc.type 0. Fields here all point elsewhere.
def _field(data: bytes, table: int, number: int) -> int:
    (back,) = struct.unpack_from("<i", data, table)
    vtable = table - back
    (size,) = struct.unpack_from("<H", data, vtable)
    at = 4 + 2 * number
    (place,) = struct.unpack_from("<H", data, vtable + at) if at < size else (0,)
    if not place:
        raise struct.error("a field is missing")
    (distance,) = struct.unpack_from("<I", data, table + place)
    return int(table + place + distance)


def _elements(data: bytes, vector: int) -> Iterator[int]:
    (count,) = struct.unpack_from("<I", data, vector)
    for index in range(count):
        place = vector + 4 + 4 * index
        (distance,) = struct.unpack_from("<I", data, place)
        yield place + int(distance)


def _text(data: bytes, string: int) -> str:
    (length,) = struct.unpack_from("<I", data, string)
    return data[string + 4 : string + 4 + length].decode()


def clear_uninitialised(path: Path) -> None:
    """Zero the bytes behind the version string, which opt leaves as they were in memory.

    Two conversions of one model are equal after that. Works in place: call it on a staged file.

    Raises:
        InputError: The file is no `.nb`.
    """
    with path.open("r+b") as file:
        file.seek(VERSION_OFFSET)
        version = file.read(VERSION_BYTES).partition(b"\0")[0]
        if not _VERSION.match(version + b"\0"):
            raise _broken(path, "it has no version string")
        file.seek(VERSION_OFFSET)
        file.write(version.ljust(VERSION_BYTES, b"\0"))


def _read(file: BinaryIO, size: int, path: Path) -> NbHeader:
    meta_version, version, topology = struct.unpack(f"<H{VERSION_BYTES}sQ", file.read(HEADER_BYTES))
    if meta_version != META_VERSION:
        raise _broken(path, f"its format version is {meta_version}, not {META_VERSION}")
    match = _VERSION.match(version)
    if match is None:
        raise _broken(path, "it has no version string")
    if HEADER_BYTES + topology > size:
        raise _broken(path, f"it announces {topology} bytes of program and has {size} in all")
    file.seek(topology, 1)
    params_version, extra = struct.unpack("<HH", file.read(4))
    file.seek(extra, 1)
    header, count, _largest = struct.unpack("<HHI", file.read(8))
    if params_version != 0 or header != 6:
        raise _broken(path, "its parameters are of another format version")
    for _ in range(count):
        total, offset = struct.unpack("<II", file.read(8))
        if not 4 <= offset <= total:
            raise _broken(path, "a parameter's size makes no sense")
        file.seek(total - 4, 1)
    end = file.tell()
    if end != size:
        raise _broken(path, f"its parts make {end} bytes, the file has {size}")
    return NbHeader(
        opt_version=registry_version(match.group().rstrip(b"\0").decode()),
        topology_bytes=topology,
        parameters=count,
    )


def _broken(path: Path, why: str) -> InputError:
    return InputError(f"reading {path}: not a whole .nb file: {why}", hint="edgekit export NAME --force")
