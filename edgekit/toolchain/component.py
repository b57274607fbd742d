"""What a component is: something that edgekit needs beside its Python packages, and can install."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

Report = Callable[[str], None]
"""Called with a line for the user before each slow step."""


def _say_nothing(_line: str) -> None:
    """The report of whoever does not want any."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A component that is here.

    Attributes:
        version: As it says of itself; None where it does not.
        path: The program or directory.
        detail: What else a user wants to know, e.g. which interpreter runs it.
    """

    version: str | None
    path: Path
    detail: str | None = None


class InstallRequest(msgspec.Struct, frozen=True, kw_only=True):
    """How a component is to be installed.

    Attributes:
        version: Exactly this one; None lets the component choose.
        archive: A file that was downloaded by hand, instead of a download.
        directory: A directory that was unpacked or built by hand, instead of a download.
        force: Install again although it is here.
        progress: Told what is going on.
    """

    version: str | None = None
    archive: Path | None = None
    directory: Path | None = None
    force: bool = False
    progress: Report = _say_nothing


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """Something that edgekit needs beside its Python packages.

    Attributes:
        name: What `toolchain install` takes.
        purpose: One line: what goes on without it, what does not.
        find: Looks for it without changing anything; None where it is missing or damaged.
        install: Makes it available and returns it; raises ToolError with the ways to mend what failed.
    """

    name: str
    purpose: str
    find: Callable[[], Found | None]
    install: Callable[[InstallRequest], Found]
