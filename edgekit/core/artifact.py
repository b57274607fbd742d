"""Artifacts of a model, and the manifest that lists them."""

from __future__ import annotations

import enum
import re
from typing import Any

import msgspec

from edgekit.core.parity import Parity
from edgekit.core.preprocess import Preprocess
from edgekit.core.spec import CLASSIFICATION, Precision

MANIFEST_SCHEMA_VERSION = 2
MANIFEST_NAME = "manifest.json"
LABELS_NAME = "labels.txt"


NAME_CHARACTERS = "letters, digits, dot, dash and underscore"
_MAX_NAME_BYTES = 100


def is_model_name(name: str) -> bool:
    """Return True for a name that can be a directory's, here, in the app and on a device, and a word."""
    plain = all(each.isalnum() or each in "._-" for each in name)
    return plain and name[:1] not in ("", ".", "-") and len(name.encode()) <= _MAX_NAME_BYTES


def is_random(weights: str | None) -> bool:
    """Return True for a manifest's `source` that says that the weights are random."""
    return weights is not None and re.fullmatch(r"random \(seed \d+\)", weights) is not None


class ArtifactKind(enum.Enum):
    """Every artifact that a model can have; the value is its key in the manifest and on the command line."""

    PADDLE = "paddle"
    ONNX = "onnx"
    NB_ARM = "nb-arm"
    NB_ARM_FP16 = "nb-arm-fp16"
    NB_OPENCL = "nb-opencl"
    NB_X86 = "nb-x86"
    PADDLE_INT8 = "paddle-int8"
    ONNX_INT8 = "onnx-int8"
    NB_ARM_INT8 = "nb-arm-int8"
    MNN = "mnn"
    MNN_FP16 = "mnn-fp16"
    MNN_INT8 = "mnn-int8"
    NCNN = "ncnn"
    NCNN_FP16 = "ncnn-fp16"

    @property
    def precision(self) -> Precision:
        if self.value.endswith("int8"):
            return Precision.INT8
        return Precision.FP16 if self.value.endswith("fp16") else Precision.FP32

    @property
    def format(self) -> str:
        """Format of the artifact: `paddle`, `onnx`, `nb`, `mnn` or `ncnn`."""
        return self.value.partition("-")[0]

    @property
    def file_names(self) -> tuple[str, ...]:
        """Names of the files in the artifact directory; engines open the first."""
        return _FILE_NAMES[self]


_FILE_NAMES: dict[ArtifactKind, tuple[str, ...]] = {
    ArtifactKind.PADDLE: ("inference.pdmodel", "inference.pdiparams", "inference.pdiparams.info"),
    ArtifactKind.ONNX: ("inference.onnx",),
    ArtifactKind.NB_ARM: ("inference.arm.nb",),
    ArtifactKind.NB_ARM_FP16: ("inference.arm_fp16.nb",),
    ArtifactKind.NB_OPENCL: ("inference.opencl.nb",),
    ArtifactKind.NB_X86: ("inference.x86.nb",),
    ArtifactKind.PADDLE_INT8: ("inference.int8.pdmodel", "inference.int8.pdiparams"),
    ArtifactKind.ONNX_INT8: ("inference.int8.onnx",),
    ArtifactKind.NB_ARM_INT8: ("inference.int8.arm.nb",),
    ArtifactKind.MNN: ("inference.mnn",),
    ArtifactKind.MNN_FP16: ("inference.fp16.mnn",),
    ArtifactKind.MNN_INT8: ("inference.int8.mnn",),
    ArtifactKind.NCNN: ("inference.ncnn.param", "inference.ncnn.bin"),
    ArtifactKind.NCNN_FP16: ("inference.fp16.ncnn.param", "inference.fp16.ncnn.bin"),
}


class TensorSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An input or output tensor; a dimension of None is dynamic.

    Attributes:
        is_sigmoid: True for an output that a sigmoid computes, however little of 0 to 1 its numbers fill.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    is_sigmoid: bool = False


Signature = tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]
"""Inputs and outputs."""


class ArtifactFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of an artifact, relative to the artifact directory."""

    path: str
    sha256: str
    size_bytes: int


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """One artifact and the tool that made it.

    Attributes:
        kind: Place of the artifact among the model's artifacts.
        files: Files of the artifact; engines open the first.
        tool: Converter that made the artifact, e.g. `paddle_lite_opt`.
        tool_version: Version of the converter; for a `.nb` the one recorded in its header.
        parent_sha256: `sha256` of the artifact that this one was made from; None for the first.
        inputs: Input tensors of the artifact.
        outputs: Output tensors of the artifact.
        options: Options given to the converter, e.g. `{"opset_version": "14"}`.
        held_back: Inputs by which an int8 artifact is judged; None where none were kept.
    """

    kind: ArtifactKind
    files: tuple[ArtifactFile, ...]
    tool: str
    tool_version: str
    parent_sha256: str | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    options: dict[str, str] = {}
    held_back: ArtifactFile | None = None

    @property
    def sha256(self) -> str:
        """Hash that identifies the artifact: of its only file, or of the hashes of its several files."""
        if len(self.files) == 1:
            return self.files[0].sha256
        import hashlib

        return hashlib.sha256("\n".join(file.sha256 for file in self.files).encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def fixed_batch(self) -> int | None:
        """The only batch that the artifact takes; None where it takes any."""
        fixed = (spec.shape[0] for spec in self.inputs if spec.shape and spec.shape[0] is not None)
        return next(fixed, None)

    @property
    def main_file(self) -> str:
        return self.files[0].path


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Files of an imported model before any conversion; all artifacts can be compared with them.

    Attributes:
        format: Format of the model: `onnx`, `paddle` (a legacy program) or `pir`.
        files: The program and, for Paddle, its parameters, in the artifact directory. A file that is also
            an artifact's is stored once.
    """

    format: str
    files: tuple[ArtifactFile, ...]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`manifest.json` of an artifact directory; later steps read it and never guess from file names.

    Attributes:
        name: Name of the artifact directory's model (`--name`, else the model's).
        model: Name of the model in the zoo; None for an imported model.
        source: Origin of the weights: `pretrained`, `random (seed 0)`, a file name, or an import.
        source_sha256: Hash of the weight file or the imported model; None for random weights.
        task: Meaning of the outputs: name of a file of `edgekit.tasks`, or of another package's task.
        num_classes: Number of classes of the answers; 0 where there are none.
        output_activation: `softmax` where the scores are the classes' probabilities already, `sigmoid` where
            each score is a probability of its own, `argmax` where an export made label maps of scores, `none`
            for logits and for all else; an activation is never applied twice.
        postprocess: Data by which outputs become answers; the task's `Rule`.
        labels: File name of the label list in the directory, one label a line in order of class.
        parity: Results of the last `verify`, by rung. A failed rung stays here with its reason, even where
            its artifact was deleted.
        origin: Files of an imported model; None for an exported one.
        command: Command line that makes the artifacts anew; None where an older edgekit made them.
        recipe: Inputs of the export, by subject (card, weights, labels, edgekit); a further
            export with the same recipe does nothing.
    """

    schema_version: int = MANIFEST_SCHEMA_VERSION
    edgekit_version: str
    name: str
    model: str | None
    source: str
    source_sha256: str | None
    task: str = CLASSIFICATION
    num_classes: int
    output_activation: str
    preprocess: Preprocess
    postprocess: dict[str, Any] = {}
    labels: str | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    artifacts: dict[str, Artifact]
    parity: dict[str, Parity] = {}
    notes: tuple[str, ...] = ()
    recipe: dict[str, str] = {}
    origin: Origin | None = None
    command: str | None = None

    @property
    def doubt(self) -> str | None:
        """A sentence about answers and accuracy that mean nothing; None for weights that were trained."""
        if not is_random(self.source):
            return None
        return f"{self.name} has random weights: its answers and its accuracy mean nothing"

    def artifact(self, kind: ArtifactKind) -> Artifact | None:
        return self.artifacts.get(kind.value)

    @property
    def files(self) -> tuple[ArtifactFile, ...]:
        """Files of all artifacts, of the inputs kept to judge them, and of the imported model; a file that
        two of them share is listed once.
        """
        owners: list[Artifact | Origin] = [*self.artifacts.values()]
        if self.origin is not None:
            owners.append(self.origin)
        files = [file for owner in owners for file in owner.files]
        files += [one.held_back for one in self.artifacts.values() if one.held_back is not None]
        return tuple(dict.fromkeys(files))

    def failure(self, kind: ArtifactKind, serial: str | None = None) -> str | None:
        """Return why an artifact failed its check on this machine or on a device; None where it passed.

        An artifact without a check of its own fails with the artifact that it was made from.
        """
        rungs = (kind.value, f"{kind.value}@{serial}")
        found = [parity for rung in rungs if (parity := self.parity.get(rung)) is not None]
        for parity in found:
            if not parity.passed:
                return parity.reason or "its outputs differ"
        artifact = self.artifact(kind)
        if found or artifact is None:
            return None
        for parent in self.artifacts.values():
            if parent.sha256 == artifact.parent_sha256:
                reason = self.failure(parent.kind, serial)
                return None if reason is None else f"{parent.kind.value}, which it was made from: {reason}"
        return None
