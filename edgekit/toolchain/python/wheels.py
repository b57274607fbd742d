"""Component `ENGINE-wheel`: the ARM64 wheel of an engine that the worker runs on devices, trimmed."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from edgekit._archives import ArchiveError, open_zip
from edgekit._files import scratch_directory, sha256_file
from edgekit.engines.registry import device_wheel
from edgekit.errors import ToolError
from edgekit.toolchain.component import Component, InstallRequest
from edgekit.toolchain.fetch.wheels import download_wheel
from edgekit.toolchain.python.parts import (
    Part,
    find_component,
    find_part,
    is_elf,
    missing_libraries,
    store_part,
    write_archive,
)

PYTHON = "3.11"
PLATFORMS = (
    *("manylinux2014_aarch64", "manylinux_2_17_aarch64", "manylinux_2_24_aarch64"),
    *("manylinux_2_26_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64"),
)
# Typing stubs and tests; nothing imports them.
USELESS = ("*.pyi", "*.pxd", "*.a", "*.h", "*/tests/*")
# Libraries that the part with CPython has for every wheel, beside those that CPython needs itself.
RUNTIME_LIBRARIES = (
    *("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1"),
    *("libstdc++.so.6", "libgcc_s.so.1", "libgomp.so.1"),
)
_NAME = re.compile(
    r"(?P<name>[^-]+)-(?P<version>[^-]+)(-\d[^-]*)?-(?P<python>[^-]+)-(?P<abi>[^-]+)-(?P<platform>[^-]+)\.whl"
)
_STABLE = re.compile(r"cp3(\d+)")


def component(name: str) -> Component:
    """Return the component with the wheel of an engine."""
    return Component(
        name=f"{name}-wheel",
        purpose=f"the engine {name} for devices: bench, verify and push there with --engine {name}",
        find=lambda: find_component(f"{name}-wheel"),
        install=lambda request: install_wheel(name, request).found,
    )


def require_wheel(name: str, request: InstallRequest, *, install: bool) -> Part:
    """Return the wheel of an engine; install it where it is missing. Raises ToolError."""
    part = find_part(f"{name}-wheel")
    if part is None and not install:
        raise ToolError(
            f"assembling the {name} bundle: its wheel for devices is not installed",
            hint=f"edgekit toolchain install {name}-wheel",
        )
    return part or install_wheel(name, request)


def install_wheel(name: str, request: InstallRequest) -> Part:
    """Install the wheel of an engine from the registry or from a local file.

    Raises:
        ToolError: The wheel cannot be obtained, has a wrong hash, or is for another Python or machine.
    """
    wheel = device_wheel(name)
    hint = (
        f"edgekit toolchain install {name}-wheel --archive WHEEL   ({wheel.distribution}-…cp311-…aarch64.whl)"
    )
    if request.directory is not None:
        raise ToolError(f"installing {name}-wheel: it is made of a wheel, not of a directory", hint=hint)
    present = find_part(f"{name}-wheel")
    given = request.archive is not None or request.force
    if present is not None and not given and request.version in (None, present.version):
        return present
    with scratch_directory("wheel") as work:
        path = request.archive
        if path is None:
            version = request.version or wheel.version
            request.progress(f"downloading {wheel.distribution} {version} for ARM64")
            path = download_wheel(
                wheel.distribution,
                version,
                python=PYTHON,
                platforms=PLATFORMS,
                into=Path(work),
                sha256=wheel.sha256 if version == wheel.version else None,
                hint=hint,
            )
        version = check_tags(path, wheel.distribution, hint)
        if request.version not in (None, version):
            raise ToolError(f"installing {name}-wheel {request.version}: {path.name} is {version}", hint=hint)
        files = unpack_wheel(path, Path(work) / "files", wheel.leave_out, hint)
        check_libraries(path.name, files, RUNTIME_LIBRARIES)
        origin = {wheel.distribution: f"{version} (SHA-256 {sha256_file(path)})"}

        def fill(new: Path) -> Part:
            return Part(
                name=f"{name}-wheel",
                version=version,
                wheel=path.name,
                origins=origin,
                unpacked_bytes=write_archive(new, files),
                features=wheel.features,
            )

        return store_part(f"{name}-wheel", fill)


def check_tags(path: Path, distribution: str, hint: str) -> str:
    """Return the version in a wheel's name.

    Raises:
        ToolError: The name is no wheel's, or that of another package, Python or machine.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise ToolError(f"installing {path}: it is not named as wheels are", hint=hint)
    if _plain(match["name"]) != _plain(distribution):
        raise ToolError(f"installing {path.name}: it is {match['name']}, not {distribution}", hint=hint)
    wanted, minor = f"cp{PYTHON.replace('.', '')}", int(PYTHON.partition(".")[2])
    pythons = match["python"].split(".")
    stable = match["abi"] == "abi3" and any(
        int(tag[1]) <= minor for each in pythons if (tag := _STABLE.fullmatch(each))
    )
    if not (wanted in pythons or stable or "py3" in pythons):
        raise ToolError(
            f"installing {path.name}: it is for {match['python']}, the Python on devices is {PYTHON}",
            hint=hint,
        )
    platforms = match["platform"].split(".")
    if not any(each == "any" or each in PLATFORMS for each in platforms):
        raise ToolError(
            f"installing {path.name}: it is for {match['platform']}, devices need {PLATFORMS[-1]} or older",
            hint=hint,
        )
    return match["version"]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def unpack_wheel(wheel: Path, into: Path, leave_out: Sequence[str], hint: str) -> dict[str, Path]:
    """Unpack a wheel without the files that are not needed; return path inside -> file.

    Raises:
        ToolError: The archive is damaged or has members outside of itself.
    """
    patterns = (*USELESS, *leave_out)
    files = {}
    try:
        with open_zip(wheel) as archive:
            for inside in archive.names:
                if inside.endswith("/") or any(fnmatch.fnmatch(inside, each) for each in patterns):
                    continue
                where = PurePosixPath(inside)
                if where.is_absolute() or ".." in where.parts:
                    raise ArchiveError(f"its member {inside!r} lies outside itself")
                files[inside] = into / inside
                archive.write_to(inside, files[inside])
    except ArchiveError as error:
        raise ToolError(f"unpacking {wheel.name}: {error}", hint=hint) from error
    return files


def check_libraries(name: str, files: dict[str, Path], there: Iterable[str]) -> None:
    """Raise ToolError where a library in `files` needs one that is neither there nor in `files`."""
    known = {*there, *(PurePosixPath(inside).name for inside in files)}
    for inside, path in files.items():
        missing = missing_libraries(path, known) if is_elf(path) else []
        # The loader itself is there in every process.
        missing = [each for each in missing if not each.startswith("ld-linux-")]
        if missing:
            raise ToolError(
                f"installing {name}: {inside} needs {', '.join(missing)}, which no part of the bundle has",
                hint="take a wheel named manylinux, which brings its libraries",
            )
