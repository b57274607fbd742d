"""Installed packages: their versions, and the entry points by which they extend edgekit."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_METADATA = (".dist-info", ".egg-info", "EGG-INFO")


def entry_points(group: str) -> Iterable[EntryPoint]:
    """Return the entry points of a group that installed packages announce.

    Few Pythons have any. Importing `importlib.metadata` and asking it took 70 ms where 177 packages were
    installed, searching their files for the group 4 ms.
    """
    if not any(_announces(Path(directory), f"[{group}]".encode()) for directory in sys.path):
        return ()
    import importlib.metadata

    return importlib.metadata.entry_points(group=group)


def installed_version(*distributions: str, packages: Path | None = None) -> str | None:
    """Return the version of the first of these packages that is installed; None where none is.

    Args:
        distributions: Names of the packages.
        packages: Directory of another Python's packages; None for this one's.
    """
    import importlib.metadata

    path = sys.path if packages is None else [str(packages)]
    for name in distributions:
        for found in importlib.metadata.distributions(name=name, path=path):
            return found.version
    return None


def _announces(directory: Path, header: bytes) -> bool:
    """Return True where a package in a directory of the path may have entry points below this header."""
    try:
        names = os.listdir(directory)
    except OSError:
        # A zip file of packages; importlib.metadata reads it.
        return directory.is_file()
    about = (directory / name / "entry_points.txt" for name in names if name.endswith(_METADATA))
    return any(_contains(path, header) for path in about)


def _contains(path: Path, header: bytes) -> bool:
    try:
        return header in path.read_bytes()
    except OSError:
        return False
