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
        picture_size: Height and width that the preprocessing gives.
        command: The command line that imports it, for hints.
        copy: Where an ONNX file goes, its weights inside; None for the other formats.
    """

    origin: str
    format: str
    model: str
    params: str | None
    shapes: dict[str, tuple[int, ...]]
    picture_size: tuple[int, int] | None
    command: str
    copy: str | None


class OnnxJob(msgspec.Struct, frozen=True, kw_only=True, tag="onnx"):
    """Convert ONNX to a legacy Paddle program.

    Attributes:
        shapes: Sizes of its inputs by name; a free batch is 1.
        free: The inputs whose first size is to stay free; without any the program is for these sizes.
    """

    origin: str
    model: str
    shapes: dict[str, tuple[int, ...]]
    scratch: str
    free: tuple[str, ...] = ()


class ProgramJob(msgspec.Struct, frozen=True, kw_only=True, tag="program"):
    """Make a legacy program an artifact.

    Attributes:
        inputs: Its inputs in order, with all sizes but a free batch.
        converted: It was made from ONNX for one picture; its batch may become free.
        onnx: Where to write ONNX made from it; None for not at all.
    """

    origin: str
    model: str
    params: str
    inputs: tuple[TensorSpec, ...]
    directory: str
    converted: bool
    onnx: str | None


class ComputeJob(msgspec.Struct, frozen=True, kw_only=True, tag="compute"):
    """Compute a model with the interface of its engine, every input and output of it.

    Attributes:
        format: `onnx`, `paddle` or `pir`.
        inputs: A file of arrays `FEED_INPUT` (.npz).
        feeds: How many feeds that are.
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
        operators: Those of the program, with their places, by type.
        lite_faults: Those that opt takes and Paddle Lite gets wrong, by type, each with what is wrong.
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
