"""Paddle Lite's model optimiser `opt`: its releases, and the installed one.

opt is part of the `paddlelite` wheels, which exist for few Python versions and none that edgekit
runs on; so it has an isolated environment. The wheel's entry point and the release's standalone
binary take the same arguments.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from edgekit import _process
from edgekit.errors import ToolError
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.opt.environments import (
    CLEAN,
    Environment,
    environment_python,
    read_environment,
)
from edgekit.toolchain.opt.interpreters import Version

VERSION_TIMEOUT_S = 60.0
ENVIRONMENT_VARIABLE = "EDGEKIT_OPT"
_NUMBER = r"v?\d+\.\d+(?:\.\d+)?(?:-?rc\d*)?"
# The wheel's entry point answers `--version` with the version alone; the standalone binary prints the
# version in its help when called without arguments.
_ONLY_VERSION = re.compile(rf"\A\s*({_NUMBER})\s*\Z")
_HELP_VERSION = re.compile(rf"opt version:\s*({_NUMBER})")


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A paddlelite release in the package registry.

    Attributes:
        version: Version in the registry.
        pythons: Python versions with wheels (all for Linux x86-64 only).
        broken_targets: Targets on which its opt crashes.
    """

    version: str
    pythons: tuple[Version, ...]
    broken_targets: tuple[str, ...] = ()


# In order of preference: 2.12 is the newest full release, and the device runtimes of the release page
# match it. With 2.13rc0 the target x86 ends in SIGSEGV (seen on AMD and Intel).
RELEASES = (
    Release(version="2.12", pythons=((3, 7), (3, 6))),
    Release(version="2.13rc0", pythons=((3, 10), (3, 9), (3, 8)), broken_targets=("x86",)),
    Release(version="2.14rc0", pythons=((3, 7), (3, 6))),
)


class Opt(msgspec.Struct, frozen=True, kw_only=True):
    """An opt that can be run.

    Attributes:
        version: Version of paddlelite in the registry, e.g. `2.12`; `unknown` where opt does not report it.
        argv: Command line that precedes the arguments.
        python: Interpreter that can `import paddlelite`, which runs x86 artifacts on this host; None
            for the standalone binary.
        source: `environment`, `EDGEKIT_OPT` or `binary`.
    """

    version: str
    argv: tuple[str, ...]
    python: Path | None
    source: str

    @property
    def path(self) -> Path:
        return Path(self.argv[-1])

    @property
    def broken_targets(self) -> tuple[str, ...]:
        """Targets on which this version is known to crash."""
        return next((each.broken_targets for each in RELEASES if each.version == self.version), ())


def find_opt() -> Opt | None:
    """Return `$EDGEKIT_OPT`, else the best opt in the cache; None where there is none.

    Raises:
        ToolError: `$EDGEKIT_OPT` names something that cannot be run.
    """
    explicit = os.environ.get(ENVIRONMENT_VARIABLE)
    if explicit:
        return _explicit(Path(explicit).expanduser())
    return next(filter(None, (_in_environment(each) or _binary(each.version) for each in RELEASES)), None)


def x86_obstacle(opt: Opt | None) -> str | None:
    """Return why an opt cannot make x86 artifacts that this machine runs; None where it can."""
    if opt is None:
        return "opt is not installed"
    if "x86" in opt.broken_targets:
        return f"opt {opt.version} crashes on the target x86"
    if opt.python is None:
        return f"opt {opt.version} is the standalone binary, which runs no models"
    return None


def x86_remedy() -> str:
    """Return the commands that install an opt whose x86 artifacts this machine runs."""
    release = next(each for each in RELEASES if "x86" not in each.broken_targets)
    python = ".".join(map(str, release.pythons[0]))
    return f"pyenv install {python}, then: edgekit toolchain install opt --version {release.version}"


def environment_directory(version: str, tag: str) -> Path:
    """Return the directory for the environment of a version and interpreter tag."""
    return cache_directory("opt") / f"paddlelite-{version}-{tag}"


def binary_path(version: str) -> Path:
    """Return the path for the standalone binary of a version."""
    return cache_directory("opt") / f"binary-{version}" / "opt"


def read_version(argv: tuple[str, ...]) -> str | None:
    """Return the version that an opt reports, in the registry's form; None for any other program."""
    for argument, pattern in (("--version", _ONLY_VERSION), (None, _HELP_VERSION)):
        words = [*argv, *([] if argument is None else [argument])]
        try:
            done = _process.run(words, timeout_s=VERSION_TIMEOUT_S, env=CLEAN)
        except ToolError:
            return None
        match = pattern.search(done.stdout) or pattern.search(done.stderr)
        if match is not None:
            return registry_version(match.group(1))
    return None


def registry_version(text: str) -> str:
    """Convert opt's `v2.13-rc` to the registry's `2.13rc0`."""
    number, dash, suffix = text.removeprefix("v").partition("-")
    return number + (suffix if suffix[-1:].isdigit() else f"{suffix}0") if dash else number


def _explicit(path: Path) -> Opt:
    if not path.is_file() or not os.access(path, os.X_OK):
        raise ToolError(
            f"{ENVIRONMENT_VARIABLE}={path}: no such executable file",
            hint=f"unset {ENVIRONMENT_VARIABLE}, or name a paddle_lite_opt or a standalone opt binary",
        )
    argv = (str(path.absolute()),)
    python = path.absolute().parent / "python"
    libraries = list(python.parent.parent.glob("lib/python3*/site-packages/paddlelite/lite.so"))
    return Opt(
        version=read_version(argv) or "unknown",
        argv=argv,
        python=python if libraries and os.access(python, os.X_OK) else None,
        source=ENVIRONMENT_VARIABLE,
    )


def _in_environment(release: Release) -> Opt | None:
    for minor in release.pythons:
        directory = environment_directory(release.version, f"cp{minor[0]}{minor[1]}")
        environment = read_environment(directory)
        if environment is not None:
            return from_directory(directory, release.version, environment)
    return None


def from_directory(directory: Path, version: str, environment: Environment) -> Opt:
    """Return the opt of an environment. Raises ToolError where it has none."""
    python = environment_python(directory)
    script = next(
        (
            path
            for path in (
                directory / "bin" / "paddle_lite_opt",
                *directory.glob("lib/python3*/site-packages/bin/paddle_lite_opt"),
            )
            if path.is_file()
        ),
        None,
    )
    if script is None:
        raise ToolError(
            f"opt {version}: {directory} ({', '.join(environment.packages)}) has no paddle_lite_opt",
            hint="edgekit toolchain install opt --force",
        )
    # Not recognised by its first line, which the kernel cuts at 127 characters (255 in newer ones).
    return Opt(version=version, argv=(str(python), str(script)), python=python, source="environment")


def _binary(version: str) -> Opt | None:
    path = binary_path(version)
    if not os.access(path, os.X_OK):
        return None
    return Opt(version=version, argv=(str(path),), python=None, source="binary")
