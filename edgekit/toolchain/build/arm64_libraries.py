"""ARM64 loader, C and C++ library from Debian's packages; they travel with the runner."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgekit.errors import ToolError
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.component import Report
from edgekit.toolchain.fetch.apt import fetch_packages

LOADER = "ld-linux-aarch64.so.1"
PACKAGES = ("libc6", "libstdc++6", "libgcc-s1", "libgomp1")
_DIRECTORIES = ("usr/lib/aarch64-linux-gnu", "lib/aarch64-linux-gnu", "lib")
# Character sets, locales and documentation are left out; no runner uses them.
_ONLY = (
    *(f"{directory}/{name}" for directory in _DIRECTORIES for name in ("*.so.[0-9]*", "*-[0-9]*.so")),
    "usr/share/doc/*/copyright",
)


class Arm64Libraries(msgspec.Struct, frozen=True, kw_only=True):
    """Directory and versions of the unpacked packages."""

    root: Path
    versions: dict[str, str]

    def find(self, name: str) -> Path | None:
        """Return a library by its soname, links resolved; None where the packages lack it."""
        for directory in _DIRECTORIES:
            path = self.root / directory / name
            if path.exists():
                return path.resolve()
        return None

    def file(self, name: str) -> Path:
        """Return a library like `find`; raise ToolError where it is missing."""
        found = self.find(name)
        if found is None:
            raise ToolError(
                f"looking for {name}: the packages {', '.join(PACKAGES)} (arm64) have none",
                hint="edgekit cache clean apt",
            )
        return found


def arm64_libraries(progress: Report) -> Arm64Libraries:
    """Return the libraries; fetch them on first use.

    Raises:
        ToolError: This machine has no apt, or its package sources do not answer.
    """
    root = cache_directory("apt") / "arm64-libraries"
    versions = fetch_packages(PACKAGES, architecture="arm64", into=root, only=_ONLY, progress=progress)
    return Arm64Libraries(root=root, versions=versions)
