"""PaddleClas's training configurations: read, changed by `-o`, refused by the name of what is foreign."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.core.preprocess import Interpolation, ResizeBackend
from edgekit.errors import InputError, UsageError
from edgekit.training.augment import (
    AutoAugment,
    CentrePad,
    Flip,
    RandAugment,
    RandomCrop,
    RandomErasing,
    RandomResizedCrop,
    ResizeTo,
)
from edgekit.training.mixing import Mixing
from edgekit.training.optimizer import AdamW
from edgekit.training.plan import Wish
from edgekit.training.recipe.read import read_recipe
from tests.conftest import CliResult, RunCli, require_paddle

yaml = pytest.importorskip("yaml")

DECODE = {"DecodeImage": {"to_rgb": True, "channel_first": False}}
NORMALISE = {
    "NormalizeImage": {
        "scale": "1.0/255.0", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "order": "",
    }
}  # fmt: skip


def part(operators: list[Any], shuffle: bool) -> dict[str, Any]:
    return {
        "dataset": {
            "name": "ImageNetDataset", "image_root": "./pictures/", "cls_label_path": "./pictures/list.txt",
            "transform_ops": [DECODE, *operators, NORMALISE],
        },
        "sampler": {
            "name": "DistributedBatchSampler", "batch_size": 48, "drop_last": False, "shuffle": shuffle,
        },
        "loader": {"num_workers": 4, "use_shared_memory": True},
    }  # fmt: skip


def configuration() -> dict[str, Any]:
    """A configuration of our own with the sections of PaddleClas's."""
    return copy.deepcopy(
        {
            "Global": {
                "checkpoints": None, "pretrained_model": None, "output_dir": "./runs/one", "device": "cpu",
                "save_interval": 1, "eval_during_train": True, "eval_interval": 1, "epochs": 90,
                "print_batch_step": 10, "use_visualdl": False, "image_shape": [3, 224, 224],
                "save_inference_dir": "./inference",
            },
            "Arch": {"name": "PPLCNet_x0_25", "class_num": 5},
            "Loss": {
                "Train": [{"CELoss": {"weight": 1.0, "epsilon": 0.05}}],
                "Eval": [{"CELoss": {"weight": 1.0}}],
            },
            "Optimizer": {
                "name": "Momentum", "momentum": 0.8,
                "lr": {"name": "Cosine", "learning_rate": 0.3, "warmup_epoch": 4},
                "regularizer": {"name": "L2", "coeff": 0.0002},
            },
            "DataLoader": {
                "Train": part([{"RandCropImage": {"size": 224}}, {"RandFlipImage": {"flip_code": 1}}], True),
                "Eval": part([{"ResizeImage": {"resize_short": 250}}, {"CropImage": {"size": 224}}], False),
            },
            "Infer": {"batch_size": 10},
            "Metric": {"Eval": [{"TopkAcc": {"topk": [1, 5]}}]},
        }
    )  # fmt: skip


def several_labels() -> dict[str, Any]:
    """Recipe for several labels a picture."""
    document = configuration()
    document["Global"]["use_multilabel"] = True
    loss = {"weight": 1.0, "weight_ratio": True, "size_sum": True}
    document["Loss"]["Train"] = [{"MultiLabelLoss": loss}]
    for name in ("Train", "Eval"):
        document["DataLoader"][name]["dataset"] |= {"name": "MultiLabelDataset", "label_ratio": True}
    return document


def read(document: dict[str, Any], directory: Path, *changes: str) -> tuple[Wish, tuple[str, ...]]:
    path = directory / "network.yaml"
    path.write_text(yaml.safe_dump(document))
    recipe = read_recipe(path, changes)
    return recipe.wish, recipe.notes


def test_a_configuration_is_a_run(tmp_path: Path) -> None:
    wish, notes = read(configuration(), tmp_path, "Global.epochs=7", "Arch.pretrained=mine/best_model")
    assert notes == ()
    assert (wish.model, wish.num_classes, wish.weights) == ("PPLCNet_x0_25", 5, "mine/best_model.pdparams")
    assert (wish.data, wish.output) == (Path("pictures"), Path("runs/one"))
    assert wish.train_list == wish.val_list == Path("pictures/list.txt")
    assert (wish.epochs, wish.batch_size, wish.learning_rate, wish.warmup_epochs) == (7, 48, 0.3, 4)
    assert (wish.momentum, wish.weight_decay, wish.label_smoothing, wish.ema_decay) == (0.8, 2e-4, 0.05, 0)
    assert wish.augment == (RandomResizedCrop(size=(224, 224)), Flip())
    assert wish.preprocess is not None and wish.preprocess.resize_short == 250


def test_every_random_change_is_understood(tmp_path: Path) -> None:
    document = configuration()
    dataset = document["DataLoader"]["Train"]["dataset"]
    dataset["transform_ops"] = [
        DECODE,
        {"ResizeImage": {"size": [48, 64]}},
        {"Padv2": {"size": [58, 74], "pad_mode": 1, "fill_value": 0}},
        {"RandomCropImage": {"size": [48, 64]}},
        {"RandCropImage": {"size": 224, "interpolation": "bicubic", "backend": "pil"}},
        {"AutoAugment": None},
        {"TimmAutoAugment": {"prob": 0.8, "config_str": "rand-m7-mstd0.5-inc1", "interpolation": "bicubic",
                             "img_size": 224}},
        NORMALISE,
        {"RandomErasing": {"EPSILON": 0.1, "sl": 0.02, "sh": "1.0/3.0", "r1": 0.3, "attempt": 10,
                           "use_log_aspect": True, "mode": "pixel"}},
    ]  # fmt: skip
    dataset["batch_transform_ops"] = [
        {"OpSampler": {"MixupOperator": {"alpha": 0.8, "prob": 0.5},
                       "CutmixOperator": {"alpha": 1.0, "prob": 0.25}}},
    ]  # fmt: skip
    wish, _ = read(document, tmp_path)
    assert wish.augment == (
        ResizeTo(size=(64, 48)),
        CentrePad(size=(74, 58)),
        RandomCrop(size=(64, 48)),
        RandomResizedCrop(size=(224, 224), interpolation=Interpolation.BICUBIC, backend=ResizeBackend.PILLOW),
        AutoAugment(),
        RandAugment(prob=0.8, magnitude=7, deviation=0.5),
        RandomErasing(prob=0.1, area=(0.02, 1 / 3), aspect=0.3, attempts=10),
    )
    assert wish.mixing == Mixing(mixup=0.5, mixup_alpha=0.8, cutmix=0.25, cutmix_alpha=1.0)


def test_a_teacher_and_its_student(tmp_path: Path) -> None:
    document = configuration()
    document["Arch"] = {
        "name": "DistillationModel", "class_num": 5, "pretrained_list": None, "infer_model_name": "Student",
        "freeze_params_list": [True, False],
        "models": [
            {"Teacher": {"name": "PPLCNet_x1_0", "class_num": 5, "pretrained": "teacher/best_model"}},
            {"Student": {"name": "PPLCNet_x0_25", "class_num": 5, "pretrained": False}},
        ],
    }  # fmt: skip
    pairs = {"weight": 1.0, "model_name_pairs": [["Student", "Teacher"]]}
    document["Loss"]["Train"] = [{"DistillationDMLLoss": pairs}]
    document["AMP"] = {"use_amp": True}
    wish, notes = read(document, tmp_path)
    assert (wish.model, wish.teacher, wish.distillation) == ("PPLCNet_x0_25", "PPLCNet_x1_0", "dml")
    assert wish.teacher_weights == "teacher/best_model.pdparams"
    assert notes == ("AMP: training computes in float32",)
    document["Loss"]["Train"] = [{"DistillationCELoss": pairs}]
    assert read(document, tmp_path)[0].distillation == "ce"
    document["Arch"]["freeze_params_list"] = [False, False]
    with pytest.raises(InputError, match=r"Arch\.freeze_params_list"):
        read(document, tmp_path)


def test_adamw_rates_by_stage_and_pictures_elsewhere(tmp_path: Path) -> None:
    document = configuration()
    # YAML takes numbers such as 5e-5 for text.
    document["Optimizer"] = {
        "name": "AdamW", "beta1": 0.8, "epsilon": "1e-7", "weight_decay": 0.05,
        "no_weight_decay_name": ".bias norm", "one_dim_param_no_weight_decay": True,
        "lr": {"name": "Cosine", "learning_rate": "5e-5", "eta_min": "1e-6", "warmup_start_lr": "1e-7"},
    }  # fmt: skip
    factors = [0.0, 0.4, 0.4, 0.8, 0.8, 1.0]
    document["Arch"]["lr_mult_list"] = factors
    document["DataLoader"]["Eval"]["dataset"]["image_root"] = "/others"
    wish, _ = read(document, tmp_path)
    assert (wish.learning_rate, wish.first_rate, wish.last_rate) == (5e-5, 1e-7, 1e-6)
    assert wish.adamw == AdamW(
        beta1=0.8, epsilon=1e-7, no_weight_decay_name=".bias norm", one_dim_param_no_weight_decay=True
    )
    assert (wish.weight_decay, wish.stage_rates, wish.val_data) == (0.05, tuple(factors), "/others")


def test_several_labels_a_picture(tmp_path: Path) -> None:
    document = several_labels()
    wish, _ = read(document, tmp_path)
    assert (wish.multilabel, wish.sum_labels, wish.class_weights) == (True, True, "balanced")
    document["Arch"] = {
        "name": "DistillationModel", "freeze_params_list": [True, False], "use_ssld": True,
        "models": [{"Teacher": {"name": "PPLCNet_x1_0"}}, {"Student": {"name": "PPLCNet_x0_25"}}],
    }  # fmt: skip
    document["Loss"]["Train"] = [
        {"DistillationDMLLoss": {"weight": 1.0, "model_name_pairs": [["Student", "Teacher"]]}},
        {"DistillationMultiLabelLoss": {"weight": 0.5, "model_names": ["Student"]}},
    ]
    wish, _ = read(document, tmp_path)
    assert (wish.distillation, wish.label_share, wish.sum_labels) == ("dml", 0.5, False)


def test_weights_that_the_zoo_has_in_one_form_only_are_said(tmp_path: Path) -> None:
    wish, notes = read(configuration(), tmp_path, "Arch.name=PPHGNet_base", "Arch.pretrained=True")
    assert (wish.model, wish.weights) == ("PPHGNet_base_ssld", "pretrained")
    assert notes == ("Arch.use_ssld: the weights of PPHGNet_base_ssld are taken, the only ones",)
    _, notes = read(
        configuration(), tmp_path, "Arch.name=ResNet101_vd", "Arch.pretrained=True", "Arch.use_ssld=True"
    )
    assert notes == ("Arch.use_ssld: the weights of ResNet101_vd are taken, the only ones",)
    wish, notes = read(configuration(), tmp_path, "Arch.pretrained=True", "Arch.name=PPLCNet_x1_0")
    assert (wish.model, notes) == ("PPLCNet_x1_0", ())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("Global.use_multilabel=True", "Loss.Train: Global.use_multilabel wants MultiLabelLoss"),
        ("Loss.Train=[{MultiLabelLoss: {weight: 1.0}}]", r"Loss\.Train\[0\]\.MultiLabelLoss: this loss"),
        ("Global.colour=red", "unknown field `colour`"),
        ("Arch.name=PPLCNet_x9", "Arch: looking up the model 'PPLCNet_x9'"),
        ("Arch.lr_mult_list=[1.0, 0.5]", "2 learning rates for the stages of PPLCNet_x0_25: it has 6"),
        ("Optimizer.name=AdamW", "unknown field `momentum`"),
        ("Optimizer.name=RMSProp", "Invalid value 'RMSProp'"),
        ("Optimizer.lr.name=Piecewise", "Invalid enum value 'Piecewise'"),
        ("Loss.Train=[{TripletLoss: {weight: 1.0}}]", r"Loss\.Train\[0\]\.TripletLoss: this loss"),
        ("Loss.Train=[{CELoss: {weight: 0.5}}]", "weight of the only loss"),
        ("DataLoader.Train.dataset.transform_ops=[{BlurImage: }]", r"transform_ops\[0\]\.BlurImage"),
        ("DataLoader.Train.dataset.transform_ops=[{TimmAutoAugment: {config_str: augmix-m3}}]", "augmix-m3"),
        ("DataLoader.Train.dataset.transform_ops=[{RandCropImage: {size: -3}}]", "RandCropImage"),
        ("DataLoader.Train.dataset.name=MultiLabelDataset", "Global.use_multilabel wants ImageNetDataset"),
        ("DataLoader.Train.dataset.name=MultiScaleDataset", "Invalid enum value 'MultiScaleDataset'"),
        ("DataLoader.Train.dataset.batch_transform_ops=[{FmixOperator: {alpha: 1}}]", "FmixOperator is not"),
    ],
)  # fmt: skip
def test_what_is_foreign_is_refused_by_its_name(tmp_path: Path, change: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(configuration(), tmp_path, change)


def test_sections_that_are_missing_or_foreign_are_named(tmp_path: Path) -> None:
    document = configuration()
    del document["Optimizer"]
    with pytest.raises(InputError, match="Optimizer: the section is missing"):
        read(document, tmp_path)
    with pytest.raises(InputError, match="the section Slim is not understood"):
        read({**configuration(), "Slim": {}}, tmp_path)


@pytest.mark.parametrize("change", ["Global", "Global.epochs", "Nothing.epochs=3", "Arch.name.first=3"])
def test_a_change_of_what_is_not_there_is_a_wrong_command(tmp_path: Path, change: str) -> None:
    with pytest.raises(UsageError, match=change.split("=", maxsplit=1)[0]):
        read(configuration(), tmp_path, change)


def test_a_configuration_trains_and_typed_options_count_more(
    run_cli: RunCli, digits: Path, tmp_path: Path
) -> None:
    require_paddle()
    document = configuration()
    document["Arch"]["class_num"] = 10
    for name in ("Train", "Eval"):
        dataset = document["DataLoader"][name]["dataset"]
        dataset |= {"image_root": str(digits), "cls_label_path": str(digits / "few.txt")}
    document["DataLoader"]["Train"]["dataset"]["transform_ops"][1]["RandCropImage"]["size"] = 32
    document["DataLoader"]["Eval"]["dataset"]["transform_ops"][1:3] = [{"ResizeImage": {"size": [32, 32]}}]
    path = tmp_path / "network.yaml"
    path.write_text(yaml.safe_dump(document))
    done = run_cli(
        ["train", "-c", path, "-o", "Global.epochs=2", "-o", tmp_path / "out", "--batch-size", "16",
         "--warmup-epochs", "1"],
        cwd=tmp_path,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert "epoch 2 of 2" in done.stderr
    settings = (tmp_path / "out" / "settings.json").read_text()
    assert '"batch_size": 16' in settings and '"momentum": 0.8' in settings
    for words in (["train", "-o", "Global.epochs=2"], ["train"]):
        refused = run_cli(words, cwd=tmp_path)
        assert refused.exit_code == 2, refused.stderr


def test_eval_and_predict_take_the_configuration_too(
    run_inside: Callable[..., CliResult],
    monkeypatch: pytest.MonkeyPatch,
    x0_25: Path,
    digits: Path,
    tmp_path: Path,
) -> None:
    document = configuration()
    document["Infer"]["infer_imgs"] = str(digits / "0.png")
    dataset = document["DataLoader"]["Eval"]["dataset"]
    listed = "".join((digits / "few.txt").read_text().splitlines(keepends=True)[:3])
    (tmp_path / "list.txt").write_text(listed)
    dataset |= {"image_root": str(digits), "cls_label_path": str(tmp_path / "list.txt")}
    path = tmp_path / "network.yaml"
    path.write_text(yaml.safe_dump(document))
    monkeypatch.chdir(x0_25.parent.parent)
    evaluated = run_inside("eval", "-c", path, "--engine", "paddle", "-o", tmp_path / "e.json", "--json")
    assert evaluated.exit_code == 0, evaluated.stderr
    assert '"model": "PPLCNet_x0_25"' in evaluated.stdout
    assert '"pictures": 3' in evaluated.stdout
    for words, picture in (([], "0.png"), ([digits / "1.png"], "1.png")):
        predicted = run_inside("predict", "-c", path, *words, "--json")
        assert predicted.exit_code == 0 and str(digits / picture) in predicted.stdout, predicted.stderr
    (tmp_path / "best.pdparams").write_bytes(b"others")
    change = f"Global.pretrained_model={tmp_path / 'best'}"
    other = run_inside("predict", "-c", path, "-o", change)
    assert other.exit_code == 3 and "from other weights than" in other.stderr
    assert f"edgekit export PPLCNet_x0_25 --weights {tmp_path / 'best.pdparams'}" in other.stderr
    missing = run_inside("eval", "-c", path, "-o", "Arch.name=PPLCNet_x0_35")
    assert missing.exit_code == 3 and "edgekit export PPLCNet_x0_35 --weights pretrained" in missing.stderr
    alone = run_inside("eval", "PPLCNet_x0_25")
    assert alone.exit_code == 2 and "--config FILE" in alone.stderr
