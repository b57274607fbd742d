"""Components: things that edgekit needs besides its Python packages and can install."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

Report = Callable[[str], None]
"""Called with a line for the user before each slow step."""


def _say_nothing(_line: str) -> None:
    """Ignore progress."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A component that is present.

    Attributes:
        version: Version that the component reports; None where it reports none.
        path: Path of the program or directory.
        detail: Further information for the user, e.g. the interpreter that runs it.
        fault: Reason why it does not work as it is; None where it does.
        remedy: Command that mends the fault.
    """

    version: str | None
    path: Path
    detail: str | None = None
    fault: str | None = None
    remedy: str | None = None


class InstallRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of an installation.

    Attributes:
        version: Exact version; None lets the component choose.
        archive: File that the user downloaded by hand, instead of a download.
        directory: Directory that the user unpacked or built by hand, instead of a download.
        force: True to install again.
        trust_new: True to take a download that is not the one whose hash was recorded at first use.
        progress: Called with a line for the user about each step.
    """

    version: str | None = None
    archive: Path | None = None
    directory: Path | None = None
    force: bool = False
    trust_new: bool = False
    progress: Report = _say_nothing


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that edgekit needs besides its Python packages.

    Attributes:
        name: Name for `toolchain install`.
        purpose: One line about what works with the component and what fails without it.
        find: Looks for the component without changes; returns None where it is missing or damaged.
        install: Installs the component and returns it; raises ToolError with the ways to repair a failure.
    """

    name: str
    purpose: str
    find: Callable[[], Found | None]
    install: Callable[[InstallRequest], Found]
