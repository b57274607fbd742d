"""Sample pictures of a bundled model, with the host's inputs and scores for each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit._files import PICTURE_BYTES, read_bytes
from edgekit.android.model_file import BundledSample
from edgekit.core.artifact import Artifact
from edgekit.core.spec import Preprocess
from edgekit.errors import InputError, ToolError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.vision.decode import Pixels

# Samples are stored without loss, so that every decoder gives the same pixels; this keeps them small.
MAX_SIDE = 1024
PROBES = 96
GOLDEN_RATIO = (5**0.5 - 1) / 2


class EncodedSample(msgspec.Struct, frozen=True, kw_only=True):
    """A sample ready to be written: its entry in `model.json` and its PNG."""

    entry: BundledSample
    png: bytes


def make_samples(
    pictures: Sequence[Path], preprocess: Preprocess, artifact: Artifact, model: Path
) -> list[EncodedSample]:
    """Pictures as samples, each with the host's scores from the ONNX artifact.

    Args:
        pictures: Picture files of any kind that edgekit decodes.
        preprocess: The model's own.
        artifact: The ONNX artifact's entry in the manifest.
        model: Its file.

    Raises:
        InputError: A picture cannot be read, or is too small to be one.
        ToolError: ONNX Runtime is not installed or refuses the model.
    """
    from edgekit.vision.preprocess import Preprocessor

    transform = Preprocessor(preprocess)
    session = _open_session(model)
    samples = []
    for index, path in enumerate(pictures):
        pixels = _read(path)
        tensor = transform(pixels, str(path))
        scores = _infer(session, artifact, tensor)
        png = _encode_png(pixels, path)
        flat = tensor.reshape(-1)
        places = _probe_places(flat.size)
        samples.append(
            EncodedSample(
                entry=BundledSample(
                    file=f"sample_{index}.png",
                    sha256=hashlib.sha256(png).hexdigest(),
                    title=path.stem,
                    expected_scores=tuple(float(score) for score in scores),
                    probe_indices=places,
                    probe_values=tuple(float(flat[place]) for place in places),
                ),
                png=png,
            )
        )
    return samples


def _read(path: Path) -> Pixels:
    """uint8[H,W,3] BGR, at most `MAX_SIDE` pixels a side."""
    from edgekit.vision.decode import decode, load_cv2

    pixels = decode(read_bytes(path, "the sample", most_bytes=PICTURE_BYTES), str(path))
    side = max(pixels.shape[:2])
    if side <= MAX_SIDE:
        return pixels
    cv2 = load_cv2()
    height, width = (max(1, round(length * MAX_SIDE / side)) for length in pixels.shape[:2])
    smaller: Pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return smaller


def _encode_png(pixels: Pixels, path: Path) -> bytes:
    from edgekit.vision.decode import load_cv2

    cv2 = load_cv2()
    ok, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not ok:
        raise InputError(f"bundling the sample {path}: OpenCV does not encode it as PNG")
    return bytes(encoded)


def _probe_places(size: int) -> tuple[int, ...]:
    """Places spread evenly over channels, rows and columns: multiples of the golden ratio, modulo 1."""
    return tuple(sorted({int(index * GOLDEN_RATIO % 1 * size) for index in range(PROBES)}))


def _open_session(model: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ToolError(
            f"computing the samples' expected scores: {error}", hint="pip install 'edgekit[onnxruntime]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class of their own
        raise ToolError(
            f"computing the samples' expected scores: ONNX Runtime does not load {model}: {error}",
            hint="edgekit verify NAME",
        ) from error


def _infer(session: Any, artifact: Artifact, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    import numpy as np

    feed = {artifact.inputs[0].name: tensor[np.newaxis]}
    scores: NDArray[np.float32] = session.run([artifact.outputs[0].name], feed)[0][0]
    if not np.isfinite(scores).all():
        raise InputError(
            "computing the samples' expected scores: the ONNX artifact gives scores that are not finite",
            hint="edgekit verify NAME",
        )
    return scores
