"""Host builds of the native runner: with ONNX Runtime, and with an engine that does nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

from edgekit.toolchain.build.classifier import build_classifier
from edgekit.toolchain.build.native import C_FLAGS, COMPILE_FLAGS, CORE, LINK_FLAGS, SOURCES, build_runner

IDLE_ENGINE = Path(__file__).parent / "engine_idle.c"


@pytest.fixture(scope="session")
def program() -> Path:
    """`edgekit-classify` for this machine, from the cache or built."""
    return build_classifier(progress=print)


@pytest.fixture(scope="session")
def onnxruntime_runner() -> Path:
    """The ONNX Runtime runner for this machine, from the cache or built."""
    return build_runner("onnxruntime", "x86_64", progress=print).path


def _compile(source: Path, output: Path, *flags: str) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler (cc)")
    core = [SOURCES / f"{name}.c" for name in CORE]
    subprocess.run(
        [compiler, *COMPILE_FLAGS, *C_FLAGS, "-Werror", *flags, f"-I{SOURCES}", *core, source,
         *LINK_FLAGS, "-o", output],
        check=True, timeout=120,
    )  # fmt: skip
    return output


@pytest.fixture(scope="session")
def idle_runner(shared_directory: Path) -> Path:
    """The runner's core around an engine that does nothing: what is measured then is the runner itself."""
    output = shared_directory / "edgekit-runner-idle"
    with FileLock(shared_directory / "idle.lock"):
        return output if output.exists() else _compile(IDLE_ENGINE, output)


@pytest.fixture(scope="session")
def checked_runner(shared_directory: Path) -> Path:
    """Runner built with the compiler's checks for memory errors and undefined behaviour."""
    output = shared_directory / "edgekit-runner-checked"
    flags = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    with FileLock(shared_directory / "checked.lock"):
        return output if output.exists() else _compile(IDLE_ENGINE, output, *flags)
