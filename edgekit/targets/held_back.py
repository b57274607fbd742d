"""Inputs that `quantize` held back from calibration, kept beside the int8 artifacts that they judge.

The file is numpy's `.npz`: `levels`, uint8[N, C, H, W], and for each channel `low` and `step`, float32[C]; an
input is low + step * level. Pixels have 256 levels a channel, so at most half a level is lost.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit._files import sha256_file
from edgekit.core.artifact import Artifact, ArtifactFile
from edgekit.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FILE_NAME = "held_back.npz"
MOST_INPUTS = 64
MOST_BYTES = 256 << 20


def write_held_back(directory: Path, inputs: NDArray[np.float32]) -> ArtifactFile:
    """Write inputs, float32[N, C, H, W], into a directory; raises OSError."""
    import numpy

    low = inputs.min(axis=(0, 2, 3))
    step = numpy.maximum((inputs.max(axis=(0, 2, 3)) - low) / 255, numpy.float32(1e-12))
    levels = numpy.rint((inputs - low[:, None, None]) / step[:, None, None]).astype(numpy.uint8)
    path = directory / FILE_NAME
    numpy.savez_compressed(path, levels=levels, low=low, step=step)
    return ArtifactFile(path=FILE_NAME, sha256=sha256_file(path), size_bytes=path.stat().st_size)


def read_held_back(directory: Path, artifact: Artifact, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    """Return the inputs kept for an artifact, float32[N, *shape]; None where there are none of that shape.

    Raises:
        InputError: The file is not the one that `quantize` wrote.
    """
    import numpy

    kept = artifact.held_back
    if kept is None:
        return None
    path = directory / kept.path
    hint = "edgekit quantize NAME --calibration DIR makes it anew"
    try:
        if path.stat().st_size != kept.size_bytes or sha256_file(path) != kept.sha256:
            raise InputError(f"reading {path}: it is not the file of the manifest", hint=hint)
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MOST_BYTES:
                raise InputError(f"reading {path}: it unpacks to more than {MOST_BYTES >> 20} MB", hint=hint)
        with numpy.load(path, allow_pickle=False) as arrays:
            levels, low, step = arrays["levels"], arrays["low"], arrays["step"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"reading {path}: no held-back inputs: {error}", hint=hint) from error
    if levels.ndim != 4 or levels.shape[1:] != shape or (low.shape, step.shape) != (shape[:1], shape[:1]):
        return None
    values: NDArray[np.float32] = (low[:, None, None] + step[:, None, None] * levels).astype(numpy.float32)
    return values
