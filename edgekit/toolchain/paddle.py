"""Paddle and its converter to ONNX: in this Python, else in an environment of their own.

Wheels of the converter stop at Python 3.12, those of Paddle at 3.13. On a later one that
environment's interpreter runs the processes that import them, the engine `paddle` and `train`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from edgekit import _process
from edgekit._packages import installed_version
from edgekit.errors import ToolError, UsageError
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.component import Component, Found, InstallRequest
from edgekit.toolchain.opt.environments import environment_python, make_environment, read_environment
from edgekit.toolchain.opt.interpreters import Interpreter, describe_places, find_interpreters, query
from edgekit.toolchain.opt.sources import REACH_TIMEOUT_S, UV_TIMEOUT_S, debian_python

PYTHONS = ((3, 11), (3, 12), (3, 10))
"""Python versions for which paddlepaddle, paddle2onnx and onnx have wheels, in order of preference."""
MODULES = ("paddle", "paddle2onnx")
EXTRAS = ("paddle", "onnxruntime", "train")
DEBIAN_SUITE = "bookworm"
DEBIAN_PACKAGES = (
    *("libpython3.11-minimal", "libpython3.11-stdlib", "python3.11-minimal"),
    *("libexpat1", "libffi8", "zlib1g"),
)


def is_here() -> bool:
    """Return True where this Python itself has Paddle and its converter."""
    return all(importlib.util.find_spec(module) is not None for module in MODULES)


def environment_directory() -> Path:
    """Return the directory of the environment."""
    return cache_directory("paddle")


def find_environment_python() -> Path | None:
    """Return the interpreter of the environment; None where it is missing or of another edgekit."""
    environment = read_environment(environment_directory())
    if environment is None or environment.packages != requirements():
        return None
    return environment_python(environment_directory())


def is_at_hand(module: str) -> bool:
    """Return True where this Python or the environment has one of MODULES."""
    return importlib.util.find_spec(module) is not None or find_environment_python() is not None


def worker(module: str) -> list[str | Path]:
    """Return the command line of a module that imports Paddle: by this Python, else by the environment's.

    Without an environment it is this Python's, where the module says what is missing.
    """
    return _process.own_python(module, python=None if is_here() else find_environment_python())


def environment_packages() -> Path | None:
    """Return the directory of the environment's packages; None where there is no environment."""
    if find_environment_python() is None:
        return None
    return next(environment_directory().glob("lib/python3*/site-packages"), None)


def worker_version(distribution: str) -> str | None:
    """Return the version of a package, or of its build for GPUs, that a `worker` imports; None without it."""
    packages = None if is_here() else environment_packages()
    return installed_version(distribution, f"{distribution}-gpu", packages=packages)


def requirements() -> tuple[str, ...]:
    """Return the packages of the environment: edgekit's own and those of EXTRAS, without markers.

    Markers are left out because pip may run on another Python than the environment's.
    """
    extra = re.compile(r"extra == ['\"](.+?)['\"]")
    try:
        declared = importlib.metadata.requires("edgekit") or []
    except importlib.metadata.PackageNotFoundError:
        return ()
    wanted = []
    for requirement in declared:
        asked_for = extra.search(requirement)
        of_another_extra = requirement.startswith("edgekit[")
        if not of_another_extra and (asked_for is None or asked_for.group(1) in EXTRAS):
            wanted.append(requirement.partition(";")[0].strip())
    return tuple(sorted(wanted))


def install_paddle(request: InstallRequest) -> Path:
    """Make the environment and return its interpreter.

    Raises:
        UsageError: A version, a file or a directory is asked for.
        ToolError: No interpreter suits, or the packages cannot be had for it.
    """
    if request.version or request.archive or request.directory:
        raise UsageError(
            "installing paddle: it takes the packages that this edgekit declares, and nothing else",
            hint="edgekit toolchain install paddle",
        )
    wanted = requirements()
    if not wanted:
        raise ToolError(
            "installing paddle: this edgekit is not installed as a package, so its requirements are unknown",
            hint="pip install edgekit",
        )
    make_environment(
        environment_directory(),
        _interpreter(request),
        wanted,
        progress=request.progress,
        force=request.force,
    )
    return environment_python(environment_directory())


def _interpreter(request: InstallRequest) -> Interpreter:
    """Return this Python if it suits, else one of this machine, of uv, or of Debian 12."""
    own = query(Path(sys.executable))
    here = [*([] if own is None else [own]), *find_interpreters()]
    if suits := _suitable(here):
        return suits
    tried = []
    attempts: tuple[Callable[[InstallRequest], Interpreter], ...] = (_from_uv, _from_debian)
    for attempt in attempts:
        try:
            return attempt(request)
        except ToolError as error:
            tried.append(error.message)
    present = ", ".join(dict.fromkeys(each.version_text for each in here)) or "none"
    raise ToolError(
        "\n  ".join(
            [
                "installing paddle: paddlepaddle and paddle2onnx need one of Python 3.10, 3.11, 3.12",
                f"looked in {describe_places()}: found {present}",
                *tried,
            ]
        ),
        hint="pyenv install 3.11, or uv python install 3.11, then edgekit toolchain install paddle",
    )


def _suitable(interpreters: list[Interpreter]) -> Interpreter | None:
    found = [
        each
        for each in interpreters
        if each.minor_version in PYTHONS
        and (each.implementation, each.bits, each.has_venv) == ("CPython", 64, True)
    ]
    return min(found, key=lambda each: (not each.has_pip, PYTHONS.index(each.minor_version)), default=None)


def _from_uv(request: InstallRequest) -> Interpreter:
    if shutil.which("uv") is None:
        raise ToolError("uv: not on PATH")
    request.progress("asking uv for Python 3.11")
    done = _process.run(
        ["uv", "python", "install", "--no-bin", "3.11"],
        timeout_s=UV_TIMEOUT_S,
        env={"UV_HTTP_TIMEOUT": f"{REACH_TIMEOUT_S:g}"},
    )
    found = _suitable(find_interpreters()) if done.ok else None
    if found is None:
        raise ToolError(f"uv python install 3.11: {done.tail(1)}")
    return found


def _from_debian(request: InstallRequest) -> Interpreter:
    """Unpack Debian 12's Python 3.11 beside the environment."""
    root = cache_directory("python") / "debian-python3.11"
    return debian_python(
        "Debian 12's Python 3.11", root, DEBIAN_PACKAGES, DEBIAN_SUITE, "python3.11", request
    )


def _find() -> Found | None:
    if is_here():
        version = importlib.metadata.version
        names = importlib.metadata.packages_distributions().get("paddle", ["paddlepaddle"])
        return Found(version=version(names[0]), path=Path(sys.executable), detail="in this Python")
    python = find_environment_python()
    if python is None:
        return None
    pinned = next(each for each in requirements() if each.startswith("paddlepaddle=="))
    environment = read_environment(environment_directory())
    assert environment is not None, "it was found"
    return Found(
        version=pinned.partition("==")[2],
        path=environment_directory(),
        detail=f"with Python {environment.python_version}",
    )


def _install(request: InstallRequest) -> Found:
    install_paddle(request)
    found = _find()
    assert found is not None, "it was installed"
    return found


COMPONENT = Component(
    name="paddle",
    purpose="export, import, quantize and train where this Python has no wheels of Paddle",
    find=_find,
    install=_install,
)
