"""Component `onnxruntime-runtime`: ONNX Runtime's library for ARM64 from its published wheel."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from edgekit._archives import ArchiveError, open_zip
from edgekit._files import scratch_directory, sha256_file
from edgekit.errors import ToolError
from edgekit.toolchain.build.runtimes import (
    AARCH64,
    X86_64,
    Provider,
    Runtime,
    find_runtime,
    library_target,
    store,
)
from edgekit.toolchain.component import Component, Found, InstallRequest
from edgekit.toolchain.fetch.wheels import download_wheel

ENGINE = "onnxruntime"
LIBRARY = "libonnxruntime.so.1"

# Version that edgekit is tested with: the Python tag of its wheel and the wheel's SHA-256 (PyPI).
PINNED_VERSION = "1.23.2"
PINNED_PYTHON = "3.10"
PINNED_SHA256 = "8f7d1fe034090a1e371b7f3ca9d3ccae2fabae8c1d8844fb7371d1ea38e8e8d2"
OTHER_PYTHON = "3.11"
_PLATFORMS = ("manylinux_2_27_aarch64", "manylinux_2_28_aarch64")
_MEMBER = re.compile(r"onnxruntime/capi/libonnxruntime\.so(\.[0-9.]+)?")
_SYMBOL_VERSION = re.compile(rb"\0VERS_(\d+\.\d+\.\d+)\0")
_HINT = (
    "edgekit toolchain install onnxruntime-runtime --archive WHEEL   (onnxruntime-…aarch64.whl from PyPI), "
    "or --dir DIRECTORY with a libonnxruntime.so"
)


def install_onnxruntime_runtime(request: InstallRequest) -> Runtime:
    """Install ONNX Runtime's library from the registry, or from a local wheel or directory.

    Raises:
        ToolError: The library cannot be obtained, has a wrong hash, machine or version.
    """
    if request.directory is not None:
        return _from_directory(request.directory, request)
    if request.archive is not None:
        return _from_wheel(request.archive, request, source=request.archive.name)
    present = find_runtime(ENGINE, AARCH64)
    if present is not None and not request.force and request.version in (None, present.version):
        return present
    with scratch_directory("onnxruntime") as work:
        wheel = _download(request, Path(work))
        return _from_wheel(wheel, request, source=f"PyPI, {wheel.name}")


def _download(request: InstallRequest, work: Path) -> Path:
    version = request.version or PINNED_VERSION
    request.progress(f"downloading ONNX Runtime {version} for ARM64")
    pinned = version == PINNED_VERSION
    return download_wheel(
        ENGINE,
        version,
        python=PINNED_PYTHON if pinned else OTHER_PYTHON,
        platforms=_PLATFORMS,
        into=work,
        sha256=PINNED_SHA256 if pinned else None,
        hint=_HINT,
    )


def _from_wheel(wheel: Path, request: InstallRequest, *, source: str) -> Runtime:
    with scratch_directory("onnxruntime") as work:
        try:
            with open_zip(wheel) as archive:
                names = [name for name in archive.names if _MEMBER.fullmatch(name)]
                licenses = [name for name in archive.names if name.endswith("onnxruntime/LICENSE")]
                if len(names) != 1:
                    raise ToolError(
                        f"unpacking {wheel}: it holds {len(names)} files libonnxruntime.so.*; no "
                        "onnxruntime wheel for Linux",
                        hint=_HINT,
                    )
                files = {LIBRARY: Path(work) / LIBRARY}
                archive.write_to(names[0], files[LIBRARY])
                if licenses:
                    files["LICENSE"] = Path(work) / "LICENSE"
                    archive.write_to(licenses[0], files["LICENSE"])
        except ArchiveError as error:
            raise ToolError(f"unpacking {wheel}: {error}", hint=_HINT) from error
        return _install(files, request, source=source, source_sha256=sha256_file(wheel))


def _from_directory(directory: Path, request: InstallRequest) -> Runtime:
    candidates = [path for path in directory.rglob("libonnxruntime.so*") if path.is_file()]
    if not candidates:
        raise ToolError(f"installing ONNX Runtime: no libonnxruntime.so* in {directory}", hint=_HINT)
    digests = {sha256_file(path): path for path in candidates}
    if len(digests) > 1:
        raise ToolError(
            f"installing ONNX Runtime: {directory} holds different libraries: "
            f"{', '.join(str(path) for path in candidates)}",
            hint="name the directory of one of them",
        )
    return _install({LIBRARY: candidates[0]}, request, source=str(directory.absolute()), source_sha256=None)


def _install(
    files: dict[str, Path], request: InstallRequest, *, source: str, source_sha256: str | None
) -> Runtime:
    library = files[LIBRARY]
    target = library_target(library)
    if target != AARCH64:
        raise ToolError(
            f"installing ONNX Runtime: {source} is for {target}, devices need {AARCH64} Linux "
            "(edgekit's bundle brings its own C library)",
            hint=_HINT,
        )
    version = library_version(library)
    if version is None:
        raise ToolError(f"installing ONNX Runtime: {source} does not tell its version", hint=_HINT)
    if request.version is not None and version != request.version:
        raise ToolError(
            f"installing ONNX Runtime {request.version}: {source} is version {version}",
            hint=f"edgekit toolchain install onnxruntime-runtime --version {version} …",
        )
    runtime = Runtime(
        engine=ENGINE,
        version=version,
        target=target,
        library=LIBRARY,
        sha256=sha256_file(library),
        source=source,
        source_sha256=source_sha256,
        license="MIT",
    )
    return store(runtime, files)


def library_version(library: Path) -> str | None:
    """Return ONNX Runtime's version from the version of its exported symbols; None without one."""
    match = _SYMBOL_VERSION.search(library.read_bytes())
    return match.group(1).decode() if match else None


def installed_library() -> Runtime:
    """Return the library of the installed package onnxruntime, for x86-64, without importing the package."""
    spec = importlib.util.find_spec(ENGINE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    libraries = [path for place in places for path in Path(place).glob("capi/libonnxruntime.so.1*")]
    if not libraries:
        raise ToolError(
            "building the ONNX Runtime runner for x86_64: the package onnxruntime is not installed",
            hint="pip install 'edgekit[onnxruntime]'",
        )
    library = libraries[0]
    return Runtime(
        engine=ENGINE,
        version=library.name.partition(".so.")[2],
        target=X86_64,
        directory=str(library.parent),
        library=library.name,
        sha256=sha256_file(library),
        source="the installed package",
        license="MIT",
    )


def _find() -> Found | None:
    present = find_runtime(ENGINE, AARCH64)
    return present.found if present else None


COMPONENT = Component(
    name="onnxruntime-runtime",
    purpose="ONNX Runtime for devices: bench, verify and push there with --engine onnxruntime",
    find=_find,
    install=lambda request: install_onnxruntime_runtime(request).found,
)
PROVIDER = Provider(
    component=COMPONENT,
    install=install_onnxruntime_runtime,
    remedies=lambda target: f"edgekit toolchain install {COMPONENT.name}",
    host_library=installed_library,
)
