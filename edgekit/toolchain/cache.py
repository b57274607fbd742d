"""The user's cache directory for everything that edgekit downloads, builds and installs.

    weights/     official weights and inference models
    pictures/    pictures to predict and to evaluate on
    opt/         isolated environments for paddle_lite_opt
    paddle/      environment of Paddle, where edgekit's own Python has none
    runtimes/    libraries for devices
    python/      CPython, numpy and engines' wheels for devices
    native/      runners built here
    apt/         Debian packages fetched and unpacked without root
    virtual/     virtual devices: their state and their trees

`$EDGEKIT_CACHE` sets another directory.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit._text import nearest
from edgekit.errors import InputError


def cache_root() -> Path:
    """Return `$EDGEKIT_CACHE`, else the platform's cache directory for `edgekit`."""
    explicit = os.environ.get("EDGEKIT_CACHE")
    if explicit:
        return Path(explicit).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("edgekit", appauthor=False))


def cache_directory(part: str) -> Path:
    """Return the directory of a cache part, e.g. `opt`; the writer creates it."""
    return cache_root() / part


class CachePart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the cache and its size on disk."""

    name: str
    files: int
    size_bytes: int


def list_parts() -> list[CachePart]:
    """Return the existing parts, sorted by name."""
    root = cache_root()
    if not root.is_dir():
        return []
    return [_measure(path) for path in sorted(root.iterdir()) if path.is_dir()]


def _measure(directory: Path) -> CachePart:
    sizes = [
        path.lstat().st_size for path in directory.rglob("*") if path.is_file() and not path.is_symlink()
    ]
    return CachePart(name=directory.name, files=len(sizes), size_bytes=sum(sizes))


def clean(parts: Sequence[str]) -> int:
    """Delete parts of the cache; return the bytes freed.

    Raises:
        InputError: A part does not exist, or is in use (a virtual device is running).
    """
    present = {part.name: part for part in list_parts()}
    for name in parts:
        if name not in present:
            near = nearest(name, present, 1)
            raise InputError(
                f"cleaning the cache: no part {name!r} in {cache_root()}",
                hint=f"edgekit cache clean {near[0]}" if near else "edgekit cache list",
            )
        if name == "virtual" and any(_is_running(pid) for pid in (cache_root() / name).glob("*/pid")):
            raise InputError(
                "cleaning the cache: a virtual device is running", hint="edgekit virtual stop --all"
            )
    freed = 0
    for name in dict.fromkeys(parts):
        freed += present[name].size_bytes
        shutil.rmtree(cache_root() / name)
    return freed


def _is_running(pid_file: Path) -> bool:
    try:
        return Path(f"/proc/{int(pid_file.read_text())}").exists()
    except (OSError, ValueError):
        return False
