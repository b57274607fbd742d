"""Start addresses of Paddle Lite's kernels in its library.

They are found through C++'s data for `typeid`, which survives stripping: the name of a kernel's class, the
type information that points to the name, the virtual table that points to the type information (Itanium C++
ABI, 2.5 and 2.9), and its entry for the kernel's `Run`. So no library with symbols is needed.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from edgekit.errors import ToolError
from edgekit.toolchain.build.elf import Image, read_image

# paddle::lite::kernels::{arm,host}::CLASS
_TYPE_NAME = re.compile(rb"(?<=\0)N6paddle4lite7kernels(?:3arm|4host)(\d+)([A-Za-z]\w*)(?=\0)")
# A precision among a template's arguments: `LNS0_13PrecisionTypeE1E`, `LS4_2E` (lite/api/paddle_place.h).
_ENUMERATOR = re.compile(r"L(?:NS\d*_13PrecisionTypeE|S\d*_)(\d+)E")
_PRECISIONS = {"1": "fp32", "2": "int8", "3": "int32", "5": "fp16"}
# lite/core/kernel.h declares PrepareForRun, ReInitWhenNeeded and Run first, in this order.
_RUN_SLOT = 2
_POINTER_BYTES = 8


class KernelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Start of one kernel's `Run`.

    Attributes:
        offset: Offset of the first instruction in the library's file.
        names: Names of classes, e.g. `ConvCompute int8 fp32`; several where the linker merged equal code.
    """

    offset: int
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        return " or ".join(self.names)

    @property
    def is_operator(self) -> bool:
        """True for a kernel of a program's operator, False for one that a convolution calls."""
        return any("Compute" in name for name in self.names)


def kernel_entries(library: Path) -> dict[int, KernelEntry]:
    """Return the kernels of a Paddle Lite library for ARM64, by offset in its file.

    Raises:
        ToolError: The library cannot be read, or was built without type information.
    """
    image = read_image(library)
    holders: dict[int, list[int]] = {}
    for place, address in image.pointers.items():
        holders.setdefault(address, []).append(place)
    names: dict[int, set[str]] = {}
    for match in _TYPE_NAME.finditer(image.data):
        name = _class_name(match.group(2).decode(), int(match.group(1)))
        for offset in _runs(image, holders, match.start()):
            names.setdefault(offset, set()).add(name)
    if not names:
        raise ToolError(
            f"looking for kernels in {library}: it has no type information",
            hint="Paddle Lite's build leaves it out with --with_log=OFF; install a library built with ON",
        )
    return {offset: KernelEntry(offset=offset, names=tuple(sorted(found))) for offset, found in names.items()}


def _runs(image: Image, holders: dict[int, list[int]], name_offset: int) -> list[int]:
    """Return offsets of `Run` from the virtual tables of the class whose name is at the given place."""
    found = []
    for name_place in holders.get(image.address(name_offset) or -1, ()):
        information = name_place - _POINTER_BYTES
        for place in holders.get(information, ()):
            # Type information of derived classes points here too, but is preceded by a name and not by an
            # offset.
            if place - _POINTER_BYTES in image.pointers:
                continue
            run = image.pointers.get(place + _POINTER_BYTES * (1 + _RUN_SLOT))
            offset = None if run is None else image.offset(run)
            if offset is not None:
                found.append(offset)
    return found


def _class_name(mangled: str, length: int) -> str:
    """Convert `ConvComputeILNS0_13PrecisionTypeE2ELS4_1EE...` to `ConvCompute int8 fp32`."""
    name, arguments = mangled[:length], mangled[length:]
    precisions = [_PRECISIONS.get(value, value) for value in _ENUMERATOR.findall(arguments)]
    return " ".join([name, *precisions])
