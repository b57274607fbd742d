"""The parts of a virtual device: emulator, busybox, counting plug-in; fetched and built at need."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
from importlib import resources
from pathlib import Path

import msgspec

from edgekit import _process
from edgekit._files import atomic_file, locked
from edgekit.errors import ToolError
from edgekit.toolchain.build.compilers import find_zig
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.component import Report
from edgekit.toolchain.fetch.apt import fetch_packages
from edgekit.virtual.config import Backend
from edgekit.virtual.machine.tree import SHIM_NAME

COMPILE_TIMEOUT_S = 300.0
LIBRARIES = ("lib/**/*.so*", "usr/lib/**/*.so*", "lib64/*", "usr/lib64/*")
# A library that every build of qemu-user needs, whose name is long enough to be overwritten with ours.
SHIMMED_LIBRARY = "libglib-2.0.so.0"


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """Paths of the parts.

    Attributes:
        qemu: The emulator as the kernel is to start it.
        host_libraries: Device path by host path of the libraries that the emulator needs at run time.
        loader: Argument list that starts the emulator outside the device.
        counter: The counting plug-in; None where the emulator or the machine cannot have it.
        proot: Program of the backend `proot`; None for the other.
    """

    qemu: Path
    host_libraries: dict[str, str]
    loader: tuple[str, ...]
    busybox: Path
    applets: tuple[str, ...]
    counter: Path | None = None
    shim: Path | None = None
    proot: Path | None = None


def prepare_tools(backend: Backend, report: Report) -> Tools:
    """Fetch and build the missing parts.

    Raises:
        ToolError: A package cannot be had; it names those to install.
    """
    busybox = _fetch_busybox(report)
    tools = (
        _prepare_static(busybox, report) if backend is Backend.PROOT else _prepare_dynamic(busybox, report)
    )
    listed = _process.run([*tools.loader, busybox, "--list"], timeout_s=60.0)
    if not listed.ok:
        ended = _process.describe_exit(listed.exit_code)
        raise ToolError(
            f"running {busybox} under {tools.qemu}: {ended}: {listed.tail(2)}",
            hint="edgekit cache clean apt",
        )
    return msgspec.structs.replace(tools, applets=tuple(listed.stdout.split()))


def _fetch_busybox(report: Report) -> Path:
    into = cache_directory("apt") / "busybox-arm64"
    fetch_packages(["busybox-static"], architecture="arm64", into=into, progress=report)
    for name in ("bin/busybox", "usr/bin/busybox"):
        if (into / name).is_file():
            return into / name
    raise ToolError(f"looking for busybox: none in {into}", hint="edgekit cache clean apt")


def _host_architecture() -> str:
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    machine = platform.machine()
    if machine not in names:
        raise ToolError(f"starting a virtual device: this host is {machine}; it takes x86-64 or ARM64")
    return names[machine]


def _prepare_static(busybox: Path, report: Report) -> Tools:
    architecture = _host_architecture()
    into = cache_directory("apt") / "qemu-user-static"
    found = shutil.which("qemu-aarch64-static")
    if found is None:
        name = "usr/bin/qemu-aarch64-static"
        fetch_packages(
            ["qemu-user-static"], architecture=architecture, into=into, only=[name], progress=report
        )
        found = str(into / name)
    proot = shutil.which("proot")
    if proot is None:
        into = cache_directory("apt") / "proot"
        fetch_packages(["proot"], architecture=architecture, into=into, dependencies=True, progress=report)
        proot = str(_loader_script(into, "usr/bin/proot"))
    return Tools(
        qemu=Path(found),
        host_libraries={},
        loader=(found,),
        busybox=busybox,
        applets=(),
        proot=Path(proot),
    )


def _loader_script(packages: Path, program: str) -> Path:
    """A script that starts a fetched program with the libraries fetched beside it, wherever that is."""
    loader = [word.replace(str(packages), "$here") for word in (*_loader(packages), str(packages / program))]
    text = "#!/bin/sh\nhere=${0%/*}\nexec " + " ".join(f'"{word}"' for word in loader) + ' "$@"\n'
    script = packages / f"run-{Path(program).name}"
    if not script.exists() or script.read_text() != text:
        with atomic_file(script) as temporary:
            temporary.write_text(text)
        script.chmod(0o755)
    return script


def _loader(packages: Path) -> tuple[str, ...]:
    directories = [str(packages / name) for name in _library_directories(packages)]
    for pattern in ("**/ld-linux-x86-64.so.2", "**/ld-linux-aarch64.so.1"):
        for path in sorted(packages.glob(pattern)):
            if path.is_file() and not path.is_symlink():
                return (str(path), "--library-path", ":".join(directories))
    raise ToolError(f"looking for the loader: none in {packages}", hint="edgekit cache clean apt")


def _library_directories(packages: Path) -> list[str]:
    """Directories of multiarch libraries, relative to the packages' root."""
    triplet = f"{platform.machine()}-linux-gnu"
    return [f"{parent}/{triplet}" for parent in ("lib", "usr/lib") if (packages / parent / triplet).is_dir()]


def _prepare_dynamic(busybox: Path, report: Report) -> Tools:
    """Debian's qemu-user: only the dynamically linked emulator can load plug-ins."""
    packages = cache_directory("apt") / "qemu-user"
    fetch_packages(
        ["qemu-user"], architecture=_host_architecture(), into=packages, dependencies=True,
        only=["usr/bin/qemu-aarch64", *LIBRARIES], progress=report,
    )  # fmt: skip
    loader = _loader(packages)
    qemu = packages / "usr/bin/qemu-aarch64"
    libraries = {str(packages / name): f"/{name}" for name in _library_directories(packages)}
    counter = shim = None
    compiler = find_compiler()
    if compiler is None:
        report("no C compiler: this device cannot count instructions (install gcc, or pip install ziglang)")
    else:
        plugin_api = "2" if _major_version([*loader, str(qemu)]) >= 9 else "1"
        counter = compile_library("counting/icount.c", (f"-DPLUGIN_API={plugin_api}",), compiler, report)
        replaced = sorted(packages.glob(f"**/{SHIMMED_LIBRARY}"))
        options = ("-Wl,--no-as-needed", *map(str, replaced[:1]))
        shim = compile_library("machine/machine_shim.c", options, compiler, report)
        qemu = _with_shim(qemu, shim)
    return Tools(
        qemu=qemu,
        host_libraries=libraries,
        loader=(*loader, str(packages / "usr/bin/qemu-aarch64")),
        busybox=busybox,
        applets=(),
        counter=counter,
        shim=shim,
    )


def _with_shim(qemu: Path, shim: Path) -> Path:
    """A copy of the emulator that asks for our library first; the library asks for the one it replaced.

    LD_PRELOAD would not do: the variable would reach the ARM64 programs' own loader.
    """
    content = qemu.read_bytes()
    old, new = SHIMMED_LIBRARY.encode() + b"\0", SHIM_NAME.encode() + b"\0"
    if old not in content:
        raise ToolError(
            f"preparing {qemu}: it does not need {SHIMMED_LIBRARY}", hint="edgekit cache clean apt"
        )
    patched = content.replace(old, new.ljust(len(old), b"\0"))
    place = shim.parent / f"qemu-aarch64-{hashlib.sha256(patched).hexdigest()[:16]}"
    if not place.exists():
        with atomic_file(place) as temporary:
            temporary.write_bytes(patched)
        place.chmod(0o755)
    return place


def _major_version(qemu: list[str]) -> int:
    done = _process.run([*qemu, "--version"], timeout_s=30.0)
    match = re.search(r"version (\d+)\.", done.stdout)
    if not done.ok or match is None:
        raise ToolError(f"asking {qemu[-1]} for its version: {done.tail(2)}", hint="edgekit cache clean apt")
    return int(match[1])


def find_compiler() -> tuple[str, ...] | None:
    """A C compiler for this host: $CC, cc, gcc, clang, or ziglang from PyPI; None without any."""
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and shutil.which(name):
            return (name,)
    zig = find_zig()
    return None if zig is None else (str(zig), "cc")


def compile_library(source: str, options: tuple[str, ...], compiler: tuple[str, ...], report: Report) -> Path:
    """Build a shared library for this host from a C file of `edgekit/virtual`, once for each content."""
    code = (resources.files("edgekit.virtual") / source).read_bytes()
    key = hashlib.sha256(b"\0".join([code, *(word.encode() for word in (*options, *compiler))])).hexdigest()
    place = cache_directory("virtual") / "libraries" / f"{Path(source).stem}-{key[:16]}.so"
    if place.exists():
        return place
    with locked(place.with_suffix(".lock"), f"the build of {source}"):
        if place.exists():
            return place
        report(f"building {source}")
        with atomic_file(place) as temporary:
            input_path = temporary.with_suffix(".c")
            input_path.write_bytes(code)
            try:
                _compile(compiler, options, input_path, temporary, source)
            finally:
                input_path.unlink()
        place.chmod(0o755)
    return place


def _compile(
    compiler: tuple[str, ...], options: tuple[str, ...], source: Path, output: Path, name: str
) -> None:
    done = _process.run(
        [*compiler, "-O2", "-std=gnu11", "-shared", "-fPIC", "-o", output, source, *options],
        timeout_s=COMPILE_TIMEOUT_S,
    )
    if not done.ok:
        ended = _process.describe_exit(done.exit_code)
        raise ToolError(
            f"building {name} with {' '.join(compiler)}: {ended}:\n{done.tail(6)}",
            hint="install gcc, or pip install ziglang",
        )
