"""Jobs and answers of the export worker."""

from __future__ import annotations

import msgspec

from edgekit.core.artifact import TensorSpec
from edgekit.core.spec import ModelSpec


class BuildJob(msgspec.Struct, frozen=True, kw_only=True):
    """Build one model's Paddle inference model, and ONNX from it.

    Attributes:
        name: What messages call the model.
        spec: The card.
        input_shape: Channels, height, width to build for; random weights are the card's shape's.
        weights: `pretrained`, `random`, or the path of a `.pdparams` file.
        num_classes: Width of the last layer; None takes the weights' own, else the card's.
        activation: What follows the network: `softmax`, `sigmoid`, `argmax` or `none`.
        directory: An empty directory for the files; temporary files go there as well.
        with_onnx: Convert to ONNX too.
    """

    name: str
    spec: ModelSpec
    input_shape: tuple[int, int, int]
    weights: str
    num_classes: int | None
    activation: str
    directory: str
    with_onnx: bool


class PaddleBuilt(msgspec.Struct, frozen=True, kw_only=True, tag="paddle"):
    """The Paddle inference model is written; opt may start on it.

    Attributes:
        source: Where the weights came from, as the manifest records it.
        source_sha256: Hash of the weight file; None for random weights.
    """

    tool_version: str
    source: str
    source_sha256: str | None
    num_classes: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class OnnxBuilt(msgspec.Struct, frozen=True, kw_only=True, tag="onnx"):
    """The ONNX model is written and checked."""

    tool_version: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


Built = PaddleBuilt | OnnxBuilt
