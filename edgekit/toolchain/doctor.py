"""Examine this machine: all components of edgekit with version, place, purpose and remedy."""

from __future__ import annotations

import enum
import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgekit import _process
from edgekit._packages import installed_version
from edgekit.core.units import format_bytes
from edgekit.engines.registry import host_engines, host_packages, host_side
from edgekit.errors import PADDLE_REMEDY, EdgekitError
from edgekit.toolchain.adb import find_adb
from edgekit.toolchain.cache import cache_root
from edgekit.toolchain.paddle import environment_directory, find_environment_python

if TYPE_CHECKING:
    from edgekit.toolchain.component import Component, Found

FREE_SPACE_WANTED_BYTES = 3_000_000_000
CHECK_TIMEOUT_S = 20.0


class State(enum.Enum):
    """Outcome of a check; only `broken` makes `doctor` fail."""

    OK = "ok"
    MISSING = "missing"
    BROKEN = "broken"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `doctor`.

    Attributes:
        name: Name of the component.
        purpose: Features that need the component.
        remedy: Command that repairs the component; None where nothing needs repair.
    """

    name: str
    purpose: str
    state: State
    version: str | None = None
    where: str | None = None
    remedy: str | None = None


# distribution, module to import, what for, needed by everything, remedy
_PACKAGES = (
    ("numpy", "numpy", "arrays", True, "pip install edgekit"),
    ("opencv-python", "cv2", "decoding and resizing pictures", True, "pip install edgekit"),
    ("pillow", "PIL", "pictures that OpenCV does not read; PP-HGNet's resize", True, "pip install edgekit"),
    ("adbutils", "adbutils", "Android devices", True, "pip install edgekit"),
    ("paddle2onnx", "paddle2onnx", "export to ONNX", False, PADDLE_REMEDY),
    ("onnx", "onnx", "export to ONNX, checks", False, PADDLE_REMEDY),
    ("ziglang", "ziglang", "building the device runner without root", False, "pip install 'edgekit[native]'"),
)
# program, what for, Debian package
_PROGRAMS = (
    ("apt-get", "parts of the virtual device and of device bundles", "apt"),
    ("dpkg-deb", "unpacking Debian packages without root", "dpkg"),
    ("ssh", "boards by --device ssh://user@host", "openssh-client"),
    ("javac", "the Android demo app", "openjdk-17-jdk-headless"),
    ("mvn", "fetching what the Android demo app is built with", "maven"),
)


def examine() -> list[Check]:
    """Examine all components without installing or changing anything."""
    from edgekit.toolchain.components import COMPONENTS

    checks = [_python(), _cache()]
    checks += [_package(*row) for row in (*_PACKAGES, *_engine_packages())]
    checks += [_adb()]
    for component in COMPONENTS:
        try:
            found = component.find()
        except EdgekitError as error:
            checks.append(
                Check(
                    name=component.name,
                    purpose=component.purpose,
                    state=State.BROKEN,
                    where=error.message,
                    remedy=f"edgekit toolchain install {component.name}",
                )
            )
            continue
        checks.append(_component(component, found))
    checks.append(_x86())
    checks += [_program(*row) for row in _PROGRAMS]
    checks.append(_namespaces())
    return checks


def _component(component: Component, found: Found | None) -> Check:
    name, purpose = component.name, component.purpose
    if found is None:
        remedy = f"edgekit toolchain install {name}"
        return Check(name=name, purpose=purpose, state=State.MISSING, remedy=remedy)
    return Check(
        name=name,
        purpose=purpose,
        state=State.OK if found.fault is None else State.BROKEN,
        version=found.version,
        where=str(found.path) if found.fault is None else f"{found.path}: {found.fault}",
        remedy=found.remedy,
    )


def _x86() -> Check:
    """Check whether opt makes x86 artifacts, which only some of its releases do."""
    from edgekit.toolchain.opt.opt import find_opt, x86_obstacle, x86_remedy

    try:
        opt = find_opt()
    except EdgekitError:
        opt = None
    obstacle = x86_obstacle(opt)
    return Check(
        name="x86 .nb",
        purpose="Paddle Lite on this machine: bench --host --engine paddlelite",
        state=State.OK if obstacle is None else State.MISSING,
        version=None if opt is None or obstacle is not None else opt.version,
        where=obstacle,
        remedy=None if obstacle is None else x86_remedy(),
    )


def _python() -> Check:
    suits = (3, 10) <= sys.version_info[:2] <= (3, 14)
    return Check(
        name="python",
        purpose="edgekit itself",
        state=State.OK if suits else State.BROKEN,
        version=platform.python_version(),
        where=sys.executable,
        remedy=None if suits else "use Python 3.10 to 3.14",
    )


def _cache() -> Check:
    root = cache_root()
    place = root
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if not os.access(place, os.W_OK):
        state, remedy = State.BROKEN, f"make {place} writable or set EDGEKIT_CACHE"
    elif free < FREE_SPACE_WANTED_BYTES:
        state, remedy = State.BROKEN, "edgekit cache list, or set EDGEKIT_CACHE to a larger file system"
    else:
        state, remedy = State.OK, None
    return Check(
        name="cache",
        purpose="downloads, tools, virtual devices",
        state=state,
        version=f"{format_bytes(free)} free",
        where=str(root),
        remedy=remedy,
    )


def _engine_packages() -> list[tuple[str, str, str, bool, str]]:
    """Return packages of the engines for this machine's CPU, as rows of `_PACKAGES`."""
    rows = []
    for name in host_engines():
        side = host_side(name)
        for package in () if side.gpu else side.packages[:1]:
            uses = [*filter(None, [package.also_for]), f"the engine `{name}`"]
            rows.append((package.distribution, package.module, ", ".join(uses), False, side.remedy))
    return rows


def _package(distribution: str, module: str, purpose: str, needed: bool, remedy: str) -> Check:
    spec = importlib.util.find_spec(module)
    if spec is None and remedy == PADDLE_REMEDY and find_environment_python() is not None:
        return Check(name=distribution, purpose=purpose, state=State.OK, where=str(environment_directory()))
    if spec is None:
        state = State.BROKEN if needed else State.MISSING
        return Check(name=distribution, purpose=purpose, state=state, remedy=remedy)
    where = str(Path(spec.origin).parent) if spec.origin else None
    # OpenCV's import can fail for reasons outside of Python (libGL), and the check is quick.
    # Running one of its modules would import the package first.
    if module == "cv2":
        done = _process.run(_process.own_python("cv2.version"), timeout_s=CHECK_TIMEOUT_S)
        if not done.ok:
            return Check(
                name=distribution,
                purpose=purpose,
                state=State.BROKEN,
                where=done.tail(1),
                remedy="pip uninstall -y opencv-python; pip install opencv-python-headless",
            )
    return Check(
        name=distribution,
        purpose=purpose,
        state=State.OK,
        version=_version(distribution, module),
        where=where,
    )


def _version(distribution: str, module: str) -> str | None:
    others = [package.distribution for package in host_packages().get(module, ())]
    return installed_version(distribution, f"{distribution}-headless", *others)


def _adb() -> Check:
    purpose = "talking to Android devices"
    remedy = "set ADBUTILS_ADB_PATH to a working adb, or pip install --force-reinstall adbutils"
    try:
        path = find_adb()
        done = _process.run([path, "version"], timeout_s=CHECK_TIMEOUT_S)
    except ImportError:
        return Check(name="adb", purpose=purpose, state=State.BROKEN, remedy="pip install edgekit")
    except EdgekitError as error:
        return Check(name="adb", purpose=purpose, state=State.BROKEN, where=error.message, remedy=remedy)
    if not done.ok:
        where = f"{path}: {_process.describe_exit(done.exit_code)}"
        return Check(name="adb", purpose=purpose, state=State.BROKEN, where=where, remedy=remedy)
    version = next(
        (line.split()[1] for line in done.stdout.splitlines() if line.startswith("Version ")), None
    )
    return Check(name="adb", purpose=purpose, state=State.OK, version=version, where=path)


def _program(program: str, purpose: str, package: str) -> Check:
    path = shutil.which(program)
    return Check(
        name=program,
        purpose=purpose,
        state=State.OK if path else State.MISSING,
        where=path,
        remedy=None if path else f"apt-get install {package}",
    )


def _namespaces() -> Check:
    """Check the virtual device's needs: user namespaces and a private binfmt_misc (Linux 6.7)."""
    purpose = "the virtual device at full speed (without: proot)"
    unshare = shutil.which("unshare")
    release = platform.release()
    works = (
        unshare is not None
        and _process.run(
            [unshare, "--user", "--map-root-user", "--mount", "true"], timeout_s=CHECK_TIMEOUT_S
        ).ok
    )
    numbers = [int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit()]
    recent = numbers >= [6, 7]
    return Check(
        name="user-namespaces",
        purpose=purpose,
        version=f"Linux {release}",
        state=State.OK if works and recent else State.MISSING,
        remedy=None
        if works and recent
        else "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1)"
        if recent
        else "Linux 6.7 or newer; until then `apt-get install proot`",
    )
