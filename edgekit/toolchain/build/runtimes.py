"""Libraries of engines for devices: where they come from, and the checks before one is used.

A runtime lies in a directory of its own in the cache, `library` and for Paddle Lite `include/` in it; its
marker is written last and says what it is. An engine's record names the module that brings its runtime.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from edgekit._files import locked, new_directory, output_error, sha256_file, write_atomic
from edgekit.engines.registry import device_side
from edgekit.errors import ToolError
from edgekit.toolchain.build.elf import read_elf
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.component import Component, Found, InstallRequest

MARKER = "runtime.json"
AARCH64, ANDROID, X86_64 = "aarch64", "android", "x86_64"
TARGETS = (AARCH64, X86_64, ANDROID)
"""`aarch64` and `x86_64` are Linux with GNU's C library, `android` is ARM64 with Android's."""


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """An installed runtime; also its marker.

    Attributes:
        engine: Its name.
        version: As the library says of itself.
        target: One of `TARGETS`.
        directory: Where it lies; empty in the marker, as caches may move.
        library: File name of the library.
        sha256: Of the library.
        source: Where it came from: an address, package, file or directory.
        source_sha256: Of the archive or wheel that it was taken from.
        fp16: Whether it has fp16 kernels.
        license: Name of the licence that it comes under.
    """

    engine: str
    version: str
    target: str
    directory: str = ""
    library: str
    sha256: str
    source: str
    source_sha256: str | None = None
    fp16: bool = False
    license: str = "unknown"

    @property
    def library_path(self) -> Path:
        return Path(self.directory) / self.library

    @property
    def include_directory(self) -> Path:
        """Headers, where the engine's API is linked and not opened."""
        return Path(self.directory) / "include"

    @property
    def found(self) -> Found:
        """The runtime as a line of `toolchain list`."""
        return Found(version=self.version, path=self.library_path, detail=f"{self.target}, {self.source}")


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """Installer of an engine's library for devices.

    Attributes:
        component: As `toolchain install` offers it.
        install: Installs the library for aarch64; raises ToolError with the ways to mend what failed.
        remedies: The commands that bring the library for a target where it is missing.
        host_library: The library for x86_64 where it need not be installed apart; raises ToolError.
    """

    component: Component
    install: Callable[[InstallRequest], Runtime]
    remedies: Callable[[str], str]
    host_library: Callable[[], Runtime] | None = None


def provider(engine: str) -> Provider:
    """Find the installer of an engine's library. Raises UsageError for an engine of the host alone."""
    module = importlib.import_module(device_side(engine).runtime_module)
    found: Provider = module.PROVIDER
    return found


def runtime_directory(engine: str, target: str) -> Path:
    """Where the runtime of an engine for a target lies; one of each."""
    return cache_directory("runtimes") / f"{engine}-{target}"


def find_runtime(engine: str, target: str) -> Runtime | None:
    """The installed runtime, or None where it is missing, half-installed or its library was changed."""
    directory = runtime_directory(engine, target)
    try:
        marker = msgspec.json.decode((directory / MARKER).read_bytes(), type=Runtime)
        if sha256_file(directory / marker.library) != marker.sha256:
            return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return msgspec.structs.replace(marker, directory=str(directory))


def library_target(library: Path) -> str:
    """Which target a shared library is for, by its machine and the C library that it needs.

    Raises:
        ToolError: None that edgekit builds for.
    """
    elf = read_elf(library)
    bionic = "libc.so" in elf.needed
    target = {("aarch64", False): AARCH64, ("aarch64", True): ANDROID, ("x86_64", False): X86_64}.get(
        (elf.machine, bionic)
    )
    if target is None:
        raise ToolError(
            f"checking {library}: it is for {elf.machine}{' on Android' if bionic else ''}; edgekit runs on "
            "64-bit ARM Linux and Android and on x86-64 Linux",
            hint="take the armv8 (arm64) archive",
        )
    return target


def store(runtime: Runtime, files: dict[str, Path]) -> Runtime:
    """Put a runtime into the cache in place of an earlier one: its files, then the marker.

    Args:
        runtime: Its marker.
        files: Path within the runtime -> file that is copied there.

    Raises:
        OutputError: The cache cannot be written.
    """
    place = runtime_directory(runtime.engine, runtime.target)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with (
            locked(place.with_suffix(".lock"), f"the {runtime.engine} runtime for {runtime.target}"),
            new_directory(place) as new,
        ):
            for name, file in files.items():
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, new / name)
            write_atomic(new / MARKER, msgspec.json.encode(runtime))
    except OSError as error:
        raise output_error(place, error) from error
    return msgspec.structs.replace(runtime, directory=str(place))
