"""Component `paddlelite-runtime`: Paddle Lite's library for devices from its release archives.

An archive holds `cxx/include/*.h` and `cxx/lib/libpaddle_light_api_shared.so` below one directory; a
user's own build (lite/tools/build_linux.sh, build_android.sh) leaves the same tree.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from edgekit._archives import ArchiveError, tar_files
from edgekit._files import scratch_directory, sha256_file
from edgekit.errors import InputError, ToolError
from edgekit.toolchain.build.runtimes import (
    AARCH64,
    ANDROID,
    TARGETS,
    Provider,
    Runtime,
    find_runtime,
    library_target,
    store,
)
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.component import Component, Found, InstallRequest
from edgekit.toolchain.opt.opt import RELEASES, find_opt, registry_version

ENGINE = "paddlelite"
LIBRARY = "libpaddle_light_api_shared.so"
HEADER = "paddle_api.h"
# Additional files of the Android release: the Java classes and their library, for apps.
JAVA_FILES = ("PaddlePredictor.jar", "libpaddle_lite_jni.so")
RELEASE_URL = "https://github.com/PaddlePaddle/Paddle-Lite/releases/download/v{version}/{archive}"
ARCHIVE = "inference_lite_lib.armlinux.armv8.gcc.with_extra.with_cv.tar.gz"
DOWNLOAD_TIMEOUT_S = 8.0

# lite/core/version.h: the library contains the release's tag, else the commit, as a separate string.
_TAG = re.compile(rb"\0v(\d+\.\d+(?:\.\d+)?(?:-?rc\d*)?)\0")
# An operator that lite/operators/CMakeLists.txt builds only as `extra`; PP-LCNet's flatten is extra too.
_EXTRA_OPERATOR = b"polygon_box_transform"
# lite/kernels/arm/calib_compute.cc registers this kernel with ENABLE_ARM_FP16 only.
_FP16_KERNEL = b"fp32_to_fp16"
# Path that a library with OpenCL opens (lite/backends/opencl/cl_wrapper.cc); one without has no such text.
_OPENCL_LIBRARY = b"libOpenCL.so"
_REMEDIES = (
    "edgekit toolchain install paddlelite-runtime --archive FILE   (downloaded elsewhere: {url})\n"
    "  edgekit toolchain install paddlelite-runtime --dir DIRECTORY   (unpacked, or your own build)"
)


def install_paddlelite_runtime(request: InstallRequest) -> Runtime:
    """Install Paddle Lite's library from the release archive, or from a local archive or directory.

    Its version must equal opt's where opt is installed, unless `request.version` names another.

    Raises:
        ToolError: The library is not reachable, damaged, for another machine, without extra operators, or of
            a version that does not read opt's output.
    """
    if request.directory is not None:
        return _from_directory(request.directory, request, source=str(request.directory.absolute()))
    if request.archive is not None:
        return _from_archive(request.archive, request, source=request.archive.name)
    version = request.version or wanted_version()
    present = find_runtime(ENGINE, AARCH64)
    if present is not None and present.version == version and not request.force:
        return present
    return _from_release(version, request)


def wanted_version() -> str:
    """Return the version that matches opt: of the installed opt, else of edgekit's default opt."""
    opt = find_opt()
    return RELEASES[0].version if opt is None or opt.version == "unknown" else opt.version


def remedies(version: str) -> str:
    """Return the ways to obtain a runtime, for error messages."""
    return _REMEDIES.format(url=_release_url(version))


def _release_url(version: str) -> str:
    tag = re.sub(r"rc0?$", "-rc", version)
    return RELEASE_URL.format(version=tag, archive=ARCHIVE)


def _from_release(version: str, request: InstallRequest) -> Runtime:
    from edgekit.toolchain.fetch.pinned import fetch_pinned

    url = _release_url(version)
    request.progress(f"downloading Paddle Lite {version} for ARM64")
    archive = cache_directory("runtimes") / "downloads" / f"{version}-{ARCHIVE}"
    try:
        fetch_pinned(
            url,
            archive,
            what=f"Paddle Lite {version}",
            check=_check_archive,
            accept="edgekit toolchain install paddlelite-runtime --trust-new",
            trust_new=request.trust_new,
            timeout_s=DOWNLOAD_TIMEOUT_S,
        )
    except ToolError as error:
        hint = error.hint if "--trust-new" in (error.hint or "") else remedies(version)
        raise ToolError(f"installing paddlelite-runtime {version}: {error.message}", hint=hint) from error
    try:
        return _from_archive(archive, request, source=url)
    finally:
        archive.unlink(missing_ok=True)


def _check_archive(archive: Path) -> None:
    """Raise InputError unless a file is a tar, readable to its end, that holds the library."""
    try:
        held = any(file.path.name == LIBRARY for file in tar_files(archive, wanted=_is_wanted))
    except ArchiveError as error:
        raise InputError(f"{archive.name} is no release of Paddle Lite: {error}") from error
    if not held:
        raise InputError(f"{archive.name} is no release of Paddle Lite: it holds no {LIBRARY}")


def _from_archive(archive: Path, request: InstallRequest, *, source: str) -> Runtime:
    with scratch_directory("paddlelite") as work:
        try:
            for file in tar_files(archive, wanted=_is_wanted):
                file.write_to(work / file.path)
        except ArchiveError as error:
            raise ToolError(
                f"unpacking {archive}: {error}", hint=f"download it again: {_release_url(wanted_version())}"
            ) from error
        return _from_directory(work, request, source=source, source_sha256=sha256_file(archive))


def _is_wanted(path: PurePosixPath) -> bool:
    """Return True for the library, a header or a part of the Java library."""
    native = path.parent.name in ("include", "lib") and (path.suffix == ".h" or path.name == LIBRARY)
    return native or path.name in JAVA_FILES


def _from_directory(
    directory: Path, request: InstallRequest, *, source: str, source_sha256: str | None = None
) -> Runtime:
    library, include = _one(directory, LIBRARY), _one(directory, HEADER).parent
    target = library_target(library)
    content = library.read_bytes()
    if _EXTRA_OPERATOR not in content:
        raise ToolError(
            f"installing paddlelite-runtime: {source} was built without extra operators, which PP-LCNet and "
            "PP-HGNet need",
            hint=f"take the archive with `with_extra` in its name: {ARCHIVE}",
        )
    runtime = Runtime(
        engine=ENGINE,
        version=_checked_version(content, request, source),
        target=target,
        library=LIBRARY,
        sha256=sha256_file(library),
        source=source,
        source_sha256=source_sha256,
        fp16=_FP16_KERNEL in content,
        opencl=_OPENCL_LIBRARY in content,
        license="Apache-2.0",
    )
    headers = {f"include/{header.name}": header for header in sorted(include.glob("*.h"))}
    java = {f"java/{name}": file for name in JAVA_FILES for file in directory.rglob(name)}
    return store(runtime, {LIBRARY: library, **headers, **java})


def _one(directory: Path, name: str) -> Path:
    found = sorted(path for path in directory.rglob(name) if path.is_file())
    if len(found) != 1:
        raise ToolError(
            f"installing paddlelite-runtime: {len(found)} files {name} in {directory}, expected one",
            hint="name the directory inference_lite_lib.… with cxx/include and cxx/lib in it",
        )
    return found[0]


def _checked_version(content: bytes, request: InstallRequest, source: str) -> str:
    match = _TAG.search(content)
    version = registry_version(match.group(1).decode()) if match else request.version
    if version is None:
        raise ToolError(
            f"installing paddlelite-runtime: {source} was built from no release's tag and tells no version",
            hint="say which opt it belongs to: --version 2.12",
        )
    expected = request.version or wanted_version()
    if version != expected:
        raise ToolError(
            f"installing paddlelite-runtime: {source} is version {version}, expected {expected}"
            + ("" if request.version else " as opt's"),
            hint=f"edgekit toolchain install opt --version {version}, or take the runtime {expected}; "
            f"--version {version} installs this one all the same",
        )
    return version


def _remedies_for(target: str) -> str:
    install = f"edgekit toolchain install {COMPONENT.name}"
    if target == AARCH64:
        return f"{install}\n  {remedies(wanted_version())}"
    source = "inference_lite_lib.android.armv8….tar.gz" if target == ANDROID else "your own build"
    return f"{install} --archive FILE, or --dir DIRECTORY (Paddle Lite's library for {target}; {source})"


def _find() -> Found | None:
    present = [found for target in TARGETS if (found := find_runtime(ENGINE, target)) is not None]
    if not present:
        return None
    first, *others = (runtime.found for runtime in present)
    detail = "; ".join(filter(None, [first.detail, *(other.detail for other in others)]))
    opt = find_opt()
    if opt is None or opt.version in ("unknown", first.version):
        return Found(version=first.version, path=first.path, detail=detail)
    return Found(
        version=first.version,
        path=first.path,
        detail=detail,
        fault=f"opt is {opt.version}, whose .nb this version does not read",
        remedy=f"edgekit toolchain install {COMPONENT.name} --version {opt.version}",
    )


COMPONENT = Component(
    name="paddlelite-runtime",
    purpose="Paddle Lite for devices: bench, verify and push there (their default engine)",
    find=_find,
    install=lambda request: install_paddlelite_runtime(request).found,
)
PROVIDER = Provider(component=COMPONENT, install=install_paddlelite_runtime, remedies=_remedies_for)
