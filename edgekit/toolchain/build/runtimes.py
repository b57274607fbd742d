"""Libraries of engines for devices: their sources, and the checks before use.

A runtime has a directory of its own in the cache with `library` and, for Paddle Lite, `include/`; its marker
is written last and describes it. An engine's record names the module that installs its runtime.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from edgekit._files import locked, new_directory, output_error, sha256_file, write_atomic
from edgekit.engines.registry import native_runner
from edgekit.errors import ToolError
from edgekit.toolchain.build.elf import read_elf
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.component import Component, Found, InstallRequest

MARKER = "runtime.json"
AARCH64, ANDROID, X86_64 = "aarch64", "android", "x86_64"
TARGETS = (AARCH64, X86_64, ANDROID)
"""`aarch64` and `x86_64` are Linux with GNU's C library, `android` is ARM64 with Android's."""


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """An installed runtime; also the content of its marker.

    Attributes:
        engine: Name of the engine.
        version: Version that the library reports.
        target: One of `TARGETS`.
        directory: Directory of the runtime; empty in the marker, as caches may move.
        library: File name of the library.
        sha256: SHA-256 of the library, hex.
        source: Origin of the library: an address, package, file or directory.
        source_sha256: SHA-256 of the archive or wheel that contained the library.
        fp16: True where the library has fp16 kernels.
        opencl: True where the library computes by OpenCL.
        license: Name of the library's licence.
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
    opencl: bool = False
    license: str = "unknown"

    @property
    def library_path(self) -> Path:
        return Path(self.directory) / self.library

    @property
    def include_directory(self) -> Path:
        """Directory of the headers, where the engine's API is linked and not opened."""
        return Path(self.directory) / "include"

    @property
    def found(self) -> Found:
        """Return the runtime as a line of `toolchain list`."""
        return Found(version=self.version, path=self.library_path, detail=f"{self.target}, {self.source}")


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """Installer of an engine's library for devices.

    Attributes:
        component: Name of the component for `toolchain install`.
        install: Installs the library for aarch64; raises ToolError with the ways to repair a failure.
        remedies: Returns the commands that install a missing library for a target.
        host_library: Returns the library for x86_64, which needs no installation; raises ToolError.
    """

    component: Component
    install: Callable[[InstallRequest], Runtime]
    remedies: Callable[[str], str]
    host_library: Callable[[], Runtime] | None = None


def provider(engine: str) -> Provider:
    """Return the installer of an engine's library. Raises UsageError for one without a native runner."""
    module = importlib.import_module(native_runner(engine).runtime_module)
    found: Provider = module.PROVIDER
    return found


def runtime_directory(engine: str, target: str) -> Path:
    """Return the directory for the one runtime of an engine and target."""
    return cache_directory("runtimes") / f"{engine}-{target}"


def find_runtime(engine: str, target: str) -> Runtime | None:
    """Return the installed runtime; None where it is missing, incomplete or its library was changed."""
    directory = runtime_directory(engine, target)
    try:
        marker = msgspec.json.decode((directory / MARKER).read_bytes(), type=Runtime)
        if sha256_file(directory / marker.library) != marker.sha256:
            return None
    except (OSError, msgspec.DecodeError, ValueError):
        return None
    return msgspec.structs.replace(marker, directory=str(directory))


def library_target(library: Path) -> str:
    """Return the target of a shared library by its machine and the C library that it needs.

    Raises:
        ToolError: The library is for no target of edgekit.
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
    """Store a runtime in the cache in place of an earlier one: first the files, then the marker.

    Args:
        runtime: Content of the marker.
        files: Path within the runtime -> file to copy there.

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
