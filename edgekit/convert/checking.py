"""What becomes of artifacts that were made and then checked: those that hold are kept, the others are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from edgekit.core.artifact import Manifest
from edgekit.core.parity import Parity
from edgekit.errors import ParityError

Check = Callable[[Path, Manifest], Mapping[str, Parity]]
"""Computes the artifacts of a directory and judges them by their reference; results by rung."""


def has_failed(manifest: Manifest) -> bool:
    """Whether an artifact of the last conversion failed its check on this machine, kept or not.

    int8 artifacts do not count: another command makes them.
    """
    return any(
        not parity.passed and "@" not in rung and "int8" not in rung
        for rung, parity in manifest.parity.items()
    )


def keep_what_holds(
    manifest: Manifest, directory: Path, check: Check, *, keep_failed: bool, doing: str, hint: str
) -> Manifest:
    """Check freshly made artifacts and take those that failed out of the manifest.

    An artifact goes with the one that it was made from: nothing has shown that it is better.

    Args:
        manifest: The manifest of the artifacts in `directory`.
        directory: A staging directory.
        check: Computes and judges them.
        keep_failed: Keep all of them; the manifest says which failed.
        doing: What messages begin with, e.g. `importing net.onnx`.
        hint: The command that keeps them all the same.

    Returns:
        The manifest with the results; its artifacts are those that hold.

    Raises:
        ParityError: None holds.
    """
    parity = dict(check(directory, manifest))
    checked = msgspec.structs.replace(manifest, parity=parity)
    if keep_failed:
        return checked
    failed = {artifact.sha256 for artifact in manifest.artifacts.values() if checked.failure(artifact.kind)}
    while True:
        children = {
            artifact.sha256
            for artifact in manifest.artifacts.values()
            if artifact.parent_sha256 in failed and artifact.sha256 not in failed
        }
        if not children:
            break
        failed |= children
    kept = {key: one for key, one in manifest.artifacts.items() if one.sha256 not in failed}
    if not kept or any(not one.passed and rung not in manifest.artifacts for rung, one in parity.items()):
        reasons = "; ".join(f"{rung}: {one.reason}" for rung, one in parity.items() if not one.passed)
        raise ParityError(f"{doing}: nothing was written, for nothing holds: {reasons}", hint=hint)
    return msgspec.structs.replace(checked, artifacts=kept)
