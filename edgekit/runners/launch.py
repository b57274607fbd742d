"""Find the Python that has an engine, and the command line of its worker on this machine."""

from __future__ import annotations

import importlib.util
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgekit._process import own_python
from edgekit.engines.registry import WORKER, engine, host_side
from edgekit.engines.spec import HostSide, Interpreter
from edgekit.errors import ToolError
from edgekit.runners.protocol import Prepare

if TYPE_CHECKING:
    from edgekit.transports.local import LocalTransport

logger = logging.getLogger("edgekit")
# NVIDIA's libraries multiply fp32 with ten bits of mantissa (TF32) from Ampere on unless told not to.
FULL_FP32 = {"NVIDIA_TF32_OVERRIDE": "0"}
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


class Launcher(msgspec.Struct, frozen=True, kw_only=True):
    """Command line and environment of a runner."""

    argv: tuple[str, ...]
    env: dict[str, str] = {}


def host_launcher(name: str, *, install: bool = True, huge_pages: bool = False) -> Launcher:
    """Return the command line that starts an engine's worker on this machine.

    Args:
        name: Name of the engine.
        install: True to install opt's environment where it is missing.
        huge_pages: Ask glibc (2.35 and later; others ignore it) for memory in huge pages, in which inference
            on a CPU takes a twentieth less time. A value set by the user stays.

    Raises:
        ToolError: A component that the engine needs is missing; the hint installs it.
    """
    side = host_side(name)
    worker = (str(WORKER), engine(name).file)
    tuned = HUGE_PAGES if huge_pages and not os.environ.keys() & HUGE_PAGES else {}
    if side.interpreter is Interpreter.OPT:
        # -E: PYTHONPATH entries for edgekit's Python break this older one.
        return Launcher(argv=(str(_opt_python(name, side, install)), "-E", *worker), env=tuned)
    python: Path | None = None
    for package in side.packages[:1]:
        if importlib.util.find_spec(package.module) is None:
            python = _paddle_python() if side.interpreter is Interpreter.PADDLE else None
            if python is None:
                raise ToolError(
                    f"engine {name}: the package {package.module} is not installed", hint=side.remedy
                )
    argv = tuple(map(str, own_python(*worker, python=python)))
    return Launcher(argv=argv, env={**tuned, **(FULL_FP32 if side.gpu else {})})


def start_ahead(transport: LocalTransport, launcher: Launcher, threads: int) -> None:
    """Start the worker that a session takes over: it imports its engine while this process imports the rest.

    Raises:
        DeviceError: It cannot be started.
    """
    line = msgspec.json.encode(Prepare(threads=threads)).decode()
    transport.start_ahead(launcher.argv, launcher.env, line)


def _opt_python(name: str, side: HostSide, install: bool) -> Path:
    from edgekit.toolchain.opt.install import require_opt
    from edgekit.toolchain.opt.opt import find_opt

    found = find_opt()
    if found is None and install:
        found = require_opt(install=True, progress=logger.info)
    if found is None:
        raise ToolError(f"engine {name}: Paddle Lite's wheel is not installed", hint=side.install)
    if found.python is None:
        raise ToolError(
            f"engine {name}: opt {found.version} is the standalone binary {found.path}, which runs no models",
            hint="install one of Python 3.6 to 3.10 and run: edgekit toolchain install opt",
        )
    return found.python


def _paddle_python() -> Path | None:
    from edgekit.toolchain.paddle import find_environment_python

    return find_environment_python()
