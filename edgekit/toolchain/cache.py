"""Where edgekit keeps what it downloads, builds and installs: one cache directory for the user.

    weights/     official weights and inference models
    opt/         isolated environments for paddle_lite_opt
    runtimes/    libraries for devices
    native/      runners built here
    apt/         Debian packages fetched and unpacked without root
    virtual/     virtual devices: their state and their trees

`$EDGEKIT_CACHE` moves it.
"""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """`$EDGEKIT_CACHE`, else the platform's cache directory for `edgekit`."""
    explicit = os.environ.get("EDGEKIT_CACHE")
    if explicit:
        return Path(explicit).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("edgekit", appauthor=False))


def cache_directory(part: str) -> Path:
    """A part of the cache, e.g. `opt`; it is made by whoever writes to it."""
    return cache_root() / part
