"""Jobs and answers of the import worker."""

from __future__ import annotations

import msgspec

from edgekit.core.artifact import TensorSpec

ONE_AT_A_TIME = "takes one picture at a time: its batch cannot be made free"


class PirJob(msgspec.Struct, frozen=True, kw_only=True, tag="pir"):
    """Convert a PIR program to ONNX with a free batch."""

    origin: str
    model: str
    params: str
    onnx: str


class ExamineJob(msgspec.Struct, frozen=True, kw_only=True, tag="examine"):
    """Read, check and compute a model as it came.

    Attributes:
        format: `onnx`, `paddle` or `pir`.
        shapes: Sizes asked for, by input; under the empty name for the only one.
        picture: Channels, height and width of the preprocessed pictures.
        command: Command line of the import, for hints.
        copy: Path for a copy of an ONNX file with its weights inside; None for the other formats.
    """

    origin: str
    format: str
    model: str
    params: str | None
    shapes: dict[str, tuple[int, ...]]
    picture: tuple[int, int | None, int | None]
    command: str
    copy: str | None


class OnnxJob(msgspec.Struct, frozen=True, kw_only=True, tag="onnx"):
    """Convert ONNX to a legacy Paddle program.

    Attributes:
        shapes: Sizes of the inputs by name; a free batch is 1.
        free: Names of the inputs whose first size stays free; the program takes only `shapes` without any.
    """

    origin: str
    model: str
    shapes: dict[str, tuple[int, ...]]
    scratch: str
    free: tuple[str, ...] = ()


class ProgramJob(msgspec.Struct, frozen=True, kw_only=True, tag="program"):
    """Make a legacy program an artifact.

    Attributes:
        inputs: Inputs of the program in order, with all sizes but a free batch.
        converted: True for a program made from ONNX for one picture, whose batch may become free.
        onnx: Path for ONNX made from the program; None makes no ONNX.
    """

    origin: str
    model: str
    params: str
    inputs: tuple[TensorSpec, ...]
    directory: str
    converted: bool
    onnx: str | None


class ComputeJob(msgspec.Struct, frozen=True, kw_only=True, tag="compute"):
    """Compute all outputs of a model with the Python interface of its engine.

    Attributes:
        format: `onnx`, `paddle` or `pir`.
        inputs: A file of arrays `FEED_INPUT` (.npz).
        feeds: Number of feeds in the file.
        outputs: The file of arrays `FEED_OUTPUT` to write.
    """

    origin: str
    format: str
    model: str
    params: str | None
    inputs: str
    feeds: int
    outputs: str


Job = PirJob | ExamineJob | OnnxJob | ProgramJob | ComputeJob


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag="answer"):
    """The result of a step; fields that do not belong to it are empty.

    Attributes:
        notes: Mends that were made.
        program: The program that was written; None where its batch could not be made free.
        num_classes: Number of classes of a classifier of pictures; 0 for any other model.
        activation: The manifest's `output_activation`.
        external: SHA-256 of the files with weights beside an ONNX, by name.
        tool_version: Version of paddle2onnx, where it wrote ONNX.
        operators: Places of the program's operators, by type.
        lite_faults: Faults of operators that opt takes and Paddle Lite computes wrongly, by type.
    """

    notes: tuple[str, ...] = ()
    program: str | None = None
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    onnx_inputs: tuple[TensorSpec, ...] = ()
    onnx_outputs: tuple[TensorSpec, ...] = ()
    num_classes: int = 0
    activation: str = "none"
    external: dict[str, str] = {}
    tool_version: str = ""
    operators: dict[str, str] = {}
    lite_faults: dict[str, str] = {}
