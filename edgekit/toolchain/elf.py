"""What an ELF file says of itself: machine and needed libraries. Only what the toolchain asks for.

Layout: System V ABI, chapters 4 and 5 (64-bit, little-endian).
"""

from __future__ import annotations

import struct
from pathlib import Path

import msgspec

from edgekit.errors import ToolError

MACHINES = {183: "aarch64", 62: "x86_64", 40: "arm", 3: "x86"}
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NEEDED, _DT_STRTAB, _DT_SONAME = 1, 5, 14


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


def read_elf(path: Path) -> Elf:
    """Read a 64-bit program or shared library (of a 32-bit one only its machine).

    Raises:
        ToolError: It cannot be read or is no ELF file.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ToolError(f"reading {path}: {error.strerror or error}") from error
    if data[:4] != b"\x7fELF" or len(data) < 64 or data[5] != 1:
        raise ToolError(f"reading {path}: no (little-endian) ELF file")
    (number,) = struct.unpack_from("<H", data, 18)
    machine = MACHINES.get(number, str(number))
    if data[4] != 2:
        return Elf(machine=machine)
    try:
        needed, soname = _dynamic(data)
    except (struct.error, ValueError) as error:
        raise ToolError(f"reading {path}: its ELF headers are damaged or cut short") from error
    return Elf(machine=machine, needed=needed, soname=soname)


def _dynamic(data: bytes) -> tuple[tuple[str, ...], str | None]:
    (table,) = struct.unpack_from("<Q", data, 32)
    entry_size, count = struct.unpack_from("<HH", data, 54)
    segments = [struct.unpack_from("<IIQQQQ", data, table + index * entry_size) for index in range(count)]
    dynamic = next(((offset, size) for kind, _, offset, _, _, size in segments if kind == _PT_DYNAMIC), None)
    if dynamic is None:
        return (), None
    offset, size = dynamic
    entries = [struct.unpack_from("<QQ", data, offset + at) for at in range(0, size - size % 16, 16)]
    address = next((value for tag, value in entries if tag == _DT_STRTAB), None)
    if address is None:
        return (), None
    strings = next(
        address - virtual + start
        for kind, _, start, virtual, _, length in segments
        if kind == _PT_LOAD and virtual <= address < virtual + length
    )

    def text(at: int) -> str:
        return data[strings + at : data.index(b"\0", strings + at)].decode("utf-8", "replace")

    needed = tuple(text(value) for tag, value in entries if tag == _DT_NEEDED)
    soname = next((text(value) for tag, value in entries if tag == _DT_SONAME), None)
    return needed, soname
