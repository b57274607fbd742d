"""Settings and reports of a training run, which travel between its processes as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgekit._files import read_bytes
from edgekit.core.preprocess import Preprocess
from edgekit.errors import InputError
from edgekit.training.augment import DEFAULT, Step
from edgekit.training.mixing import Mixing
from edgekit.training.objective import Distillation
from edgekit.training.optimizer import AdamW

SCHEMA_VERSION = 2
SETTINGS_FILE = "settings.json"
# PaddleClas, ppcls/configs/ImageNet/PPLCNet/PPLCNet_x1_0.yaml: learning rate 0.8 at a batch of 4 x 512.
REFERENCE_RATE = 0.8
REFERENCE_BATCH = 2048

Share = Annotated[float, Meta(ge=0, lt=1)]
Positive = Annotated[int, Meta(gt=0)]


class TrainSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one training run; the defaults are PaddleClas's recipe for PP-LCNet.

    Attributes:
        model: A model of the zoo, or a card's path.
        data: Directory that the lists' paths are relative to.
        val_data: Directory of the validation list's paths; None for that of all.
        train_list: Pictures to learn from, ImageNet's form.
        val_list: Pictures to judge by.
        num_classes: Width of the last layer.
        output: Where checkpoints, logs and weights go.
        weights: `random`, `pretrained` or a `.pdparams` to start from.
        epochs: Passes over the training list.
        batch_size: Pictures a step, of each process.
        learning_rate: At its highest; None scales PaddleClas's 0.8 at 2048 pictures a step.
        warmup_epochs: Epochs in which the rate rises linearly.
        first_rate: Learning rate from which it rises.
        last_rate: Learning rate at the end.
        stage_rates: Factors of the learning rate by stage of the network; empty for equal ones.
        adamw: AdamW instead of momentum.
        momentum: Share of the last step in the next one.
        weight_decay: L2 coefficient.
        label_smoothing: Probability spread over all classes.
        ema_decay: Decay of the moving average of the weights; 0 keeps none.
        input_size: Side of the pictures fed; None takes the card's.
        preprocess: Transformation of the pictures judged by, in place of the card's.
        augment: Random changes of the pictures learned from, in order.
        mixing: Mixing of the pictures of a batch.
        freeze: Whether all layers but the last keep their weights.
        class_weights: Weight of each class in the loss; empty for equal ones.
        multilabel: Whether the lists have 1, 0 or -1 for each class, and the loss is that of several labels.
        positive_shares: Share of the pictures that have each label, by which the loss of several labels
            weighs; empty for equal weights.
        sum_labels: Whether a picture's loss is the sum over its labels, not their mean.
        patience: Epochs without a better accuracy after which the run ends; None runs all epochs.
        label_names: Names of the classes for the table of confusions.
        teacher: A model of the zoo, or a card's path, to learn from; None learns from labels.
        teacher_weights: `pretrained` or a `.pdparams` of the teacher.
        distillation: Distance of the student's answers from the teacher's.
        label_share: Weight of the labels' loss beside the teacher's, which has the weight 1.
        loader_threads: Threads that decode and augment, of each process.
        device: Where to compute.
        seed: Seed of initialisation, order and augmentation.
        save_interval_s: Checkpoints within an epoch are this far apart.
    """

    schema_version: int = SCHEMA_VERSION
    model: str
    data: str
    val_data: str | None = None
    train_list: str
    val_list: str
    num_classes: Positive
    output: str
    weights: str = "random"
    epochs: Positive = 360
    batch_size: Positive = 64
    learning_rate: float | None = None
    warmup_epochs: Annotated[float, Meta(ge=0)] = 5
    first_rate: Annotated[float, Meta(ge=0)] = 0.0
    last_rate: Annotated[float, Meta(ge=0)] = 0.0
    stage_rates: tuple[Annotated[float, Meta(ge=0)], ...] = ()
    momentum: Share = 0.9
    adamw: AdamW | None = None
    weight_decay: float = 3e-5
    label_smoothing: Share = 0.1
    ema_decay: Share = 0.9999
    input_size: Positive | None = None
    preprocess: Preprocess | None = None
    augment: tuple[Step, ...] = DEFAULT
    mixing: Mixing = Mixing()
    freeze: bool = False
    class_weights: tuple[float, ...] = ()
    multilabel: bool = False
    positive_shares: tuple[float, ...] = ()
    sum_labels: bool = True
    patience: Positive | None = None
    label_names: tuple[str, ...] = ()
    teacher: str | None = None
    teacher_weights: str = "pretrained"
    distillation: Distillation = "dml"
    label_share: Annotated[float, Meta(ge=0)] = 0.0
    loader_threads: Positive = 1
    device: Literal["cpu", "gpu"] = "cpu"
    seed: int = 0
    save_interval_s: Annotated[float, Meta(gt=0)] = 600.0


class EpochReport(msgspec.Struct, frozen=True, kw_only=True):
    """One epoch, a line of `metrics.jsonl`.

    Attributes:
        wait_share: Share of the epoch's steps in which training waited for pictures.
        top1: Validation accuracy, 0 to 1, of the averaged weights where an average is kept; None for several
            labels a picture.
        top5: The same share of the best five classes.
        mean_accuracy: For several labels a picture, the mean over the labels of positive and negative recall
            (PaddleClas's `ma`).
        val_loss: Mean cross-entropy of the validation pictures, nats, of these weights.
        best: Whether no epoch before had a higher accuracy, or an equal one with a lower loss.
    """

    epoch: int
    loss: float
    learning_rate: float
    top1: float | None = None
    top5: float | None = None
    mean_accuracy: float | None = None
    val_loss: float
    pictures_per_s: float
    wait_share: float
    best: bool


class TrainReport(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a run, `report.json`.

    Attributes:
        input_size: Height and width of the pictures fed.
        best_top1: Top-1 of the best epoch, 0 to 1; None for several labels a picture.
        best_mean_accuracy: For those, the mean accuracy of the best epoch.
        judged_by: `labels`, or `teacher` where the validation pictures have no labels.
        stopped_early: Whether the run ended before its last epoch, as no epoch was better.
        confusion: Validation pictures of the best epoch by true class (row) and answer (column); empty for
            more than 100 classes.
        replica_spread: Largest difference of any parameter between processes after the last epoch.
        processes: Number of processes of the run's last start.
    """

    schema_version: int = SCHEMA_VERSION
    model: str
    num_classes: int
    input_size: tuple[int, int]
    best_epoch: int
    best_top1: float | None
    best_mean_accuracy: float | None = None
    best_weights: str
    judged_by: Literal["labels", "teacher"]
    stopped_early: bool
    label_names: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    processes: int
    replica_spread: float
    epochs: tuple[EpochReport, ...]


def read_settings(path: Path) -> TrainSettings:
    """Raises InputError where the file is not there or is no settings file of this version."""
    try:
        settings = msgspec.json.decode(read_bytes(path, "the training settings"), type=TrainSettings)
    except (msgspec.DecodeError, ValueError) as error:
        raise InputError(f"reading the training settings {path}: {error}") from error
    if settings.schema_version != SCHEMA_VERSION:
        raise InputError(f"reading the training settings {path}: version {settings.schema_version}")
    return settings


def peak_rate(settings: TrainSettings, processes: int) -> float:
    """The highest learning rate: as asked, or in proportion to the pictures a step."""
    if settings.learning_rate is not None:
        return settings.learning_rate
    return REFERENCE_RATE * settings.batch_size * processes / REFERENCE_BATCH
