"""`model.json`, from which the app knows a bundled model, and `index.json`, the list of models.

The app's reader is `org.edgekit.demo.model.ModelSpec`; both check the same schema version.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edgekit.core.preprocess import Preprocess
from edgekit.core.spec import Precision

MODEL_SCHEMA_VERSION = 2
MODEL_FILE_NAME = "model.json"
INDEX_NAME = "index.json"


class ModelIndex(msgspec.Struct, frozen=True, kw_only=True):
    """`index.json` beside the models' directories: their names, the app's first choice first."""

    models: tuple[str, ...]


class BundledFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the model's directory."""

    file: str
    sha256: str


class BundledInput(msgspec.Struct, frozen=True, kw_only=True):
    """The network's input of a picture."""

    shape: tuple[int, int, int, int]
    layout: str = "NCHW"
    dtype: str = "float32"


class BundledOutput(msgspec.Struct, frozen=True, kw_only=True):
    """One output of the network; a dimension of None differs from picture to picture."""

    shape: tuple[int | None, ...]
    dtype: str


class BundledArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """One file that an engine can load.

    Attributes:
        kind: The manifest's name of the artifact.
        input_names: Names of the inputs in the network's order: the picture's, and those of sizes that a
            detector may take (`im_shape`, `scale_factor`).
        output_names: Names of the outputs in the order of the model's `outputs`.
        max_relative_error: Error that the self-test allows, over the range of an expected output; None
            leaves it to the agreement of the answers (int8).
        min_agreement: Share of the samples' answers that must agree in the self-test, 0 to 1.
    """

    kind: str
    format: str
    file: str
    sha256: str
    size_bytes: int
    precision: Precision
    converter: str
    converter_version: str
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    max_relative_error: float | None
    min_agreement: float


class ExpectedOutput(msgspec.Struct, frozen=True, kw_only=True):
    """Values of one output on the host.

    Attributes:
        indices: Places in the flat output; empty where `values` holds all of it.
        values: Values at these places; empty where the output's size differs from picture to picture.
        span: Largest less smallest value of the whole output.
    """

    indices: tuple[int, ...]
    values: tuple[float, ...]
    span: float


class ExpectedBox(msgspec.Struct, frozen=True, kw_only=True):
    """A box of a detector's answer, corners in pixels of the sample."""

    class_id: int
    score: float
    corners: tuple[float, float, float, float]


class BundledSample(msgspec.Struct, frozen=True, kw_only=True):
    """A picture, and its outputs and answer on the host.

    Attributes:
        resized: The picture as the host resized and cropped it, for the self-test of a model whose resize
            gives slightly other pixels from CPU to CPU; None for all others.
        probe_indices: Places in the flat input tensor.
        probe_values: Values of the host's input tensor at these places.
        expected_outputs: Expected values of the outputs, in order; of a classifier all scores.
        expected_boxes: Boxes of a detector's answer, and those that lie closely below its threshold.
        expected_places: Places in the flat label map of a segmenter's answer.
        expected_classes: Classes at these places.
    """

    file: str
    sha256: str
    title: str
    resized: BundledFile | None = None
    probe_indices: tuple[int, ...]
    probe_values: tuple[float, ...]
    expected_outputs: tuple[ExpectedOutput, ...]
    expected_boxes: tuple[ExpectedBox, ...] = ()
    expected_places: tuple[int, ...] = ()
    expected_classes: tuple[int, ...] = ()


class ModelFile(msgspec.Struct, frozen=True, kw_only=True):
    """The document.

    Attributes:
        task: Meaning of the outputs, by the name of a file of `edgekit.tasks`.
        postprocess: Data by which outputs become answers, its defaults written out.
        display_labels: Names of the classes that the app shows instead of the labels; empty for the labels.
    """

    schema_version: int = MODEL_SCHEMA_VERSION
    edgekit_version: str
    name: str
    source: str
    task: str
    postprocess: dict[str, Any]
    num_classes: int
    output_activation: str
    labels: BundledFile
    display_labels: tuple[str, ...] = ()
    input: BundledInput
    outputs: tuple[BundledOutput, ...]
    preprocess: Preprocess
    artifacts: tuple[BundledArtifact, ...]
    samples: tuple[BundledSample, ...]
