"""Isolated Python environments for tools that do not run on edgekit's own interpreter.

An environment is made in place under a lock and its marker is written last; an environment that was
interrupted or lost a library counts as missing and is made again.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit import _process
from edgekit._files import locked, output_error, write_atomic
from edgekit.errors import ToolError
from edgekit.toolchain.component import Report
from edgekit.toolchain.opt.interpreters import Interpreter

MARKER = ".edgekit-environment.json"
VENV_TIMEOUT_S = 120.0
PIP_TIMEOUT_S = 900.0
# A caller's virtual environment or pip settings must not affect the new environment.
CLEAN = {
    "PYTHONHOME": None,
    "PYTHONPATH": None,
    "VIRTUAL_ENV": None,
    "PIP_TARGET": None,
    "PIP_PREFIX": None,
    "PIP_USER": None,
    "PYTHONNOUSERSITE": "1",
}


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The marker of a finished environment.

    Attributes:
        packages: Requirements given to pip.
        interpreter: Executable that made the environment.
        python_version: Version of the interpreter.
        libraries: Size in bytes of every shared library in it, by path inside the environment.
    """

    packages: tuple[str, ...]
    interpreter: str
    python_version: str
    libraries: dict[str, int]


def environment_python(directory: Path) -> Path:
    """Return the interpreter of an environment."""
    return directory / "bin" / "python"


def read_environment(directory: Path) -> Environment | None:
    """Return the environment in a directory; None where it is missing, incomplete or damaged."""
    try:
        environment = msgspec.json.decode((directory / MARKER).read_bytes(), type=Environment)
        whole = all((directory / path).stat().st_size == size for path, size in environment.libraries.items())
    except (OSError, msgspec.DecodeError, ValueError):
        return None
    usable = whole and os.access(environment_python(directory), os.X_OK)
    return environment if usable else None


def make_environment(
    directory: Path,
    interpreter: Interpreter,
    packages: Sequence[str],
    *,
    progress: Report,
    force: bool = False,
    dependencies: bool = True,
) -> Environment:
    """Make an isolated environment with these packages unless a complete one exists; return it.

    Args:
        directory: Directory of the environment.
        interpreter: Python that makes the environment.
        packages: Pinned arguments for pip: `name==version`, or paths of wheels.
        progress: Called with a line for the user about each step.
        force: True to make the environment again.
        dependencies: False to install the packages without those that they declare.

    Raises:
        ToolError: The interpreter cannot make an environment, or pip cannot get the packages.
        OutputError: The cache cannot be written.
    """
    with locked(directory.parent / f"{directory.name}.lock", f"the environment {directory}"):
        present = read_environment(directory)
        if present is not None and present.packages == tuple(packages) and not force:
            return present
        try:
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
        except OSError as error:
            raise output_error(directory, error) from error
        progress(f"making an environment with Python {interpreter.version_text} in {directory}")
        _make_venv(directory, interpreter)
        progress(f"installing {', '.join(Path(package).name for package in packages)}")
        _install(directory, interpreter, packages, dependencies)
        environment = Environment(
            packages=tuple(packages),
            interpreter=str(interpreter.path),
            python_version=interpreter.version_text,
            libraries=_libraries(directory),
        )
        write_atomic(directory / MARKER, msgspec.json.encode(environment))
        return environment


def _make_venv(directory: Path, interpreter: Interpreter) -> None:
    words: list[str | Path] = [interpreter.path, "-I", "-m", "venv", directory]
    if not interpreter.has_pip:
        words.append("--without-pip")
    done = _process.run(words, timeout_s=VENV_TIMEOUT_S, env=CLEAN)
    if not done.ok:
        raise ToolError(
            f"making an environment with {interpreter.path}: {_process.describe_exit(done.exit_code)}: "
            f"{done.tail(3)}",
            hint="install that interpreter's venv module, or another Python; edgekit toolchain install opt",
        )


def _install(directory: Path, interpreter: Interpreter, packages: Sequence[str], dependencies: bool) -> None:
    if interpreter.has_pip:
        words: list[str | Path] = [environment_python(directory), "-I", "-m", "pip", "install", "--no-user"]
    else:
        words = [*_own_pip(interpreter), "--target", _site_packages(directory, interpreter)]
    words += ["--disable-pip-version-check", "--no-input", "--quiet", "--only-binary=:all:"]
    words += [*([] if dependencies else ["--no-deps"]), *packages]
    done = _process.run(words, timeout_s=PIP_TIMEOUT_S, env=CLEAN)
    if not done.ok:
        raise ToolError(
            f"installing {', '.join(packages)} for Python {interpreter.version_text}: pip ended with "
            f"{_process.describe_exit(done.exit_code)}: {done.tail(3)}",
            hint="check that `pip download` works here, or pass a wheel with --archive",
        )


def _own_pip(interpreter: Interpreter) -> list[str | Path]:
    """Return the command of edgekit's own pip for another interpreter, which has none."""
    if importlib.util.find_spec("pip") is None:
        raise ToolError(
            f"installing for {interpreter.path}: neither it nor {sys.executable} has pip",
            hint=f"{sys.executable} -m ensurepip",
        )
    abi = interpreter.tag + ("m" if interpreter.minor_version < (3, 8) else "")
    platforms = [f"{name}_{interpreter.machine}" for name in ("manylinux2014", "manylinux1", "linux")]
    return _process.own_python(
        *("pip", "install"),
        *("--implementation", "cp", "--python-version", f"3.{interpreter.version[1]}", "--abi", abi),
        *(word for platform in platforms for word in ("--platform", platform)),
    )


def _site_packages(directory: Path, interpreter: Interpreter) -> Path:
    return directory / "lib" / f"python3.{interpreter.version[1]}" / "site-packages"


def _libraries(directory: Path) -> dict[str, int]:
    return {
        str(path.relative_to(directory)): path.stat().st_size
        for path in sorted(directory.rglob("*.so*"))
        if path.is_file()
    }
