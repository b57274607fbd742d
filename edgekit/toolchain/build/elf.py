"""Read an ELF file: its machine, its needed libraries, and the targets of a library's pointers."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import msgspec
from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

from edgekit.errors import ToolError

MACHINES = {"EM_AARCH64": "aarch64", "EM_X86_64": "x86_64", "EM_ARM": "arm", "EM_386": "x86"}
_RELA = struct.Struct("<QQq")
_SYMBOL = struct.Struct("<IBBHQQ")
_R_AARCH64_ABS64, _R_AARCH64_RELATIVE = 257, 1027
# Errors from damaged headers; pyelftools checks few of them.
_DAMAGED = (ELFError, struct.error, ValueError, LookupError, AttributeError, TypeError, OverflowError)


class Elf(msgspec.Struct, frozen=True, kw_only=True):
    """Properties of an ELF file.

    Attributes:
        machine: `aarch64`, `x86_64`, `arm` or `x86`, else the machine number.
        needed: Names of the libraries that must be loaded with it.
        soname: Name by which other files need it; None for programs.
    """

    machine: str
    needed: tuple[str, ...] = ()
    soname: str | None = None


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """Loaded part of the file: `size` bytes from `offset` on are loaded at `address`."""

    address: int
    offset: int
    size: int


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """A library as it is loaded.

    Attributes:
        data: Content of the file.
        pointers: Address of each pointer into the library itself -> target address.
    """

    data: bytes
    segments: tuple[Segment, ...]
    pointers: dict[int, int]

    def offset(self, address: int) -> int | None:
        """Return the offset in the file of an address; None where no part of the file is loaded there."""
        for one in self.segments:
            if one.address <= address < one.address + one.size:
                return address - one.address + one.offset
        return None

    def address(self, offset: int) -> int | None:
        """Return the address of an offset in the file; None where the offset is not loaded."""
        for one in self.segments:
            if one.offset <= offset < one.offset + one.size:
                return offset - one.offset + one.address
        return None


def read_elf(path: Path) -> Elf:
    """Read a program or shared library.

    Raises:
        ToolError: The file cannot be read, is no ELF file, or is damaged.
    """
    elf = _open(path)
    try:
        machine = MACHINES.get(elf["e_machine"], str(elf["e_machine"]))
        tags = [tag for segment in _dynamic(elf) for tag in segment.iter_tags()]
        needed = tuple(tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED")
        soname = next((tag.soname for tag in tags if tag.entry.d_tag == "DT_SONAME"), None)
    except _DAMAGED as error:
        raise _damaged(path) from error
    return Elf(machine=machine, needed=needed, soname=soname)


def read_image(path: Path) -> Image:
    """Read an ARM64 library as it is loaded.

    Raises:
        ToolError: The file cannot be read, is no ELF file, or is damaged.
    """
    elf = _open(path)
    try:
        loaded = tuple(
            Segment(address=one["p_vaddr"], offset=one["p_offset"], size=one["p_filesz"])
            for one in elf.iter_segments("PT_LOAD")
        )
        image = Image(data=elf.stream.getvalue(), segments=loaded, pointers={})
        tags = {tag.entry.d_tag: tag.entry.d_val for segment in _dynamic(elf) for tag in segment.iter_tags()}
        pointers = _pointers(image, tags)
    except _DAMAGED as error:
        raise _damaged(path) from error
    return msgspec.structs.replace(image, pointers=pointers)


def _pointers(image: Image, tags: dict[str, int]) -> dict[int, int]:
    # Parsed by hand: a library has a hundred thousand, and pyelftools takes seconds for them.
    table, symbols = (image.offset(tags.get(tag, -1)) for tag in ("DT_RELA", "DT_SYMTAB"))
    if table is None:
        return {}
    pointers = {}
    for place, kind, value in _RELA.iter_unpack(image.data[table : table + tags["DT_RELASZ"]]):
        number, symbol = kind & 0xFFFFFFFF, kind >> 32
        if number == _R_AARCH64_RELATIVE:
            pointers[place] = value
        elif number == _R_AARCH64_ABS64 and symbols is not None:
            *_, section, address, _ = _SYMBOL.unpack_from(image.data, symbols + symbol * _SYMBOL.size)
            if section:
                pointers[place] = address + value
    return pointers


def _open(path: Path) -> ELFFile:
    try:
        return ELFFile(io.BytesIO(path.read_bytes()))
    except OSError as error:
        raise ToolError(f"reading {path}: {error.strerror or error}") from error
    except _DAMAGED as error:
        raise ToolError(f"reading {path}: no ELF file, or one that is cut short") from error


def _dynamic(elf: ELFFile) -> list[DynamicSegment]:
    return list(elf.iter_segments("PT_DYNAMIC"))


def _damaged(path: Path) -> ToolError:
    return ToolError(f"reading {path}: its ELF headers are damaged or cut short")
