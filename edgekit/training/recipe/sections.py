"""Sections of PaddleClas's training configurations (ppcls/configs/**.yaml, release 2.6) as records.

A key that no record has is refused by its name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from edgekit.zoo.registry import list_models
from edgekit.zoo.weights import PRETRAINED, RANDOM

# Strides of PULC's networks for lines of text, which halve rows alone after the first stage.
LINE_STRIDES = [2, [2, 1], [2, 1], [2, 1], [2, 1]]


class Section(msgspec.Struct, forbid_unknown_fields=True):
    """A section whose other keys are refused."""


class Global(Section):
    epochs: int
    checkpoints: str | None = None
    pretrained_model: str | None = None
    output_dir: str = "./output"
    device: Literal["cpu", "gpu"] = "cpu"
    save_interval: int = 1
    eval_during_train: bool = True
    eval_interval: int = 1
    start_eval_epoch: int = 1
    print_batch_step: int = 10
    use_visualdl: bool = False
    image_shape: tuple[int, int, int] | None = None
    save_inference_dir: str | None = None
    to_static: bool = False
    use_dali: bool = False
    use_multilabel: bool = False
    seed: int = 0


class Network(Section):
    name: str
    class_num: int = 1000
    pretrained: bool | str = False
    use_ssld: bool = False
    use_sync_bn: bool = False
    stride_list: Any = None
    dropout_prob: float | None = None
    lr_mult_list: tuple[float, ...] = ()
    infer_add_softmax: bool = True


class TeacherAndStudent(Section):
    name: str
    freeze_params_list: tuple[bool, bool]
    models: list[dict[str, Network]]
    class_num: int = 1000
    pretrained_list: None = None
    infer_model_name: Literal["Student"] = "Student"
    use_sync_bn: bool = False
    use_ssld: bool = False


class Rate(Section):
    name: Literal["Cosine"]
    learning_rate: float
    warmup_epoch: float = 0
    warmup_start_lr: float = 0.0
    eta_min: float = 0.0


class Regularizer(Section):
    name: Literal["L2"]
    coeff: float


class Momentum(Section, tag="Momentum", tag_field="name"):
    lr: Rate
    momentum: float = 0.9
    regularizer: Regularizer | None = None


class Adam(Section, tag="AdamW", tag_field="name"):
    lr: Rate
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    no_weight_decay_name: str = ""
    one_dim_param_no_weight_decay: bool = False


class Ema(Section):
    decay: float = 0.9999


class CrossEntropy(Section):
    weight: float = 1.0
    epsilon: float = 0.0


class SeveralLabels(Section):
    """MultiLabelLoss, and DistillationMultiLabelLoss of the student."""

    weight: float = 1.0
    epsilon: float | None = None
    weight_ratio: bool = False
    size_sum: bool = False
    model_names: tuple[Literal["Student"]] | None = None


class Distilled(Section):
    model_name_pairs: tuple[tuple[Literal["Student"], Literal["Teacher"]]]
    weight: float = 1.0


class Dataset(Section):
    name: Literal["ImageNetDataset", "MultiLabelDataset"]
    image_root: str
    cls_label_path: str
    transform_ops: list[Any]
    label_ratio: bool = False
    delimiter: str | None = None
    batch_transform_ops: list[Any] | None = None


class Sampler(Section):
    name: Literal["DistributedBatchSampler"]
    batch_size: int
    drop_last: bool = False
    shuffle: bool = True


class Loader(Section):
    num_workers: int = 0
    use_shared_memory: bool = True


class DataPart(Section):
    dataset: Dataset
    sampler: Sampler
    loader: Loader = msgspec.field(default_factory=Loader)


def card_name(network: Network) -> str:
    """Return the name of the zoo's model that has the network, with the weights asked for where it can."""
    if network.stride_list is not None:
        return f"{network.name}_textline_ori"
    known = {spec.name for spec in list_models()}
    taught = f"{network.name}_ssld"
    wanted = network.use_ssld and network.pretrained is True
    # Some networks have a card for their SSLD weights alone.
    return taught if taught in known and (wanted or network.name not in known) else network.name


def weight_file(name: str) -> Path:
    """Return the path of weights, which PaddleClas names without their suffix."""
    return Path(name if name.endswith(".pdparams") else f"{name}.pdparams")


def starting_weights(network: Network, missing: str = RANDOM) -> str:
    if isinstance(network.pretrained, str):
        return str(weight_file(network.pretrained))
    return PRETRAINED if network.pretrained else missing
