"""Component `device-python`: CPython and numpy for ARM64 devices, with a loader and libraries."""

from __future__ import annotations

import fnmatch
import shutil
from pathlib import Path

from edgekit._files import scratch_directory, sha256_file
from edgekit.errors import ToolError
from edgekit.toolchain.build.c_libraries import CLibraries, c_libraries, loader_name
from edgekit.toolchain.build.elf import read_elf
from edgekit.toolchain.build.runtimes import AARCH64
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.component import Component, InstallRequest
from edgekit.toolchain.fetch.apt import fetch_packages
from edgekit.toolchain.fetch.wheels import download_wheel
from edgekit.toolchain.python import unpack
from edgekit.toolchain.python.parts import (
    Part,
    find_component,
    find_part,
    is_elf,
    missing_libraries,
    store_part,
    write_archive,
)
from edgekit.toolchain.python.wheels import (
    PLATFORMS,
    PYTHON,
    RUNTIME_LIBRARIES,
    check_libraries,
    check_tags,
    unpack_wheel,
)

NAME = "device-python"
PROGRAM, LIBRARY, SITE = f"python{PYTHON}", f"python{PYTHON}", "site"
PACKAGES = (
    *(f"python{PYTHON}-minimal", f"libpython{PYTHON}-minimal", f"libpython{PYTHON}-stdlib"),
    *("zlib1g", "libexpat1", "libffi8"),
)
# Version that edgekit is tested with, and the SHA-256 of its wheel for PYTHON (PyPI).
NUMPY_VERSION = "2.3.5"
NUMPY_SHA256 = "3095bdb8dd297e5920b010e96134ed91d852d81d490e787beca7e35ae1d89cf7"
# Files of numpy that compile others or test it.
NUMPY_USELESS = (
    "numpy/f2py/*",
    "numpy/distutils/*",
    "numpy/_core/_simd.*",
    "numpy/_core/*tests*",
    "numpy/_core/include/*",
)
# Parts of the standard library that no worker uses, and modules that test or document it.
STANDARD_USELESS = (
    *("*/__pycache__/*", "*.pyc", "lib-dynload/_test*", "lib-dynload/xx*", "lib-dynload/_xx*", "config-*"),
    *(
        f"{name}/*"
        for name in ("test", "idlelib", "lib2to3", "ensurepip", "distutils", "tkinter", "turtledemo")
    ),
    *("pydoc_data/*", "sqlite3/*", "curses/*", "dbm/*", "venv/*", "wsgiref/*", "xmlrpc/*", "asyncio/*"),
)
_HINT = f"Debian 12's package sources have CPython {PYTHON}; check that `apt-get update` works here"


def install_device_python(request: InstallRequest) -> Part:
    """Assemble CPython and numpy for devices in the cache.

    Raises:
        ToolError: This machine has no apt, its sources lack this CPython, or the registry serves no numpy.
    """
    if request.version is not None or request.archive is not None or request.directory is not None:
        raise ToolError(
            f"installing {NAME}: it is CPython {PYTHON} from apt and numpy {NUMPY_VERSION} alone",
            hint=f"edgekit toolchain install {NAME}",
        )
    present = find_part(NAME)
    if present is not None and not request.force:
        return present
    packages = cache_directory("apt") / f"{PROGRAM}-arm64"
    try:
        versions = fetch_packages(PACKAGES, architecture="arm64", into=packages, progress=request.progress)
    except ToolError as error:
        error.hint = _HINT
        raise
    system = c_libraries(AARCH64, request.progress)
    with scratch_directory("numpy") as work:
        request.progress(f"downloading numpy {NUMPY_VERSION} for ARM64")
        wheel = download_wheel(
            "numpy", NUMPY_VERSION, python=PYTHON, platforms=PLATFORMS, into=Path(work), sha256=NUMPY_SHA256,
            hint=f"check that pip reaches its registry, then: edgekit toolchain install {NAME}",
        )  # fmt: skip
        check_tags(wheel, "numpy", _HINT)
        numpy = unpack_wheel(wheel, Path(work) / "files", NUMPY_USELESS, _HINT)
        origins = {
            **system.versions,
            **versions,
            "numpy": f"{NUMPY_VERSION} (SHA-256 {sha256_file(wheel)})",
        }
        return store_part(NAME, lambda new: _fill(new, packages, system, numpy, wheel, origins))


def _fill(
    new: Path,
    packages: Path,
    system: CLibraries,
    numpy: dict[str, Path],
    wheel: Path,
    origins: dict[str, str],
) -> Part:
    shutil.copyfile(packages / "usr" / "bin" / PROGRAM, new / PROGRAM)
    shutil.copyfile(str(unpack.__file__), new / "unpack.py")
    shutil.copyfile(system.file(loader_name(AARCH64)), new / loader_name(AARCH64))
    own = {
        path.name: path
        for pattern in ("lib/aarch64-linux-gnu/*.so.*", "usr/lib/aarch64-linux-gnu/*.so.*")
        for path in packages.glob(pattern)
    }
    standard = _standard_library(packages, {*RUNTIME_LIBRARIES, *own})
    for name in _closure([new / PROGRAM, *standard.values()], own, system):
        shutil.copyfile(own.get(name) or system.file(name), new / name)
    libraries = tuple(sorted(path.name for path in new.glob("*.so.*")))
    check_libraries("numpy", numpy, libraries)
    files = {
        **{f"{LIBRARY}/{inside}": path for inside, path in standard.items()},
        **{f"{SITE}/{inside}": path for inside, path in numpy.items()},
    }
    return Part(
        name=NAME,
        version=origins[f"python{PYTHON}-minimal"],
        wheel=wheel.name,
        origins=origins,
        unpacked_bytes=write_archive(new, files),
        libraries=libraries,
    )


def _standard_library(packages: Path, there: set[str]) -> dict[str, Path]:
    """Return the standard library's files by path, without modules whose libraries the bundle lacks."""
    root = packages / "usr" / "lib" / LIBRARY
    files = {}
    for path in root.rglob("*"):
        inside = str(path.relative_to(root))
        if not path.is_file() or any(fnmatch.fnmatch(inside, each) for each in STANDARD_USELESS):
            continue
        if is_elf(path) and set(missing_libraries(path, there)) - {loader_name(AARCH64)}:
            continue
        files[inside] = path
    return files


def _closure(paths: list[Path], own: dict[str, Path], system: CLibraries) -> set[str]:
    """Return the names of all libraries that files and RUNTIME_LIBRARIES need, directly or not."""
    waiting = [path for path in paths if is_elf(path)]
    names = set(RUNTIME_LIBRARIES)
    waiting += [system.file(name) for name in RUNTIME_LIBRARIES]
    while waiting:
        for name in read_elf(waiting.pop()).needed:
            if name not in names and name != loader_name(AARCH64):
                names.add(name)
                waiting.append(own.get(name) or system.file(name))
    return names


COMPONENT = Component(
    name=NAME,
    purpose="CPython and numpy for devices: engines there without a native runner, by their wheels",
    find=lambda: find_component(NAME),
    install=lambda request: install_device_python(request).found,
)
