"""Jobs and answers of the import worker."""

from __future__ import annotations

import msgspec

from edgekit.core.artifact import TensorSpec


class PirJob(msgspec.Struct, frozen=True, kw_only=True, tag="pir"):
    """Convert a PIR program to ONNX with a free batch."""

    origin: str
    model: str
    params: str
    onnx: str


class OnnxJob(msgspec.Struct, frozen=True, kw_only=True, tag="onnx"):
    """Convert ONNX to a legacy Paddle program.

    Attributes:
        input_shape: Channels, height, width; None takes the model's own.
        picture_size: What a free height and width become where `input_shape` is None; None refuses them.
        copy: Where the model itself goes, weights inside; None where it lies there already.
    """

    origin: str
    model: str
    input_shape: tuple[int, int, int] | None
    picture_size: tuple[int, int] | None
    scratch: str
    copy: str | None


class ProgramJob(msgspec.Struct, frozen=True, kw_only=True, tag="program"):
    """Make a legacy program an artifact.

    Attributes:
        converted: It was made from ONNX for one picture; its batch may become free.
        onnx: Where to write ONNX made from it; None for not at all.
    """

    origin: str
    model: str
    params: str
    input_shape: tuple[int, int, int] | None
    picture_size: tuple[int, int] | None
    directory: str
    converted: bool
    onnx: str | None


class ScoresJob(msgspec.Struct, frozen=True, kw_only=True, tag="scores"):
    """Compute a PIR program, which Paddle Inference as edgekit configures it does not load.

    Attributes:
        inputs: A file of raw float32 of `shape`.
        batch_size: Inputs computed at a time.
        outputs: The file to write, raw float32[N, C].
    """

    origin: str
    model: str
    params: str
    inputs: str
    shape: tuple[int, ...]
    batch_size: int
    outputs: str


Job = PirJob | OnnxJob | ProgramJob | ScoresJob


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag="answer"):
    """The result of a step; fields that do not belong to it are empty.

    Attributes:
        notes: What was mended.
        program: The program that was written.
        activation: What the scores are, as the manifest's `output_activation`.
        operators: Those of the program, with their places, by type.
    """

    notes: tuple[str, ...] = ()
    program: str | None = None
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    onnx_inputs: tuple[TensorSpec, ...] = ()
    onnx_outputs: tuple[TensorSpec, ...] = ()
    num_classes: int = 0
    activation: str = "none"
    tool_version: str = ""
    operators: dict[str, str] = {}
