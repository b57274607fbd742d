"""The card beside trained weights: only where the model's own would answer or prepare otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgekit.core.preprocess import Preprocess, Resize
from edgekit.training.card import write_card
from edgekit.training.settings import TrainSettings
from edgekit.zoo.registry import find_model

WIDE = Preprocess(steps=(Resize(size=(192, 256)),))


def settings(output: Path, model: str, classes: int, **asked: Any) -> TrainSettings:
    paths = {"data": "data", "train_list": "train.txt", "val_list": "val.txt", "output": str(output)}
    return TrainSettings(model=model, num_classes=classes, **paths, **asked)


@pytest.mark.parametrize(
    ("model", "classes", "asked"),
    [
        ("PPLCNet_x0_25", 3, {"input_size": 96}),
        ("PPLCNet_x0_25", 3, {"preprocess": Preprocess()}),
        ("person_attribute", 26, {"multilabel": True}),
    ],
)
def test_the_model_s_own_card_does(model: str, classes: int, asked: dict[str, Any], tmp_path: Path) -> None:
    assert write_card(settings(tmp_path, model, classes, **asked), tmp_path / "none.txt") is None
    assert not list(tmp_path.iterdir())


def test_a_card_says_how_pictures_are_prepared_and_what_answers_mean(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\n")
    path = write_card(settings(tmp_path, "PPLCNet_x0_25", 3, preprocess=WIDE), labels)
    assert path is not None
    own, card = find_model("PPLCNet_x0_25"), find_model(str(path))
    assert (card.preprocess, card.input_shape, card.labels) == (WIDE, (3, 192, 256), str(labels))
    assert (card.name, card.network, card.task, card.postprocess) == (
        own.name, own.network, own.task, own.postprocess,
    )  # fmt: skip
    # Ten labels are not the 26 of a person, whose texts go by class number.
    path = write_card(settings(tmp_path, "person_attribute", 10, multilabel=True), tmp_path / "none.txt")
    card = msgspec.toml.decode(path.read_bytes()) if path else {}
    assert card["postprocess"] == {"kind": "multilabel", "thresholds": [0.5]} and card["num_classes"] == 10
