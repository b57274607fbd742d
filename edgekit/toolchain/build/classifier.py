"""Builds `edgekit-classify` (`edgekit/native/classify`), which classifies pictures without Python."""

from __future__ import annotations

from pathlib import Path

from edgekit.toolchain.build.compilers import cxx_compiler
from edgekit.toolchain.build.native import (
    LINK_FLAGS,
    SOURCES,
    build_id,
    build_once,
    call_compiler,
    compile_source,
    put_library,
)
from edgekit.toolchain.build.onnxruntime_runtime import installed_library
from edgekit.toolchain.build.runtimes import X86_64
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
    headers = [*SOURCES.glob("*.h"), *(SOURCES / "classify").glob("*.h"), stb / Path(STB_HEADER).name]
    identity = build_id([*_sources(), *sorted(headers)], compiler, runtime)
    program = cache_directory("native") / f"classify-{X86_64}-{identity}" / PROGRAM

    def build(work: Path, new: Path) -> None:
        progress(f"building {PROGRAM} with {compiler.name}")
        flags = ["-isystem", str(stb)]
        objects = [compile_source(source, work, compiler, flags, "classifier") for source in _sources()]
        link = [*compiler.link, *LINK_FLAGS, *map(str, objects), "-ldl", "-lm", *compiler.link_last]
        call_compiler([*link, "-o", str(new / PROGRAM)], "linking", compiler, "classifier", cwd=work)
        put_library(runtime, new)

    build_once(program, PROGRAM, build, force=force)
    return program


def _stb_directory(progress: Report) -> Path:
    into = cache_directory("apt") / "stb"
    fetch_packages(["libstb-dev"], architecture="amd64", into=into, only=[STB_HEADER], progress=progress)
    return (into / STB_HEADER).parent


def _sources() -> list[Path]:
    return [*(SOURCES / name for name in SHARED), *sorted((SOURCES / "classify").glob("*.cc"))]
