"""The bundle that travels to a device: runner, engine library, and its own loader, C and C++ library.

Bringing these along, one bundle runs on ARM64 Linux of any distribution, on Android (whose shell may run
programs from /data/local/tmp, and whose kernel does not mind another C library) and on the virtual device.
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
    """A runner with everything that it needs.

    Attributes:
        engine: Its name.
        engine_version: Of the engine's library.
        abi: What a device must run.
        fp16: Whether the library has fp16 kernels.
        build_id: The runner's, as its `--version` says.
        compiler: What built the runner.
        library_versions: Debian versions of the C and C++ library, by package.
        files: Name in the bundle -> file here; all are executable there.
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
        """The runner's command line once the bundle's files lie in `remote_dir`."""
        return [f"{remote_dir}/{LOADER}", "--library-path", remote_dir, f"{remote_dir}/{self.program}"]

    def env(self, remote_dir: str) -> Mapping[str, str]:
        """Environment variables of the runner: none of them may load a library of the device."""
        # The shells of some Android versions preload libraries of theirs, which this loader cannot read.
        return {"LD_PRELOAD": "", "LD_LIBRARY_PATH": ""}

    def counting_env(self, remote_dir: str) -> Mapping[str, str]:
        """Environment variables for counting instructions: threads that wait sleep instead of polling.

        GNU's OpenMP reads it (Paddle Lite), and so does the ONNX Runtime runner.
        """
        return {**self.env(remote_dir), "OMP_WAIT_POLICY": "passive"}


def assemble(engine: str, *, install: bool = True, progress: Report) -> Bundle:
    """Install, fetch and build what is missing, and put the bundle together.

    Args:
        engine: One that runs on devices.
        install: Whether a missing runtime may be downloaded on the way.
        progress: Told what is going on.

    Raises:
        ToolError: Something of it cannot be had; with the remedies.
        UsageError: No such engine.
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
    """Names of all libraries that these files need, directly or not, beyond themselves.

    Raises:
        ToolError: One is in none of the packages.
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
