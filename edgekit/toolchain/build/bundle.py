"""Bundle for a device: runner, engine library, and a loader, C and C++ library of its own.

Therefore one bundle runs on ARM64 Linux of any distribution, on Android (whose shell may run programs from
/data/local/tmp, and whose kernel accepts another C library) and on the virtual device.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from edgekit.errors import ToolError
from edgekit.toolchain.build.arm64_libraries import LOADER, Arm64Libraries, arm64_libraries
from edgekit.toolchain.build.elf import read_elf
from edgekit.toolchain.build.native import build_runner
from edgekit.toolchain.build.runtimes import AARCH64, Runtime, find_runtime, provider
from edgekit.toolchain.component import InstallRequest, Report

ABI = "arm64-v8a"


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """A runner with all files that it needs.

    Attributes:
        engine: Name of the engine.
        engine_version: Version of the engine's library.
        abi: ABI that a device must run.
        fp16: True where the library has fp16 kernels.
        build_id: Build id of the runner, as its `--version` prints it.
        compiler: Compiler that built the runner.
        library_versions: Debian versions of the C and C++ library, by package.
        files: Name in the bundle -> file on this machine; all are executable on the device.
    """

    engine: str
    engine_version: str
    abi: str = ABI
    fp16: bool
    build_id: str
    compiler: str
    library_versions: dict[str, str]
    files: dict[str, Path]
    program: str

    def argv(self, remote_dir: str) -> list[str]:
        """Return the runner's command line for a bundle in `remote_dir`."""
        return [f"{remote_dir}/{LOADER}", "--library-path", remote_dir, f"{remote_dir}/{self.program}"]

    def env(self, remote_dir: str) -> Mapping[str, str]:
        """Environment variables of the runner; they keep the device's own libraries out."""
        # The shells of some Android versions preload libraries of their own, which this loader cannot read.
        return {"LD_PRELOAD": "", "LD_LIBRARY_PATH": ""}

    def counting_env(self, remote_dir: str) -> Mapping[str, str]:
        """Environment variables for counting instructions: waiting threads sleep instead of polling.

        GNU's OpenMP (Paddle Lite) and the ONNX Runtime runner read them.
        """
        return {**self.env(remote_dir), "OMP_WAIT_POLICY": "passive"}


def assemble(engine: str, *, install: bool = True, progress: Report) -> Bundle:
    """Install, fetch and build missing parts, and assemble the bundle.

    Args:
        engine: Engine that runs on devices.
        install: True to download a missing runtime.
        progress: Called with a line for the user about each step.

    Raises:
        ToolError: A part cannot be obtained; the hint lists the remedies.
        UsageError: The engine does not exist.
    """
    runtime = find_runtime(engine, AARCH64) or _install(engine, install, progress)
    runner = build_runner(engine, AARCH64, progress=progress)
    libraries = arm64_libraries(progress)
    files = {runner.path.name: runner.path, runtime.library: runtime.library_path}
    for name in (LOADER, *_closure(files, libraries)):
        files[name] = libraries.file(name)
    return Bundle(
        engine=engine,
        engine_version=runtime.version,
        fp16=runtime.fp16,
        build_id=runner.build_id,
        compiler=runner.compiler,
        library_versions=libraries.versions,
        files=files,
        program=runner.path.name,
    )


def _install(engine: str, install: bool, progress: Report) -> Runtime:
    brings = provider(engine)
    if install:
        return brings.install(InstallRequest(progress=progress))
    raise ToolError(
        f"assembling the {engine} bundle: its library for devices is not installed",
        hint=brings.remedies(AARCH64),
    )


def _closure(files: dict[str, Path], libraries: Arm64Libraries) -> list[str]:
    """Return the names of all libraries that these files need, directly or not, without the files themselves.

    Raises:
        ToolError: None of the packages contains a library.
    """
    waiting = list(files.values())
    names: list[str] = []
    while waiting:
        for name in read_elf(waiting.pop()).needed:
            if name in files or name in names or name == LOADER:
                continue
            names.append(name)
            waiting.append(libraries.file(name))
    return sorted(names)
