"""Bundle for a device: runner, engine library, and a loader, C and C++ library of its own.

Therefore the bundle for ARM64 runs on Linux of any distribution, on Android (whose shell may run programs
from /data/local/tmp, and whose kernel accepts another C library) and on the virtual device, and the one for
x86-64 on Linux of any distribution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from edgekit.engines.registry import device_engines, device_side
from edgekit.errors import ToolError, UnsupportedError
from edgekit.toolchain.build.c_libraries import CLibraries, c_libraries, loader_name
from edgekit.toolchain.build.elf import read_elf
from edgekit.toolchain.build.native import build_runner
from edgekit.toolchain.build.runtimes import AARCH64, X86_64, Runtime, find_runtime, provider
from edgekit.toolchain.component import InstallRequest, Report

ABIS = {AARCH64: "arm64-v8a", X86_64: "x86_64"}
"""ABI of devices by the target of their bundles."""


def target_of(abis: Sequence[str]) -> str | None:
    """Return the target of the bundles that a device with these ABIs runs; None where there are none."""
    return next((target for abi in abis for target, known in ABIS.items() if known == abi), None)


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """A runner with all files that it needs.

    Attributes:
        engine: Name of the engine.
        engine_version: Version of the engine's library.
        target: `aarch64` or `x86_64`.
        fp16: True where the library has fp16 kernels.
        opencl: True where the library computes by OpenCL.
        files: Name in the bundle -> file on this machine; all are executable on the device.
    """

    engine: str
    engine_version: str
    target: str = AARCH64
    fp16: bool
    opencl: bool = False
    files: dict[str, Path]
    program: str

    @property
    def abi(self) -> str:
        """ABI that a device must run."""
        return ABIS[self.target]

    @property
    def features(self) -> tuple[str, ...]:
        """Features that the bundle's code needs of every core: none beside those of the ABI."""
        return ()

    @property
    def parts(self) -> tuple[()]:
        """Directories that the bundle shares with others: none."""
        return ()

    def unpacking(self, remote_dir: str) -> None:
        """Return None: nothing is unpacked on the device."""

    def argv(self, remote_dir: str) -> list[str]:
        """Return the runner's command line for a bundle in `remote_dir`."""
        loader = f"{remote_dir}/{loader_name(self.target)}"
        return [loader, "--library-path", remote_dir, f"{remote_dir}/{self.program}"]

    def env(self, remote_dir: str) -> Mapping[str, str]:
        """Environment variables of the runner; they keep the device's own libraries out."""
        # The shells of some Android versions preload libraries of their own, which this loader cannot read.
        return {"LD_PRELOAD": "", "LD_LIBRARY_PATH": ""}

    def counting_env(self, remote_dir: str) -> Mapping[str, str]:
        """Environment variables for counting instructions: waiting threads sleep instead of polling.

        GNU's OpenMP (Paddle Lite) and the ONNX Runtime runner read them.
        """
        return {**self.env(remote_dir), "OMP_WAIT_POLICY": "passive"}


def assemble(engine: str, target: str = AARCH64, *, install: bool = True, progress: Report) -> Bundle:
    """Install, fetch and build missing parts, and assemble the bundle.

    Args:
        engine: Engine that runs on devices.
        target: `aarch64` or `x86_64`.
        install: True to download a missing runtime.
        progress: Called with a line for the user about each step.

    Raises:
        ToolError: A part cannot be obtained; the hint lists the remedies.
        UnsupportedError: The engine does not run on devices of that target.
        UsageError: The engine does not exist.
    """
    check_target(engine, target)
    runtime = find_runtime(engine, target) or _install(engine, target, install, progress)
    runner = build_runner(engine, target, progress=progress)
    libraries = c_libraries(target, progress)
    soname = read_elf(runtime.library_path).soname or runtime.library
    files = {runner.path.name: runner.path, soname: runtime.library_path}
    for name in (loader_name(target), *_closure(files, libraries)):
        files[name] = libraries.file(name)
    return Bundle(
        engine=engine,
        engine_version=runtime.version,
        target=target,
        fp16=runtime.fp16,
        opencl=runtime.opencl,
        files=files,
        program=runner.path.name,
    )


def check_target(engine: str, target: str) -> None:
    """Raise UnsupportedError where an engine does not run on devices of a target."""
    if target not in device_side(engine).targets:
        others = [name for name in device_engines() if target in device_side(name).targets]
        raise UnsupportedError(
            f"{engine} on {ABIS[target]} devices: its runner is for {', '.join(device_side(engine).targets)}",
            hint=f"--engine {others[0]}" if others else None,
        )


def available(engine: str, target: str) -> bool:
    """Return True where the library of an engine for devices of a target is installed here."""
    brings = provider(engine)
    if find_runtime(engine, target) is not None:
        return True
    if target != X86_64 or brings.host_library is None:
        return False
    try:
        brings.host_library()
    except ToolError:
        return False
    return True


def _install(engine: str, target: str, install: bool, progress: Report) -> Runtime:
    brings = provider(engine)
    if target == X86_64 and brings.host_library is not None:
        return brings.host_library()
    if install:
        return brings.install(InstallRequest(progress=progress))
    raise ToolError(
        f"assembling the {engine} bundle: its library for devices is not installed",
        hint=brings.remedies(target),
    )


def _closure(files: dict[str, Path], libraries: CLibraries) -> list[str]:
    """Return the names of all libraries that these files need, directly or not, without the files themselves.

    Raises:
        ToolError: None of the packages contains a library.
    """
    waiting = list(files.values())
    names: list[str] = []
    while waiting:
        for name in read_elf(waiting.pop()).needed:
            if name in files or name in names or name == loader_name(libraries.target):
                continue
            names.append(name)
            waiting.append(libraries.file(name))
    return sorted(names)
