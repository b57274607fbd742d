"""Paddle Lite's model optimiser `opt`: which one this machine has, and how it gets one.

opt comes inside the `paddlelite` wheels, which exist for few Python versions and none that edgekit
runs on; so it lives in an isolated environment. The wheel's entry point and the release's standalone
binary take the same arguments.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

import msgspec

from edgekit import _process
from edgekit.errors import ToolError, UsageError
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.component import Component, Found, InstallRequest, Report
from edgekit.toolchain.environments import (
    CLEAN,
    Environment,
    environment_python,
    make_environment,
    read_environment,
)
from edgekit.toolchain.interpreters import Interpreter, Version, describe_places, find_interpreters

VERSION_TIMEOUT_S = 60.0
ENVIRONMENT_VARIABLE = "EDGEKIT_OPT"
_NUMBER = r"v?\d+\.\d+(?:\.\d+)?(?:-?rc\d*)?"
# The wheel's entry point answers `--version` with nothing but the version; the standalone binary shows
# it in the help that it prints when called without arguments.
_ONLY_VERSION = re.compile(rf"\A\s*({_NUMBER})\s*\Z")
_HELP_VERSION = re.compile(rf"opt version:\s*({_NUMBER})")


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A paddlelite release on the package registry.

    Attributes:
        version: As on the registry.
        pythons: Interpreters that it has wheels for (Linux x86-64 only, all of them).
        broken_targets: Targets that its opt crashes on.
    """

    version: str
    pythons: tuple[Version, ...]
    broken_targets: tuple[str, ...] = ()


# In order of preference: 2.12 is the newest full release, and the one that the device runtimes of
# the release page belong to. 2.13rc0's x86 ends in SIGSEGV (seen on AMD and Intel).
RELEASES = (
    Release(version="2.12", pythons=((3, 7), (3, 6))),
    Release(version="2.13rc0", pythons=((3, 10), (3, 9), (3, 8)), broken_targets=("x86",)),
    Release(version="2.14rc0", pythons=((3, 7), (3, 6))),
)


class Opt(msgspec.Struct, frozen=True, kw_only=True):
    """An opt that can be run.

    Attributes:
        version: paddlelite's version as on the registry, e.g. `2.12`; `unknown` where it does not say.
        argv: What to put before its arguments.
        python: An interpreter that can `import paddlelite`, which runs x86 artifacts on this host; None
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
        """Targets that this version is known to crash on."""
        return next((each.broken_targets for each in RELEASES if each.version == self.version), ())


def find_opt(version: str | None = None) -> Opt | None:
    """The opt to use: `$EDGEKIT_OPT`, else the best one in the cache; None where there is none.

    Args:
        version: Only this one.

    Raises:
        ToolError: `$EDGEKIT_OPT` names something that cannot be run.
    """
    explicit = os.environ.get(ENVIRONMENT_VARIABLE)
    if explicit:
        found = _explicit(Path(explicit).expanduser())
        return found if version in (None, found.version) else None
    for release in RELEASES:
        if version in (None, release.version):
            found_here = _in_environment(release) or _binary(release.version)
            if found_here is not None:
                return found_here
    return None


def require_opt(*, install: bool, progress: Report, version: str | None = None) -> Opt:
    """`find_opt`, installing one on the way where that is allowed.

    Raises:
        ToolError: There is none and none can be had, or `install` forbids it.
    """
    found = find_opt(version)
    if found is not None:
        return found
    if not install:
        raise ToolError(
            "converting to .nb: Paddle Lite's opt is not installed",
            hint="edgekit toolchain install opt, or leave it out with --formats paddle,onnx",
        )
    return install_opt(InstallRequest(version=version, progress=progress))


def install_opt(request: InstallRequest) -> Opt:
    """Get an opt: into an isolated environment, else as a binary, else with Debian's older Python.

    Raises:
        ToolError: None can be had; the message lists what was tried, the hint the ways to mend it.
        UsageError: A version that does not exist, or a directory (`$EDGEKIT_OPT` is for that).
    """
    if request.directory is not None:
        raise UsageError(
            f"installing opt: {request.directory} is a directory; opt is a program",
            hint=f"{ENVIRONMENT_VARIABLE}={request.directory}/bin/paddle_lite_opt edgekit export …",
        )
    releases = [each for each in RELEASES if request.version in (None, each.version)]
    if not releases:
        known = ", ".join(each.version for each in RELEASES)
        raise UsageError(
            f"installing opt: no version {request.version}; there are {known}",
            hint=f"edgekit toolchain install opt --version {RELEASES[0].version}",
        )
    from edgekit.toolchain import opt_sources

    if request.archive is not None:
        return opt_sources.install_archive(request.archive, request)
    _require_platform()
    tried: list[str] = []
    interpreters = find_interpreters()
    for release in releases:
        for interpreter in suitable(interpreters, release):
            try:
                return install_in_environment(release.version, interpreter, request)
            except ToolError as error:
                tried.append(error.message)
                break  # what the registry does not give to one interpreter it does not give to the next
    for attempt in opt_sources.ATTEMPTS:
        try:
            return attempt(releases, request)
        except ToolError as error:
            tried.append(error.message)
    raise _nothing_worked(releases, interpreters, tried)


def suitable(interpreters: list[Interpreter], release: Release) -> list[Interpreter]:
    """Those that a release has a wheel for, in the release's order of preference."""
    return sorted(
        (
            each
            for each in interpreters
            if each.minor_version in release.pythons
            and each.implementation == "CPython"
            and each.bits == 64
            and each.has_venv
        ),
        key=lambda each: (release.pythons.index(each.minor_version), not each.has_pip),
    )


def install_in_environment(
    version: str, interpreter: Interpreter, request: InstallRequest, wheel: Path | None = None
) -> Opt:
    """Make the isolated environment of a version and check that its opt answers."""
    directory = environment_directory(version, interpreter.tag)
    package = f"paddlelite=={version}" if wheel is None else str(wheel.resolve())
    # paddlelite needs numpy and does not say so.
    environment = make_environment(
        directory, interpreter, (package, "numpy"), progress=request.progress, force=request.force
    )
    found = _from_directory(directory, version, environment)
    _probe(found)
    return found


def environment_directory(version: str, tag: str) -> Path:
    """Where the environment of a version and interpreter tag is."""
    return cache_directory("opt") / f"paddlelite-{version}-{tag}"


def binary_path(version: str) -> Path:
    """Where the standalone binary of a version is."""
    return cache_directory("opt") / f"binary-{version}" / "opt"


def _probe(found: Opt) -> None:
    """Ask a new opt for its version; it is loaded for the first time here."""
    if read_version(found.argv) is None:
        raise ToolError(
            f"installing opt {found.version}: {' '.join(found.argv)} --version does not answer",
            hint="edgekit --verbose toolchain install opt --force, or another --version",
        )


def read_version(argv: tuple[str, ...]) -> str | None:
    """The version that an opt tells of itself, as on the registry; None where this is no opt."""
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
    """opt writes `v2.13-rc` for what the registry calls `2.13rc0`."""
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
            return _from_directory(directory, release.version, environment)
    return None


def _from_directory(directory: Path, version: str, environment: Environment) -> Opt:
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
    # Not by its first line: the kernel cuts that at 127 characters (255 in newer ones).
    return Opt(version=version, argv=(str(python), str(script)), python=python, source="environment")


def _binary(version: str) -> Opt | None:
    path = binary_path(version)
    if not os.access(path, os.X_OK):
        return None
    return Opt(version=version, argv=(str(path),), python=None, source="binary")


def _require_platform() -> None:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise ToolError(
            f"installing opt: paddlelite has wheels for Linux x86-64 only, this is {platform.system()} "
            f"{platform.machine()}",
            hint=f"build opt from source and name it: {ENVIRONMENT_VARIABLE}=/path/to/opt; or "
            "--formats paddle,onnx",
        )


def _nothing_worked(releases: list[Release], interpreters: list[Interpreter], tried: list[str]) -> ToolError:
    wanted = sorted({minor for release in releases for minor in release.pythons})
    versions = ", ".join(f"{major}.{minor}" for major, minor in wanted)
    present = ", ".join(dict.fromkeys(each.version_text for each in interpreters)) or "none"
    newest = f"{wanted[-1][0]}.{wanted[-1][1]}"
    return ToolError(
        "\n  ".join(
            [
                f"installing opt: paddlelite {', '.join(each.version for each in releases)} needs one of "
                f"Python {versions}",
                f"looked in {describe_places()}: found {present}",
                *tried,
            ]
        ),
        hint="\n  ".join(
            [
                "any one of these, then `edgekit toolchain install opt`:",
                f"pyenv install {'3.7' if (3, 7) in wanted else newest}",
                f"conda create -n opt python={'3.7' if (3, 7) in wanted else newest}",
                *([f"uv python install {newest}"] if wanted[-1] >= (3, 8) else []),
                "edgekit toolchain install opt --archive opt_linux   (the release's binary)",
                f"{ENVIRONMENT_VARIABLE}=/path/to/paddle_lite_opt",
                "or go on without: --formats paddle,onnx",
            ]
        ),
    )


def _find() -> Found | None:
    found = find_opt()
    return None if found is None else as_found(found)


def as_found(found: Opt) -> Found:
    """An opt as `toolchain list` shows it."""
    broken = f"; no {', '.join(found.broken_targets)}" if found.broken_targets else ""
    return Found(version=found.version, path=found.path, detail=f"from {found.source}{broken}")


COMPONENT = Component(
    name="opt",
    purpose="converting to .nb for Paddle Lite; the host engine `paddlelite`",
    find=_find,
    install=lambda request: as_found(install_opt(request)),
)
