"""What an ELF file says of itself: machine, needed libraries, and where a library's pointers point.

Layout: System V ABI, chapters 4 and 5 (64-bit, little-endian).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from edgekit.errors import ToolError

MACHINES = {183: "aarch64", 62: "x86_64", 40: "arm", 3: "x86"}
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NEEDED, _DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_RELA_BYTES, _DT_SONAME = 1, 5, 6, 7, 8, 14
_SYMBOL = struct.Struct("<IBBHQQ")
_RELA = struct.Struct("<QQq")
_R_AARCH64_ABS64, _R_AARCH64_RELATIVE = 257, 1027


class Elf(msgspec.Struct, frozen=True, kw_only=True):
    """An ELF file.

    Attributes:
        machine: `aarch64`, `x86_64`, `arm` or `x86`, else the number.
        needed: Names of the libraries that it must be loaded with.
        soname: The name that others need it by; None for programs.
    """

    machine: str
    needed: tuple[str, ...] = ()
    soname: str | None = None


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the file that is loaded: `size` bytes from `offset` on lie at `address`."""

    address: int
    offset: int
    size: int


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """A library as it is loaded.

    Attributes:
        data: The file.
        pointers: Address of each pointer into the library itself -> the address that it holds.
    """

    data: bytes
    segments: tuple[Segment, ...]
    pointers: dict[int, int]

    def offset(self, address: int) -> int | None:
        """Where in the file an address lies; None where no part of the file is loaded there."""
        for one in self.segments:
            if one.address <= address < one.address + one.size:
                return address - one.address + one.offset
        return None

    def address(self, offset: int) -> int | None:
        """Where a place in the file is loaded; None where it is not."""
        for one in self.segments:
            if one.offset <= offset < one.offset + one.size:
                return offset - one.offset + one.address
        return None


def read_elf(path: Path) -> Elf:
    """Read a 64-bit program or shared library (of a 32-bit one only its machine).

    Raises:
        ToolError: It cannot be read or is no ELF file.
    """
    data = _read(path)
    (number,) = struct.unpack_from("<H", data, 18)
    machine = MACHINES.get(number, str(number))
    if data[4] != 2:
        return Elf(machine=machine)
    try:
        needed, soname = _dynamic(data)
    except (struct.error, ValueError) as error:
        raise ToolError(f"reading {path}: its ELF headers are damaged or cut short") from error
    return Elf(machine=machine, needed=needed, soname=soname)


def read_image(path: Path) -> Image:
    """Read an ARM64 library as it is loaded.

    Raises:
        ToolError: It cannot be read, or is no ELF file or a damaged one.
    """
    data = _read(path)
    try:
        segments = _segments(data)
        loaded = tuple(
            Segment(address=address, offset=offset, size=size)
            for kind, offset, address, size in segments
            if kind == _PT_LOAD
        )
        image = Image(data=data, segments=loaded, pointers={})
        pointers = _pointers(image, dict(_dynamic_entries(data, segments)))
    except (struct.error, ValueError, KeyError) as error:
        raise ToolError(f"reading {path}: its ELF headers are damaged or cut short") from error
    return msgspec.structs.replace(image, pointers=pointers)


def _pointers(image: Image, tags: Mapping[int, int]) -> dict[int, int]:
    table, symbols = (image.offset(tags.get(tag, -1)) for tag in (_DT_RELA, _DT_SYMTAB))
    if table is None:
        return {}
    pointers = {}
    for place, kind, value in _RELA.iter_unpack(image.data[table : table + tags[_DT_RELA_BYTES]]):
        number, symbol = kind & 0xFFFFFFFF, kind >> 32
        if number == _R_AARCH64_RELATIVE:
            pointers[place] = value
        elif number == _R_AARCH64_ABS64 and symbols is not None:
            *_, section, address, _ = _SYMBOL.unpack_from(image.data, symbols + symbol * _SYMBOL.size)
            if section:
                pointers[place] = address + value
    return pointers


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ToolError(f"reading {path}: {error.strerror or error}") from error
    if data[:4] != b"\x7fELF" or len(data) < 64 or data[5] != 1:
        raise ToolError(f"reading {path}: no (little-endian) ELF file")
    return data


def _segments(data: bytes) -> list[tuple[int, int, int, int]]:
    """Kind, offset, address and size in the file of every program header."""
    (table,) = struct.unpack_from("<Q", data, 32)
    entry_size, count = struct.unpack_from("<HH", data, 54)
    headers = (struct.unpack_from("<IIQQQQ", data, table + index * entry_size) for index in range(count))
    return [(kind, offset, address, size) for kind, _, offset, address, _, size in headers]


def _dynamic_entries(data: bytes, segments: Sequence[tuple[int, int, int, int]]) -> list[tuple[int, int]]:
    for kind, offset, _, size in segments:
        if kind == _PT_DYNAMIC:
            return [struct.unpack_from("<QQ", data, offset + at) for at in range(0, size - size % 16, 16)]
    return []


def _dynamic(data: bytes) -> tuple[tuple[str, ...], str | None]:
    segments = _segments(data)
    entries = _dynamic_entries(data, segments)
    address = next((value for tag, value in entries if tag == _DT_STRTAB), None)
    if address is None:
        return (), None
    strings = next(
        address - virtual + start
        for kind, start, virtual, length in segments
        if kind == _PT_LOAD and virtual <= address < virtual + length
    )

    def text(at: int) -> str:
        return data[strings + at : data.index(b"\0", strings + at)].decode("utf-8", "replace")

    needed = tuple(text(value) for tag, value in entries if tag == _DT_NEEDED)
    soname = next((text(value) for tag, value in entries if tag == _DT_SONAME), None)
    return needed, soname
