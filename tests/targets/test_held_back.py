"""Inputs that are kept with int8 artifacts to judge them by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.core.artifact import Artifact, ArtifactFile, ArtifactKind
from edgekit.errors import InputError
from edgekit.targets.held_back import FILE_NAME, read_held_back, write_held_back

SHAPE = (3, 8, 8)


def _artifact(kept: ArtifactFile | None) -> Artifact:
    return Artifact(
        kind=ArtifactKind.ONNX_INT8, files=(), tool="test", tool_version="1", parent_sha256=None, inputs=(),
        outputs=(), held_back=kept,
    )  # fmt: skip


def test_normalised_pixels_come_back(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, *SHAPE))
    pixels[0, :, 0, 0], pixels[0, :, 0, 1] = 0, 255
    mean, deviation = np.array([[[0.485]], [[0.456]], [[0.406]]]), np.array([[[0.229]], [[0.224]], [[0.225]]])
    inputs = ((pixels / 255 - mean) / deviation).astype(np.float32)
    kept = write_held_back(tmp_path, inputs)
    back = read_held_back(tmp_path, _artifact(kept), SHAPE)
    assert back is not None
    assert back.dtype == np.float32
    assert np.abs(back - inputs).max() < 1e-5 * np.ptp(inputs)


def test_inputs_of_another_shape_are_not_used(tmp_path: Path) -> None:
    kept = write_held_back(tmp_path, np.zeros((2, *SHAPE), np.float32))
    assert read_held_back(tmp_path, _artifact(kept), (3, 16, 16)) is None
    assert read_held_back(tmp_path, _artifact(None), SHAPE) is None


def test_a_changed_file_is_refused_by_name(tmp_path: Path) -> None:
    kept = write_held_back(tmp_path, np.zeros((2, *SHAPE), np.float32))
    path = tmp_path / FILE_NAME
    content = bytearray(path.read_bytes())
    content[50] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"held_back\.npz: it is not the file of the manifest"):
        read_held_back(tmp_path, _artifact(kept), SHAPE)
