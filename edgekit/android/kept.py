"""Keeps what a build made from equal input: classes, dex and compressed libraries, in edgekit's cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from edgekit._files import locked, temporary_directory
from edgekit.toolchain.cache import cache_directory


def kept(kind: str, identity: Sequence[str], make: Callable[[Path], None]) -> Path:
    """Return the directory of what was made from this input, made now where it is not there.

    Args:
        kind: Name of what is made.
        identity: Everything on which the result depends, with hashes in place of files.
        make: Fills an empty directory; what it leaves after an error is deleted.
    """
    digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()
    root = cache_directory("android") / "kept" / kind
    place = root / digest[:16]
    root.mkdir(parents=True, exist_ok=True)
    with locked(root / f"{place.name}.lock", f"the build of the same {kind}"):
        if not place.is_dir():
            with temporary_directory(".kept.held-", root) as work:
                filled = work / "out"
                filled.mkdir()
                make(filled)
                filled.rename(place)
    return place
