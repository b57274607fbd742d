"""Builds the native runner (`edgekit/native`), one executable an engine and target, and caches it.

The name of a build contains a hash of everything it depends on (sources, compiler, flags, the engine's
headers and library), so an existing runner is always up to date.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from edgekit import __version__, _process
from edgekit._files import locked, new_directory, output_error, sha256_file
from edgekit.engines.registry import BUILD_ENGINE, native_engines, native_runner
from edgekit.engines.spec import Library
from edgekit.errors import ToolError, UsageError
from edgekit.toolchain.build.compilers import Compiler, c_compiler, cxx_compiler
from edgekit.toolchain.build.elf import read_elf
from edgekit.toolchain.build.runtimes import (
    AARCH64,
    ANDROID,
    TARGETS,
    X86_64,
    Runtime,
    find_runtime,
    provider,
)
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.component import Component, Found, InstallRequest, Report

SOURCES = Path(__file__).parents[2] / "native"
CORE = ("main", "json", "sha256", "failure", "machine", "request", "load", "run", "environment", "reference")
COMPILE_FLAGS = ("-O2", "-Wall", "-Wextra", "-D_GNU_SOURCE", "-fPIE")
C_FLAGS = ("-std=c11",)
CXX_FLAGS = ("-std=c++17",)
# The runner looks for its engine's library beside itself; pages of 64 KB like those of Debian's ARM64
# libraries can be loaded by kernels with pages of 4, 16 and 64 KB.
LINK_FLAGS = ("-pie", "-Wl,-rpath,$ORIGIN", "-Wl,-z,max-page-size=65536")
COMPILE_TIMEOUT_S = 600.0


class NativeRunner(msgspec.Struct, frozen=True, kw_only=True):
    """A native runner that has been built.

    Attributes:
        engine: Name of the engine.
        target: `aarch64`, `x86_64` or `android`.
        path: The executable; on x86_64 its engine's library is beside it.
        build_id: Hash of everything that the runner was built from; `--version` prints it.
        compiler: Compiler that built the runner.
    """

    engine: str
    target: str
    path: Path
    build_id: str
    compiler: str

    @property
    def build(self) -> str:
        """Arguments of `edgekit toolchain build` that build the runner."""
        return f"runner --engine {self.engine} --target {self.target}"


def build_runner(engine: str, target: str, *, progress: Report, force: bool = False) -> NativeRunner:
    """Build a runner unless it exists, and return it.

    Raises:
        UsageError: The engine or target does not exist.
        ToolError: The compiler or the engine's library is missing, or compiling failed.
        OutputError: The cache cannot be written.
    """
    _check_names(engine, target)
    runtime = _runtime(engine, target)
    backend = SOURCES / native_runner(engine).backend
    cxx = backend.suffix == ".cc"
    compiler = cxx_compiler(target, progress=progress) if cxx else c_compiler(target)
    runner = _planned(engine, target, compiler, runtime)

    def build(work: Path, new: Path) -> None:
        progress(f"building the {engine} runner for {target} with {compiler.name}")
        flags = [f'-DEDGEKIT_VERSION="{__version__}"', f'-DEDGEKIT_BUILD_ID="{runner.build_id}"']
        sources = [SOURCES / f"{name}.c" for name in CORE]
        objects = [compile_source(each, work, compiler, flags, runner.build) for each in sources]
        if cxx and runtime is not None:
            engine_version = f'-DEDGEKIT_ENGINE_VERSION="{runtime.version}"'
            flags += ["-isystem", str(runtime.include_directory), engine_version]
        objects.append(compile_source(backend, work, compiler, flags, runner.build))
        _link(objects, new / runner.path.name, runner, compiler, runtime)
        if target == X86_64 and runtime is not None:
            put_library(runtime, new)

    build_once(runner.path, f"the {engine} runner for {target}", build, force=force)
    return runner


def _planned(engine: str, target: str, compiler: Compiler, runtime: Runtime | None) -> NativeRunner:
    sources = sorted(path for path in SOURCES.iterdir() if path.suffix in (".c", ".cc", ".h"))
    identity = build_id(sources, compiler, runtime, engine, target)
    directory = cache_directory("native") / f"{engine}-{target}-{identity}"
    return NativeRunner(
        engine=engine,
        target=target,
        path=directory / f"edgekit-runner-{engine}",
        build_id=identity,
        compiler=compiler.name,
    )


def build_once(program: Path, what: str, build: Callable[[Path, Path], None], *, force: bool) -> None:
    """Build a program into a directory of its own unless it exists; old or new, never a mixture.

    Args:
        program: Path of the program to build.
        what: Name of the program in errors.
        build: Called with a temporary directory and the directory to keep.
        force: True to build again.

    Raises:
        OutputError: The cache cannot be written.
    """
    if _is_whole(program) and not force:
        return
    place = program.parent
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with locked(place.with_suffix(".lock"), what):
            if _is_whole(program) and not force:
                return
            with new_directory(place) as new:
                build(new.parent, new)
    except OSError as error:
        raise output_error(place, error) from error


def _is_whole(program: Path) -> bool:
    """Return True where the program is built and no link beside it is broken."""
    return program.is_file() and all(path.is_file() for path in program.parent.iterdir())


def put_library(runtime: Runtime, directory: Path) -> None:
    """Copy a library beside the program that loads it, under the name that the program uses.

    A copy, because the environment of the library may be gone when the program runs again.
    """
    name = read_elf(runtime.library_path).soname or runtime.library
    shutil.copyfile(runtime.library_path, directory / name)


def _check_names(engine: str, target: str) -> None:
    if engine not in native_engines():
        raise UsageError(
            f"building the runner: no engine {engine!r}", hint=f"--engine {' or '.join(native_engines())}"
        )
    if target not in TARGETS:
        raise UsageError(
            f"building the runner: no target {target!r}", hint=f"--target {' or '.join(TARGETS)}"
        )


def _runtime(engine: str, target: str) -> Runtime | None:
    """Return the library to link, or to copy beside the runner on x86-64; None if the bundle has it."""
    brings = provider(engine)
    if target == X86_64 and brings.host_library is not None:
        return brings.host_library()
    if native_runner(engine).library is Library.OPENED:
        return None
    runtime = find_runtime(engine, target)
    if runtime is None:
        raise ToolError(
            f"building the {engine} runner for {target}: its library is not installed",
            hint=brings.remedies(target),
        )
    return runtime


def build_id(sources: Iterable[Path], compiler: Compiler, runtime: Runtime | None, *others: str) -> str:
    """Return a hash of everything that a program is built from."""
    digest = hashlib.sha256()
    for path in sources:
        digest.update(f"{path.name} {sha256_file(path)}\n".encode())
    # The compiler counts by name and version; its path does not affect the output.
    flags = (COMPILE_FLAGS, C_FLAGS, CXX_FLAGS, LINK_FLAGS)
    library = (runtime.version, runtime.sha256) if runtime else None
    for part in (*others, __version__, compiler.name, flags, library):
        digest.update(f"{part!r}\n".encode())
    return digest.hexdigest()[:16]


def compile_source(source: Path, work: Path, compiler: Compiler, flags: Sequence[str], build: str) -> Path:
    """Compile a source; return the object file. `build` are the arguments of `edgekit toolchain build`."""
    output = work / f"{source.stem}.o"
    program, standard = (compiler.cxx, CXX_FLAGS) if source.suffix == ".cc" else (compiler.c, C_FLAGS)
    # Relative names, because the output must not depend on the directory of the sources.
    words = [*program, *COMPILE_FLAGS, *standard, *flags, "-c", source.name, "-o", str(output)]
    call_compiler(words, f"compiling {source.name}", compiler, build, cwd=source.parent)
    return output


def _link(
    objects: list[Path], output: Path, runner: NativeRunner, compiler: Compiler, runtime: Runtime | None
) -> None:
    libraries = ["-ldl", "-lm"]
    if runtime is not None and native_runner(runner.engine).library is Library.LINKED:
        libraries.insert(0, str(runtime.library_path))
    inputs = [*map(str, objects), *libraries, *compiler.link_last]
    words = [*compiler.link, *LINK_FLAGS, *inputs, "-o", str(output)]
    call_compiler(words, "linking", compiler, runner.build, cwd=output.parent)
    machine = read_elf(output).machine
    if machine != (AARCH64 if runner.target == ANDROID else runner.target):
        raise ToolError(
            f"building the {runner.engine} runner for {runner.target}: {compiler.name} built for {machine}"
        )


def call_compiler(argv: list[str], what: str, compiler: Compiler, build: str, *, cwd: Path) -> None:
    """Run a compiler, or raise ToolError; `build` are the arguments of `edgekit toolchain build`."""
    env: dict[str, str | None] = {**compiler.env, "LC_ALL": "C"}
    done = _process.run(argv, timeout_s=COMPILE_TIMEOUT_S, env=env, cwd=cwd)
    if not done.ok:
        raise ToolError(
            f"building {build}: {what} with {compiler.name} ended with "
            f"{_process.describe_exit(done.exit_code)}:\n{done.tail(12)}",
            hint=f"edgekit --verbose toolchain build {build} shows the command"
            + ("; is the disk full?" if _low_on_space(cwd) else ""),
        )


def _low_on_space(place: Path) -> bool:
    status = os.statvfs(place)
    return status.f_bavail * status.f_frsize < 50_000_000


def _find() -> Found | None:
    try:
        runner = _planned(BUILD_ENGINE, AARCH64, c_compiler(AARCH64), None)
    except ToolError:
        return None
    return _as_found(runner) if runner.path.is_file() else None


def _as_found(runner: NativeRunner) -> Found:
    return Found(
        version=__version__, path=runner.path, detail=f"{runner.engine}, {runner.target}, {runner.compiler}"
    )


def _install(request: InstallRequest) -> Found:
    if request.archive is not None or request.directory is not None or request.version is not None:
        raise UsageError(
            "installing the runner: it is built from edgekit's own sources",
            hint="edgekit toolchain build runner --target aarch64",
        )
    return _as_found(build_runner(BUILD_ENGINE, AARCH64, progress=request.progress, force=request.force))


COMPONENT = Component(
    name="runner",
    purpose="the native runner for devices; bench, verify and push there build it on the way",
    find=_find,
    install=_install,
)
