"""Builds `edgekit-classify` (`edgekit/native/classify`), which classifies pictures without Python."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgekit import __version__, _process
from edgekit._files import sha256_file
from edgekit.errors import ToolError
from edgekit.toolchain.build.compilers import Compiler, cxx_compiler
from edgekit.toolchain.build.native import (
    C_FLAGS,
    COMPILE_FLAGS,
    COMPILE_TIMEOUT_S,
    CXX_FLAGS,
    LINK_FLAGS,
    SOURCES,
    build_once,
    put_library,
)
from edgekit.toolchain.build.onnxruntime_runtime import installed_library
from edgekit.toolchain.build.runtimes import X86_64, Runtime
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.component import Report
from edgekit.toolchain.fetch.apt import fetch_packages

PROGRAM = "edgekit-classify"
SHARED = ("json.c", "sha256.c", "failure.c", "machine.c", "engine_onnxruntime.c")
"""Sources of the native runner that the classifier is built with, as in classify/CMakeLists.txt."""
STB_HEADER = "usr/include/stb/stb_image.h"


def build_classifier(*, progress: Report, force: bool = False) -> Path:
    """Build the program unless it exists, and return it; ONNX Runtime's library is beside it.

    Raises:
        ToolError: The compiler, stb_image or ONNX Runtime is missing, or compiling failed.
        OutputError: The cache cannot be written.
    """
    runtime = installed_library()
    compiler = cxx_compiler(X86_64, progress=progress)
    stb = _stb_directory(progress)
    place = cache_directory("native") / f"classify-{X86_64}-{_build_id(compiler, runtime, stb)}"
    program = place / PROGRAM

    def build(work: Path, new: Path) -> None:
        progress(f"building {PROGRAM} with {compiler.name}")
        objects = []
        for source in _sources():
            output = work / f"{source.stem}.o"
            cxx = source.suffix == ".cc"
            words = [*(compiler.cxx if cxx else compiler.c), *COMPILE_FLAGS, *(CXX_FLAGS if cxx else C_FLAGS)]
            _call(
                [*words, "-isystem", str(stb), "-c", source.name, "-o", str(output)], compiler, source.parent
            )
            objects.append(str(output))
        link = [*compiler.link, *LINK_FLAGS, *objects, "-ldl", "-lm", *compiler.link_last]
        _call([*link, "-o", str(new / PROGRAM)], compiler, work)
        put_library(runtime, new)

    build_once(program, PROGRAM, build, force=force)
    return program


def _stb_directory(progress: Report) -> Path:
    into = cache_directory("apt") / "stb"
    fetch_packages(["libstb-dev"], architecture="amd64", into=into, only=[STB_HEADER], progress=progress)
    return (into / STB_HEADER).parent


def _sources() -> list[Path]:
    return [*(SOURCES / name for name in SHARED), *sorted((SOURCES / "classify").glob("*.cc"))]


def _build_id(compiler: Compiler, runtime: Runtime, stb: Path) -> str:
    digest = hashlib.sha256()
    headers = [*SOURCES.glob("*.h"), *(SOURCES / "classify").glob("*.h"), stb / Path(STB_HEADER).name]
    for path in [*_sources(), *sorted(headers)]:
        digest.update(f"{path.name} {sha256_file(path)}\n".encode())
    flags = (COMPILE_FLAGS, C_FLAGS, CXX_FLAGS, LINK_FLAGS)
    for part in (__version__, compiler.name, flags, runtime.version, runtime.sha256):
        digest.update(f"{part!r}\n".encode())
    return digest.hexdigest()[:16]


def _call(argv: list[str], compiler: Compiler, cwd: Path) -> None:
    env: dict[str, str | None] = {**compiler.env, "LC_ALL": "C"}
    done = _process.run(argv, timeout_s=COMPILE_TIMEOUT_S, env=env, cwd=cwd)
    if not done.ok:
        raise ToolError(
            f"building {PROGRAM} with {compiler.name}: it ended with "
            f"{_process.describe_exit(done.exit_code)}:\n{done.tail(12)}",
            hint="edgekit --verbose toolchain build classifier shows the command",
        )
