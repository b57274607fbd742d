"""Part of a Python bundle: a directory on the device, with an archive that is unpacked there once.

The files of an archive travel compressed, and a device keeps a part for all bundles that share it.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from edgekit._files import locked, new_directory, output_error, sha256_file, write_atomic
from edgekit.errors import ToolError
from edgekit.toolchain.build.elf import read_elf
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.component import Found
from edgekit.toolchain.python.unpack import ARCHIVE

MARKER = "part.json"
ELF_MAGIC = b"\x7fELF"
# ZIP files begin in 1980; a fixed date makes the archive of equal files equal.
_DATE = (1980, 1, 1, 0, 0, 0)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part in the cache; also the content of its marker.

    Attributes:
        name: Name of the part.
        version: Version of the main thing in it.
        wheel: File name of the wheel in it; empty where there is none.
        origins: Package -> version, and SHA-256 where it is a wheel.
        digests: SHA-256 of each file, hex.
        unpacked_bytes: Size of the archive's files on the device.
        libraries: Names of the shared libraries that the part has for others.
        features: Features that its code needs of every core.
        place: Directory of the part; empty in the marker, as caches may move.
    """

    name: str
    version: str
    wheel: str = ""
    origins: dict[str, str] = {}
    digests: dict[str, str] = {}
    unpacked_bytes: int
    libraries: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    place: str = ""

    @property
    def directory(self) -> str:
        """Name of the part's directory on devices; it changes with the content."""
        return f"{self.name}-{identity(self.digests)}"

    @property
    def found(self) -> Found:
        """Return the part as a line of `toolchain list`."""
        return Found(version=self.version, path=Path(self.place), detail=f"aarch64, {self.wheel}")

    @property
    def files(self) -> dict[str, Path]:
        """Name on the device -> file on this machine."""
        return {name: Path(self.place) / name for name in self.digests}


def identity(digests: Mapping[str, str]) -> str:
    """Return a short name of files with these digests, by name."""
    listing = "\n".join(f"{digest} {path}" for path, digest in sorted(digests.items()))
    return hashlib.sha256(listing.encode()).hexdigest()[:16]


def part_place(name: str) -> Path:
    """Return the directory for a part in the cache."""
    return cache_directory("python") / name


def find_part(name: str) -> Part | None:
    """Return a part from the cache; None where it is missing, incomplete or changed."""
    place = part_place(name)
    try:
        part = msgspec.json.decode((place / MARKER).read_bytes(), type=Part)
        if any(sha256_file(place / file) != digest for file, digest in part.digests.items()):
            return None
    except (OSError, msgspec.DecodeError, ValueError):
        return None
    return msgspec.structs.replace(part, place=str(place))


def find_component(name: str) -> Found | None:
    """Return a part from the cache as a line of `toolchain list`; None where it is missing."""
    part = find_part(name)
    return None if part is None else part.found


def store_part(name: str, fill: Callable[[Path], Part]) -> Part:
    """Make a part in the cache in place of an earlier one, completely or not at all.

    Args:
        name: Name of the part.
        fill: Called with a new directory; puts the files there and describes them without digests.

    Raises:
        OutputError: The cache cannot be written.
    """
    place = part_place(name)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with locked(place.with_suffix(".lock"), name), new_directory(place) as new:
            part = fill(new)
            digests = {path.name: sha256_file(path) for path in sorted(new.iterdir())}
            part = msgspec.structs.replace(part, digests=digests)
            write_atomic(new / MARKER, msgspec.json.encode(part))
    except OSError as error:
        raise output_error(place, error) from error
    return msgspec.structs.replace(part, place=str(place))


def write_archive(directory: Path, files: Mapping[str, Path]) -> int:
    """Write `lib.zip`, equal for equal files; return the size of the files, bytes."""
    with zipfile.ZipFile(directory / ARCHIVE, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for inside, path in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(inside, _DATE), path.read_bytes(), zipfile.ZIP_DEFLATED, 9)
    return sum(path.stat().st_size for path in files.values())


def is_elf(path: Path) -> bool:
    """Return True for a program or shared library."""
    with path.open("rb") as file:
        return file.read(len(ELF_MAGIC)) == ELF_MAGIC


def missing_libraries(path: Path, there: Iterable[str]) -> list[str]:
    """Return the libraries that an ARM64 program or library needs beside those of `there`.

    Raises:
        ToolError: The file is no ELF file for ARM64, or is damaged.
    """
    elf = read_elf(path)
    if elf.machine != "aarch64":
        raise ToolError(f"checking {path.name}: it is for {elf.machine}, devices need aarch64")
    return sorted(set(elf.needed) - set(there))
