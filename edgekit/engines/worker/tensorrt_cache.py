"""Directories of TensorRT's built engines, beside the artifact, by files and circumstances."""

import json
import os
from typing import Any, Dict, Optional

from edgekit.engines.worker.refusal import RefusedError

DIRECTORY = ".tensorrt"


def engine_directory(model: str, params: Optional[str], gpu: Dict[str, Any], **about: Any) -> str:
    """Return the directory for engines of these files and circumstances; make it where it is missing.

    The libraries name engines by the network's structure, which other weights share. `key.json` in the
    directory lists the files and circumstances.

    Args:
        model: Path of the program, or of the ONNX model with its weights.
        params: Path of the weights, where they are a file of their own.
        gpu: Answer of `describe_gpu`; GPUs of one kind share engines.
        about: Further properties that an engine depends on: versions, shape, precision.

    Raises:
        RefusedError: Code `io` where the directory cannot be made.
    """
    import hashlib

    digest = hashlib.sha256()
    for path in (model, params):
        if path is not None:
            with open(path, "rb") as file:
                for chunk in iter(lambda: file.read(1 << 20), b""):
                    digest.update(chunk)
    kind = {name: value for name, value in gpu.items() if name != "uuid"}
    key = json.dumps(dict(about, gpu=kind, artifact_sha256=digest.hexdigest()), indent=1, sort_keys=True)
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    directory = os.path.join(os.path.dirname(os.path.abspath(model)), DIRECTORY, name)
    try:
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, "key.json"), "w") as file:
            file.write(key + "\n")
    except OSError as error:
        raise RefusedError(
            "io", "keeping TensorRT's engines in {}: {}".format(directory, error.strerror or error)
        ) from error
    return directory
