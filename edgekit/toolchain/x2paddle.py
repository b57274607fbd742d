"""X2Paddle, which turns ONNX into the legacy Paddle program that opt reads.

It needs packages that it does not declare, so it lives in an isolated environment; Paddle and onnx are
edgekit's own, and the environment's packages come after these on the path of the process that uses it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgekit.errors import ToolError, UsageError
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.component import Component, Found, InstallRequest, Report
from edgekit.toolchain.opt.environments import make_environment, read_environment
from edgekit.toolchain.opt.interpreters import query

VERSION = "1.6.0"
# Undeclared by x2paddle, imported by its ONNX half.
PACKAGES = (
    f"x2paddle=={VERSION}",
    "pandas==2.2.3",
    "requests==2.32.3",
    "six==1.17.0",
    "sympy==1.13.3",
    "treelib==1.7.0",
)


def environment_directory() -> Path:
    """Where the environment for this interpreter is."""
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    return cache_directory("x2paddle") / f"x2paddle-{VERSION}-{tag}"


def site_packages(directory: Path) -> Path:
    """What has to be put on the path of a process that uses it."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return directory / "lib" / version / "site-packages"


def find_x2paddle() -> Path | None:
    """The directory of its packages, or None where it is not installed."""
    directory = environment_directory()
    environment = read_environment(directory)
    if environment is None or environment.packages != PACKAGES:
        return None
    return site_packages(directory)


def require_x2paddle(*, install: bool, progress: Report) -> Path:
    """`find_x2paddle`, installing it on the way where that is allowed.

    Raises:
        ToolError: It is not here and cannot be had, or `install` forbids it.
    """
    found = find_x2paddle()
    if found is not None:
        return found
    if not install:
        raise ToolError(
            "converting ONNX to a Paddle program: X2Paddle is not installed",
            hint="edgekit toolchain install x2paddle",
        )
    return install_x2paddle(InstallRequest(progress=progress))


def install_x2paddle(request: InstallRequest) -> Path:
    """Install the pinned version into its environment.

    Raises:
        UsageError: Another version, an archive or a directory is asked for.
        ToolError: It cannot be had.
    """
    if request.version not in (None, VERSION):
        raise UsageError(
            f"installing x2paddle: no version {request.version}; edgekit works with {VERSION}",
            hint="edgekit toolchain install x2paddle",
        )
    if request.archive is not None or request.directory is not None:
        raise UsageError(
            "installing x2paddle: it comes from the package registry only",
            hint="edgekit toolchain install x2paddle",
        )
    interpreter = query(Path(sys.executable))
    if interpreter is None:
        raise ToolError(f"installing x2paddle: {sys.executable} does not answer", hint="edgekit doctor")
    directory = environment_directory()
    make_environment(directory, interpreter, PACKAGES, progress=request.progress, force=request.force)
    return site_packages(directory)


def _find() -> Found | None:
    path = find_x2paddle()
    return None if path is None else Found(version=VERSION, path=path)


def _install(request: InstallRequest) -> Found:
    return Found(version=VERSION, path=install_x2paddle(request))


COMPONENT = Component(
    name="x2paddle",
    purpose="imports ONNX and Paddle 3 PIR models (edgekit import); without it legacy Paddle models only",
    find=_find,
    install=_install,
)
