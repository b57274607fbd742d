"""Keep the artifacts that passed their check, and remove the others."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from edgekit.convert.manifest import word_for
from edgekit.convert.request import ConversionRequest
from edgekit.core.artifact import Artifact, Manifest
from edgekit.core.parity import Parity
from edgekit.core.spec import Precision
from edgekit.errors import ParityError
from edgekit.toolchain.component import Report

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
    manifest: Manifest, directory: Path, check: Check | None, request: ConversionRequest
) -> Manifest:
    """Check freshly made artifacts; take those that failed out of the manifest and delete what it lacks.

    An artifact goes with the one that it was made from: nothing has shown that it is better.

    Args:
        manifest: The manifest of the artifacts in `directory`.
        directory: A staging directory.
        check: Computes and judges them; None leaves them unchecked.
        request: With `keep_failed` all are kept; the manifest says which failed.

    Returns:
        The manifest with the results; its artifacts are those that hold.

    Raises:
        ParityError: None holds.
    """
    if check is not None:
        parity = dict(check(directory, manifest))
        manifest = msgspec.structs.replace(manifest, parity=parity)
        if not request.keep_failed:
            manifest = msgspec.structs.replace(manifest, artifacts=_holding(manifest, request))
    _drop_unlisted(directory, manifest)
    return manifest


def _holding(manifest: Manifest, request: ConversionRequest) -> dict[str, Artifact]:
    artifacts, parity = manifest.artifacts, manifest.parity
    failed = {artifact.sha256 for artifact in artifacts.values() if manifest.failure(artifact.kind)}
    while True:
        children = {
            artifact.sha256
            for artifact in artifacts.values()
            if artifact.parent_sha256 in failed and artifact.sha256 not in failed
        }
        if not children:
            break
        failed |= children
    kept = {key: one for key, one in artifacts.items() if one.sha256 not in failed}
    if not kept or any(not one.passed and rung not in artifacts for rung, one in parity.items()):
        reasons = "; ".join(f"{rung}: {one.reason}" for rung, one in parity.items() if not one.passed)
        raise ParityError(
            f"{request.doing}: nothing was written, for nothing holds: {reasons}",
            hint=request.with_options("--keep-failed"),
        )
    return kept


def _drop_unlisted(staging: Path, manifest: Manifest) -> None:
    """Delete what converters left beside the artifacts."""
    listed = {file.path for file in manifest.files}
    for path in staging.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in listed:
            path.unlink()


def tell_of_dropped(previous: Manifest | None, manifest: Manifest, directory: Path, progress: Report) -> None:
    """Say which int8 artifacts were deleted with the earlier model; `quantize` makes new ones."""
    earlier = {} if previous is None else previous.artifacts
    dropped = [
        key
        for key, artifact in earlier.items()
        if artifact.kind.precision is Precision.INT8 and key not in manifest.artifacts
    ]
    if dropped:
        progress(
            f"int8 artifacts were dropped ({', '.join(dropped)}); "
            f"edgekit quantize {word_for(manifest, directory)} --calibration DIR makes them anew"
        )
