"""Manifests of models that exist nowhere, for tests of what is made of outputs."""

from __future__ import annotations

import msgspec

from edgekit.core.artifact import Manifest


def manifest(task: str = "classification", **changes: object) -> Manifest:
    """Return the manifest of an imported model `net` with one input and one output."""
    tensor = {"name": "x", "dtype": "float32", "shape": [None, 3, 8, 8]}
    fields = {
        "edgekit_version": "0", "name": "net", "model": None, "source": "net.onnx", "source_sha256": None,
        "task": task, "num_classes": 10, "output_activation": "softmax", "preprocess": {}, "labels": None,
        "inputs": [tensor], "outputs": [{**tensor, "name": "y"}], "artifacts": {}, **changes,
    }  # fmt: skip
    return msgspec.convert(fields, Manifest)
