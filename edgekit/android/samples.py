"""Sample pictures of a bundled model, with the host's inputs, outputs and answers for each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit._files import PICTURE_BYTES, read_bytes
from edgekit.android.model_file import BundledFile, BundledOutput, BundledSample, ExpectedBox, ExpectedOutput
from edgekit.core.artifact import Artifact
from edgekit.core.parity import MAX_RELATIVE_ERROR
from edgekit.core.preprocess import Interpolation, Preprocess, Resize, ResizeBackend
from edgekit.core.spec import Precision
from edgekit.errors import InputError, ToolError
from edgekit.tasks.classification import Classification
from edgekit.tasks.detection import Detection
from edgekit.tasks.segmentation import Segmentation
from edgekit.tasks.task import Outputs, Shown, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.vision.decode import Pixels

# Samples are stored without loss, so that every decoder gives the same pixels; this keeps them small.
MAX_SIDE = 1024
PROBES = 96
OUTPUT_PROBES = 256
# The largest error that an artifact may have: within it an answer that turns on less may be either.
MARGIN = MAX_RELATIVE_ERROR[Precision.FP16] or 0.0
GOLDEN_RATIO = (5**0.5 - 1) / 2


class EncodedSample(msgspec.Struct, frozen=True, kw_only=True):
    """A sample ready to be written: its entry in `model.json`, its PNGs by name, its outputs' shapes."""

    entry: BundledSample
    files: dict[str, bytes]
    outputs: tuple[BundledOutput, ...]


def make_samples(
    pictures: Sequence[Path], task: Task, artifact: Artifact, model: Path
) -> list[EncodedSample]:
    """Pictures as samples, each with the host's outputs of the ONNX artifact.

    Args:
        pictures: Picture files of any kind that edgekit decodes.
        task: Meaning of the model's outputs.
        artifact: The ONNX artifact's entry in the manifest.
        model: Its file.

    Raises:
        InputError: A picture cannot be read or is too small to be one, or the outputs are not the task's.
        ToolError: ONNX Runtime is not installed or refuses the model.
    """
    from edgekit.vision.preprocess import Preprocessor

    transform = Preprocessor(task.manifest.preprocess)
    session = _open_session(model)
    samples = []
    for index, path in enumerate(pictures):
        pixels = _read(path)
        shown = Shown(str(path), pixels.shape[0], pixels.shape[1])
        tensor = transform(pixels, str(path))
        outputs = _infer(session, task, artifact, tensor, shown)
        png = _encode_png(pixels, path)
        places = _probe_places(tensor.size, PROBES)
        file = f"sample_{index}.png"
        entry = BundledSample(
            file=file,
            sha256=hashlib.sha256(png).hexdigest(),
            title=path.stem,
            probe_indices=places,
            probe_values=tuple(float(tensor.reshape(-1)[place]) for place in places),
            expected_outputs=tuple(_expected(task, values) for values in outputs.values()),
        )
        pictures_of_it = {file: png}
        if _varies(task.manifest.preprocess):
            resized = _encode_png(transform.resize_and_crop(pixels, str(path)), path)
            name = f"sample_{index}.input.png"
            pictures_of_it[name] = resized
            resized_file = BundledFile(file=name, sha256=hashlib.sha256(resized).hexdigest())
            entry = msgspec.structs.replace(entry, resized=resized_file)
        samples.append(
            EncodedSample(
                entry=_with_answer(entry, task, outputs, shown),
                files=pictures_of_it,
                outputs=tuple(_described(task, values) for values in outputs.values()),
            )
        )
    return samples


def _varies(preprocess: Preprocess) -> bool:
    """Return True where OpenCV resizes by a level more or less from CPU to CPU, so that the app's differs."""
    return any(
        isinstance(step, Resize)
        and (step.interpolation, step.backend) == (Interpolation.BICUBIC, ResizeBackend.OPENCV)
        for step in preprocess.geometry
    )


def _described(task: Task, values: NDArray[Any]) -> BundledOutput:
    """Return an output's shape for one picture; a model that carries NMS gives as many rows as it finds."""
    shape: tuple[int | None, ...] = values.shape
    if not task.divides and values.ndim > 1:
        shape = (None, *shape[1:])
    return BundledOutput(shape=shape, dtype=str(values.dtype))


def _expected(task: Task, values: NDArray[Any]) -> ExpectedOutput:
    """Return the values that the app compares: all of a classifier's, probes of a larger output."""
    import numpy as np

    flat = values.reshape(-1)
    span = float(np.ptp(flat)) if flat.size else 0.0
    if isinstance(task, Classification):
        return ExpectedOutput(indices=(), values=tuple(float(value) for value in flat), span=span)
    if not task.divides:
        return ExpectedOutput(indices=(), values=(), span=span)
    places = _probe_places(flat.size, OUTPUT_PROBES)
    return ExpectedOutput(indices=places, values=tuple(float(flat[place]) for place in places), span=span)


def _with_answer(entry: BundledSample, task: Task, outputs: Outputs, shown: Shown) -> BundledSample:
    """Add the answer by which the app judges whether the samples' answers agree."""
    if isinstance(task, Detection):
        (boxes,) = task.boxes(outputs, [shown], max(0.0, task.rule.answer_threshold - MARGIN))
        found = zip(boxes.classes.tolist(), boxes.scores.tolist(), boxes.corners.tolist(), strict=True)
        return msgspec.structs.replace(
            entry,
            expected_boxes=tuple(
                ExpectedBox(class_id=class_id, score=score, corners=tuple(corners))
                for class_id, score, corners in found
            ),
        )
    if isinstance(task, Segmentation):
        task.label_maps(outputs, [shown])  # refuses what is no label map
        (values,) = outputs.values()
        places, classes = _clear_classes(values[0])
        return msgspec.structs.replace(entry, expected_places=places, expected_classes=classes)
    return entry


def _clear_classes(values: NDArray[Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return places of a network's own label map whose class is beyond doubt, and these classes."""
    import numpy as np

    if np.issubdtype(values.dtype, np.integer):
        classes = values.reshape(-1)
        clear = np.ones(classes.size, bool)
    else:
        planes = values.reshape(len(values), -1)
        classes = planes.argmax(axis=0)
        ranked = np.sort(planes, axis=0)
        second = ranked[-2] if len(ranked) > 1 else -np.inf
        clear = ranked[-1] - second > 2 * MARGIN * np.ptp(planes)
    places = tuple(place for place in _probe_places(classes.size, OUTPUT_PROBES) if clear[place])
    return places, tuple(int(classes[place]) for place in places)


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


def _probe_places(size: int, count: int) -> tuple[int, ...]:
    """Places spread evenly over channels, rows and columns: multiples of the golden ratio, modulo 1."""
    return tuple(sorted({int(index * GOLDEN_RATIO % 1 * size) for index in range(count)}))


def _open_session(model: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ToolError(
            f"computing the samples' expected outputs: {error}", hint="pip install 'edgekit[onnxruntime]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class of their own
        raise ToolError(
            f"computing the samples' expected outputs: ONNX Runtime does not load {model}: {error}",
            hint="edgekit verify NAME",
        ) from error


def _infer(
    session: Any, task: Task, artifact: Artifact, tensor: NDArray[np.float32], shown: Shown
) -> dict[str, NDArray[Any]]:
    """Return the outputs for one picture by name."""
    import numpy as np

    further = [spec.name for spec in artifact.inputs if len(spec.shape) != 4]
    computed = task.further_inputs([shown]) if further else {}
    feed = {
        spec.name: computed.get(spec.name) if spec.name in further else tensor[np.newaxis]
        for spec in artifact.inputs
    }
    names = [spec.name for spec in artifact.outputs]
    try:
        outputs = dict(zip(names, session.run(names, feed), strict=True))
    except Exception as error:  # its exceptions share no base class of their own
        raise ToolError(
            f"computing the samples' expected outputs: ONNX Runtime does not run the model: {error}",
            hint="edgekit verify NAME",
        ) from error
    for name, values in outputs.items():
        if not np.isfinite(values).all():
            raise InputError(
                f"computing the samples' expected outputs: the ONNX artifact gives values of {name} that are "
                "not finite",
                hint="edgekit verify NAME",
            )
    return outputs
