"""Compilers for the native runner by target, with the files that each needs. None needs root."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
from pathlib import Path

import msgspec

from edgekit import _process
from edgekit.errors import ToolError
from edgekit.toolchain.build.c_libraries import c_libraries
from edgekit.toolchain.build.runtimes import AARCH64, ANDROID, X86_64
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.component import Report
from edgekit.toolchain.fetch.apt import fetch_packages

ANDROID_API = 24
"""minSdkVersion of the runner, equal to the demo app's."""
# Oldest C library of the ONNX Runtime runner and its library (the wheel's manylinux tag).
GLIBC = "2.28"
LIBSTDCXX_VERSIONS = range(15, 9, -1)
VERSION_TIMEOUT_S = 60.0
_CROSS = "aarch64-linux-gnu-"


class Compiler(msgspec.Struct, frozen=True, kw_only=True):
    """Commands that compile C and C++ and link for one target.

    Attributes:
        name: Name and version for people.
        c, cxx, link: Command lines that precede the arguments.
        link_last: Arguments at the end of linking.
        env: Environment variables of every call.
    """

    name: str
    c: tuple[str, ...]
    cxx: tuple[str, ...]
    link: tuple[str, ...]
    link_last: tuple[str, ...] = ()
    env: dict[str, str] = {}


def c_compiler(target: str) -> Compiler:
    """Return a compiler for C alone.

    Raises:
        ToolError: This machine has none; the hint names suitable compilers.
    """
    if target == ANDROID:
        return _ndk()
    if target == X86_64 and platform.machine() == "x86_64" and shutil.which("cc"):
        return _simple("cc", "c++")
    if find_zig() is not None:
        return _zig(f"{target}-linux-gnu.{GLIBC}")
    if target == AARCH64 and shutil.which(f"{_CROSS}gcc"):
        return _simple(f"{_CROSS}gcc", f"{_CROSS}g++")
    raise ToolError(
        f"building the runner for {target}: no compiler",
        hint="pip install ziglang"
        + (f", or apt-get install gcc-{_CROSS.rstrip('-')}" if target == AARCH64 else ""),
    )


def cxx_compiler(target: str, *, progress: Report) -> Compiler:
    """Return a compiler for C++ with the C++ library that Paddle Lite's archives are built with.

    That is GNU's library on Linux (not zig's) and the NDK's on Android.

    Raises:
        ToolError: This machine has none; the hint names suitable compilers.
    """
    if target == ANDROID:
        return _ndk()
    if target == X86_64:
        if platform.machine() == "x86_64" and shutil.which("c++") and shutil.which("cc"):
            return _simple("cc", "c++")
        raise ToolError(
            "building the Paddle Lite runner for x86_64: no C++ compiler", hint="apt-get install g++"
        )
    if shutil.which(f"{_CROSS}g++") and shutil.which(f"{_CROSS}gcc"):
        return _simple(f"{_CROSS}gcc", f"{_CROSS}g++")
    try:
        return _zig_with_libstdcxx(progress)
    except ToolError as error:
        raise ToolError(
            "building the Paddle Lite runner for aarch64: it needs a C++ compiler with GNU's C++ library; "
            f"there is no {_CROSS}g++, and zig with Debian's libstdc++ does not do: {error.message}",
            hint=f"apt-get install g++-{_CROSS.rstrip('-')}",
        ) from error


def _simple(c: str, cxx: str) -> Compiler:
    return Compiler(name=_version(c), c=(c,), cxx=(cxx,), link=(cxx,))


def _version(program: str) -> str:
    done = _process.run([program, "--version"], timeout_s=VERSION_TIMEOUT_S, env={"LC_ALL": "C"})
    if not done.ok:
        raise ToolError(
            f"asking {program} for its version: {_process.describe_exit(done.exit_code)}: {done.tail(2)}",
            hint="edgekit doctor",
        )
    return done.stdout.partition("\n")[0]


def find_zig() -> Path | None:
    """Return the program of the package ziglang; None where the package is not installed."""
    spec = importlib.util.find_spec("ziglang")
    return None if spec is None or spec.origin is None else Path(spec.origin).with_name("zig")


def _zig(triple: str) -> Compiler:
    import importlib.metadata

    cache = str(cache_directory("native") / "zig")
    call = (str(find_zig()), "cc", "-target", triple)
    return Compiler(
        name=f"zig {importlib.metadata.version('ziglang')} for {triple}",
        c=call,
        cxx=call,
        link=call,
        env={"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache},
    )


def _zig_with_libstdcxx(progress: Report) -> Compiler:
    """Return zig's C++ compiler with the headers and libraries of Debian's libstdc++ for ARM64."""
    if find_zig() is None:
        raise ToolError("the package ziglang is not installed", hint="pip install ziglang")
    libraries = c_libraries(AARCH64, progress)
    glibc = re.match(r"\d+\.\d+", libraries.versions["libc6"])
    assert glibc is not None, libraries.versions
    zig = _zig(f"aarch64-linux-gnu.{glibc.group()}")
    headers, number = _libstdcxx_headers(progress)
    include = headers / "usr" / "include"
    return Compiler(
        name=f"{zig.name}, libstdc++ {libraries.versions['libstdc++6']}",
        c=zig.c,
        cxx=(
            # -I and not -isystem: these must precede zig's C headers, which they include_next.
            *zig.c, "-x", "c++", "-nostdinc++", f"-I{include}/c++/{number}",
            f"-I{include}/aarch64-linux-gnu/c++/{number}", f"-I{include}/c++/{number}/backward",
        ),
        link=zig.c,
        link_last=(
            str(libraries.file("libstdc++.so.6")), str(libraries.file("libgcc_s.so.1")),
            "-Wl,--allow-shlib-undefined",
        ),
        env=zig.env,
    )  # fmt: skip


def _libstdcxx_headers(progress: Report) -> tuple[Path, int]:
    """Return the newest libstdc++ headers of this machine's Debian or Ubuntu, with their number."""
    place = cache_directory("apt")
    for number in LIBSTDCXX_VERSIONS:
        if (place / f"libstdcxx-{number}-arm64").is_dir():
            return place / f"libstdcxx-{number}-arm64", number
    missing: ToolError | None = None
    for number in LIBSTDCXX_VERSIONS:
        into = place / f"libstdcxx-{number}-arm64"
        try:
            fetch_packages(
                [f"libstdc++-{number}-dev"],
                architecture="arm64",
                into=into,
                only=("usr/include/**/*",),
                progress=progress,
            )
            return into, number
        except ToolError as error:
            if "Unable to locate" not in error.message and "no installation candidate" not in error.message:
                raise
            missing = error
    assert missing is not None
    raise missing


def _ndk() -> Compiler:
    """Return clang of the Android NDK, with its static C++ library."""
    place = os.environ.get("ANDROID_NDK_HOME")
    if not place:
        raise ToolError(
            "building the runner for android: $ANDROID_NDK_HOME is not set",
            hint="install the Android NDK and set ANDROID_NDK_HOME; for a bundle that runs on Android too, "
            "no NDK is needed: --target aarch64",
        )
    programs = Path(place) / "toolchains" / "llvm" / "prebuilt" / "linux-x86_64" / "bin"
    c = programs / f"aarch64-linux-android{ANDROID_API}-clang"
    cxx = programs / f"aarch64-linux-android{ANDROID_API}-clang++"
    for program in (c, cxx):
        if not os.access(program, os.X_OK):
            raise ToolError(
                f"building the runner for android: $ANDROID_NDK_HOME is {place}, and there is no {program}",
                hint="name the directory of an NDK of r23 or later, e.g. …/Android/Sdk/ndk/27.2.12479018",
            )
    compiler = _simple(str(c), str(cxx))
    return msgspec.structs.replace(compiler, link_last=("-static-libstdc++", "-fopenmp", "-static-openmp"))
