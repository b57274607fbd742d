"""Loader, C and C++ library of a device bundle, from Debian's packages; they travel with the runner."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgekit.errors import ToolError
from edgekit.toolchain.build.runtimes import AARCH64, X86_64
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.component import Report
from edgekit.toolchain.fetch.apt import fetch_packages

PACKAGES = ("libc6", "libstdc++6", "libgcc-s1", "libgomp1")


class _Platform(msgspec.Struct, frozen=True, kw_only=True):
    """Names that Debian and the ABI give to one processor's libraries.

    Attributes:
        architecture: Debian's name of the processor.
        triplet: Name of the directory that holds its libraries.
        loader: File name of the dynamic loader.
        loader_directory: Directory of the loader beside the directories of libraries.
    """

    architecture: str
    triplet: str
    loader: str
    loader_directory: str


_PLATFORMS = {
    AARCH64: _Platform(
        architecture="arm64",
        triplet="aarch64-linux-gnu",
        loader="ld-linux-aarch64.so.1",
        loader_directory="lib",
    ),
    X86_64: _Platform(
        architecture="amd64",
        triplet="x86_64-linux-gnu",
        loader="ld-linux-x86-64.so.2",
        loader_directory="lib64",
    ),
}


def loader_name(target: str) -> str:
    """Return the file name of a target's dynamic loader."""
    return _PLATFORMS[target].loader


class CLibraries(msgspec.Struct, frozen=True, kw_only=True):
    """Directory and versions of the unpacked packages for one target."""

    target: str
    root: Path
    versions: dict[str, str]

    def find(self, name: str) -> Path | None:
        """Return a library by its soname, links resolved; None where the packages lack it."""
        for directory in _directories(_PLATFORMS[self.target]):
            path = self.root / directory / name
            if path.exists():
                return path.resolve()
        return None

    def file(self, name: str) -> Path:
        """Return a library like `find`; raise ToolError where it is missing."""
        found = self.find(name)
        if found is None:
            architecture = _PLATFORMS[self.target].architecture
            raise ToolError(
                f"looking for {name}: the packages {', '.join(PACKAGES)} ({architecture}) have none",
                hint="edgekit cache clean apt",
            )
        return found


def c_libraries(target: str, progress: Report) -> CLibraries:
    """Return the libraries of a target; fetch them on first use.

    Raises:
        ToolError: This machine has no apt, or its package sources do not answer.
    """
    platform = _PLATFORMS[target]
    root = cache_directory("apt") / f"{platform.architecture}-libraries"
    # Character sets, locales and documentation are left out; no runner uses them.
    only = tuple(
        f"{place}/{name}" for place in _directories(platform) for name in ("*.so.[0-9]*", "*-[0-9]*.so")
    )
    versions = fetch_packages(
        PACKAGES,
        architecture=platform.architecture,
        into=root,
        only=(*only, "usr/share/doc/*/copyright"),
        progress=progress,
    )
    return CLibraries(target=target, root=root, versions=versions)


def _directories(platform: _Platform) -> tuple[str, ...]:
    return f"usr/lib/{platform.triplet}", f"lib/{platform.triplet}", platform.loader_directory
