"""Installation of Paddle Lite's opt on this machine."""

from __future__ import annotations

import platform

from edgekit.errors import ToolError, UsageError
from edgekit.toolchain.component import Component, Found, InstallRequest, Report
from edgekit.toolchain.opt.interpreters import Interpreter, describe_places, find_interpreters
from edgekit.toolchain.opt.opt import ENVIRONMENT_VARIABLE, RELEASES, Opt, Release, find_opt
from edgekit.toolchain.opt.sources import ATTEMPTS, install_archive, install_in_environment, suitable


def require_opt(*, install: bool, progress: Report) -> Opt:
    """Return the opt of `find_opt`; install one where it is missing and `install` allows it.

    Raises:
        ToolError: There is no opt and none can be installed, or `install` is False.
    """
    found = find_opt()
    if found is not None:
        return found
    if not install:
        raise ToolError(
            "converting to .nb: Paddle Lite's opt is not installed",
            hint="edgekit toolchain install opt, or leave it out with --formats paddle,onnx",
        )
    return install_opt(InstallRequest(progress=progress))


def install_opt(request: InstallRequest) -> Opt:
    """Install an opt in an isolated environment, else as a binary, else with Debian's older Python.

    Raises:
        ToolError: No opt can be obtained; the message lists the attempts, the hint the remedies.
        UsageError: The version does not exist, or a directory was given (`$EDGEKIT_OPT` is for that).
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
    if request.archive is not None:
        return install_archive(request.archive, request)
    _require_platform()
    tried: list[str] = []
    interpreters = find_interpreters()
    for release in releases:
        for interpreter in suitable(interpreters, release):
            try:
                return install_in_environment(release.version, interpreter, request)
            except ToolError as error:
                tried.append(error.message)
                break  # a registry failure repeats with the next interpreter
    for attempt in ATTEMPTS:
        try:
            return attempt(releases, request)
        except ToolError as error:
            tried.append(error.message)
    raise _nothing_worked(releases, interpreters, tried)


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
    """Return an opt as a line of `toolchain list`."""
    broken = f"; no {', '.join(found.broken_targets)}" if found.broken_targets else ""
    return Found(version=found.version, path=found.path, detail=f"from {found.source}{broken}")


COMPONENT = Component(
    name="opt",
    purpose="converting to .nb for Paddle Lite; the host engine `paddlelite`",
    find=_find,
    install=lambda request: as_found(install_opt(request)),
)
