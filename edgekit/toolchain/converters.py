"""Converters to the formats of MNN and ncnn, each in an isolated Python environment.

Versions are pinned: equal networks give equal files on every machine.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import msgspec

from edgekit.errors import InputError, ToolError, UsageError
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.component import Component, Found, InstallRequest, Report
from edgekit.toolchain.opt.environments import environment_python, make_environment, read_environment
from edgekit.toolchain.opt.interpreters import Interpreter, find_interpreters, query


class Converter(msgspec.Struct, frozen=True, kw_only=True):
    """A converter and the packages of its environment.

    Attributes:
        name: Name of the component.
        format: Format that it writes; `--formats` takes it.
        version: Version of the converter's package.
        packages: Pinned packages, the converter's first; they run without those that they declare.
    """

    name: str
    format: str
    version: str
    packages: tuple[str, ...]

    @property
    def directory(self) -> Path:
        """Directory of the environment."""
        return cache_directory("converters") / f"{self.name}-{self.version}"


MNNCONVERT = Converter(name="mnnconvert", format="mnn", version="3.6.1", packages=("MNN==3.6.1",))
# pnnx writes layers that ncnn does not have without a word; ncnn itself finds them.
PNNX = Converter(
    name="pnnx",
    format="ncnn",
    version="20261020",
    packages=("pnnx==20261020", "ncnn==1.0.20261020"),
)
CONVERTERS = (MNNCONVERT, PNNX)


def find_python(converter: Converter) -> Path | None:
    """Return the interpreter of a converter's environment; None where there is none."""
    present = read_environment(converter.directory) is not None
    return environment_python(converter.directory) if present else None


def require_python(converter: Converter, *, install: bool, progress: Report) -> Path:
    """Return the interpreter of a converter's environment; make that where it is missing.

    Raises:
        ToolError: It is missing, and cannot be made or `install` is False.
    """
    found = find_python(converter)
    if found is None and not install:
        raise ToolError(
            f"converting to {converter.format}: {converter.name} is not installed",
            hint=f"edgekit toolchain install {converter.name}",
        )
    return found or install_converter(converter, InstallRequest(progress=progress))


def install_converter(converter: Converter, request: InstallRequest) -> Path:
    """Make a converter's environment and return its interpreter.

    Raises:
        UsageError: Another version, or a directory, is asked for.
        InputError: The archive is no wheel of the converter.
        ToolError: No interpreter here suits, or the packages cannot be had for it.
    """
    name, version = converter.name, converter.version
    if request.version not in (None, version):
        raise UsageError(
            f"installing {name}: version {request.version}; this edgekit converts with {version}",
            hint=f"edgekit toolchain install {name}",
        )
    if request.directory is not None:
        raise UsageError(
            f"installing {name}: {request.directory} is a directory, {name} comes as a wheel",
            hint=f"edgekit toolchain install {name} --archive WHEEL",
        )
    packages, tag = list(converter.packages), None
    if request.archive is not None:
        tag = _wheel_tag(converter, request.archive)
        packages[0] = str(request.archive.absolute())
    make_environment(
        converter.directory,
        _interpreter(converter, tag),
        packages,
        progress=request.progress,
        force=request.force,
        dependencies=False,
    )
    return environment_python(converter.directory)


def _wheel_tag(converter: Converter, archive: Path) -> str | None:
    """Return the Python of a wheel, e.g. `cp311`; None for any. Raises InputError for other files."""
    distribution = converter.packages[0].partition("==")[0]
    wheel = re.fullmatch(
        rf"{distribution}-{re.escape(converter.version)}-(cp\d+|py3)-.*\.whl", archive.name, re.IGNORECASE
    )
    if wheel is None or not archive.is_file():
        raise InputError(
            f"installing {converter.name} from {archive}: no wheel of {distribution} {converter.version}",
            hint=f"pip download --no-deps {converter.packages[0]}",
        )
    return None if wheel.group(1) == "py3" else wheel.group(1)


def _interpreter(converter: Converter, tag: str | None) -> Interpreter:
    """Return edgekit's own Python, else the newest one here that makes environments, of the tag if any."""
    own = query(Path(sys.executable))
    for each in ([own] if own is not None else []) + find_interpreters():
        if each.has_venv and each.minor_version >= (3, 10) and tag in (None, each.tag):
            return each
    if tag is not None:
        raise ToolError(
            f"installing {converter.name}: the wheel is for {tag}, and no such Python is here",
            hint=f"edgekit toolchain install {converter.name}",
        )
    raise ToolError(
        f"installing {converter.name}: no Python 3.10 or later here makes environments",
        hint="install the venv module of this Python (Debian: apt-get install python3-venv)",
    )


def _component(converter: Converter) -> Component:
    def found(python: Path | None) -> Found | None:
        return None if python is None else Found(version=converter.version, path=converter.directory)

    def install(request: InstallRequest) -> Found:
        python = install_converter(converter, request)
        return Found(version=converter.version, path=python.parent.parent)

    return Component(
        name=converter.name,
        purpose=f"converting to {converter.format}: export --formats {converter.format}",
        find=lambda: found(find_python(converter)),
        install=install,
    )


COMPONENTS = tuple(map(_component, CONVERTERS))
