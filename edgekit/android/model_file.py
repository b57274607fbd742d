"""`model.json`, from which the app knows a bundled model, and `index.json`, the list of models.

The app's reader is `org.edgekit.demo.model.ModelSpec`; both check the same schema version.
"""

from __future__ import annotations

import msgspec

from edgekit.core.spec import Precision, Preprocess

MODEL_SCHEMA_VERSION = 1
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
    """The network's input."""

    shape: tuple[int, int, int, int]
    layout: str = "NCHW"
    dtype: str = "float32"


class BundledOutput(msgspec.Struct, frozen=True, kw_only=True):
    """The network's output, one value a class."""

    shape: tuple[int, int]


class BundledArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """One file that an engine can load.

    Attributes:
        kind: The manifest's name of the artifact.
        max_relative_error: Allowed in the self-test, over the range of the expected scores; None leaves it
            to Top-1 (int8).
    """

    kind: str
    format: str
    file: str
    sha256: str
    size_bytes: int
    precision: Precision
    converter: str
    converter_version: str
    input_name: str
    output_name: str
    max_relative_error: float | None


class BundledSample(msgspec.Struct, frozen=True, kw_only=True):
    """A picture and its outputs on the host.

    Attributes:
        expected_scores: The network's output, one value a class.
        probe_indices: Places in the flat input tensor.
        probe_values: Values of the host's input tensor at these places.
    """

    file: str
    sha256: str
    title: str
    expected_scores: tuple[float, ...]
    probe_indices: tuple[int, ...]
    probe_values: tuple[float, ...]


class ModelFile(msgspec.Struct, frozen=True, kw_only=True):
    """The document."""

    schema_version: int = MODEL_SCHEMA_VERSION
    edgekit_version: str
    name: str
    source: str
    num_classes: int
    output_activation: str
    labels: BundledFile
    input: BundledInput
    output: BundledOutput
    preprocess: Preprocess
    artifacts: tuple[BundledArtifact, ...]
    samples: tuple[BundledSample, ...]
