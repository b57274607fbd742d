"""Several labels a picture: the loss by its formula, figures as PaddleClas counts them, a run that learns."""

from __future__ import annotations

import json
import xml.dom.minidom
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekit.training.judge import SeveralLabels
from edgekit.zoo.registry import find_model
from tests.conftest import NEEDS_PADDLE, CliResult

paddle = pytest.importorskip("paddle", reason=NEEDS_PADDLE)
pytest.importorskip("tensorboardX")

LABELS = 3


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def test_the_loss_is_its_formula_and_unknown_labels_count_nothing() -> None:
    from edgekit.training.objective import several_labels_loss

    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (6, LABELS)).astype(np.float32)
    targets = rng.integers(0, 2, (6, LABELS)).astype(np.float32)
    shares = np.array([0.1, 0.5, 0.8])
    p = sigmoid(logits.astype(float))
    losses = -(targets * np.log(p) + (1 - targets) * np.log(1 - p))
    # PaddleClas, ppcls/loss/multilabelloss.py, ratio2weight.
    weighted = losses * np.exp(targets * (1 - shares) + (1 - targets) * shares)

    def loss(
        targets: np.ndarray, shares: tuple[float, ...], *, summed: bool, smoothing: float = 0.0
    ) -> float:
        given = paddle.to_tensor(logits), paddle.to_tensor(targets)
        found = several_labels_loss(*given, smoothing=smoothing, positive_shares=shares, summed=summed)
        return float(found)

    assert loss(targets, (), summed=False) == pytest.approx(losses.mean(), rel=1e-5)
    assert loss(targets, tuple(shares), summed=True) == pytest.approx(weighted.sum(1).mean(), rel=1e-5)
    smoothed = targets * 0.9 + 0.1 / LABELS
    softened = -(smoothed * np.log(p) + (1 - smoothed) * np.log(1 - p))
    assert loss(targets, (), summed=False, smoothing=0.1) == pytest.approx(softened.mean(), rel=1e-5)
    targets[0, 1], losses[0, 1] = -1, 0
    assert loss(targets, (), summed=True) == pytest.approx(losses.sum(1).mean(), rel=1e-5)


def test_figures_are_those_of_paddleclas_in_any_number_of_processes() -> None:
    from edgekit.tasks.truth.attributes import attribute_figures

    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (40, LABELS)).astype(np.float32)
    labels = rng.choice([-1, 0, 1], (40, LABELS), p=[0.1, 0.5, 0.4])
    parts = [SeveralLabels(LABELS) for _ in range(2)]
    for number, tally in enumerate(parts):
        tally.add(logits[number::2], labels[number::2])
    sums = np.sum([tally.sums() for tally in parts], axis=0)
    judged = parts[0].judged(sums.tolist(), len(labels))
    assert judged.mean_accuracy == pytest.approx(
        attribute_figures(labels.astype(np.int8), sigmoid(logits) > 0.5).ma
    )
    p, known = sigmoid(logits.astype(float)), labels >= 0
    losses = -np.where(labels == 1, np.log(p), np.log(1 - p))
    assert judged.loss == pytest.approx((losses * known).sum() / len(labels))


def test_a_run_with_several_labels_has_their_loss_and_figures(
    run_inside: Callable[..., CliResult], digits: Path, tmp_path: Path
) -> None:
    """Labels of digits, of which many hold at once: even, above four, has a ring."""
    rings = {0, 6, 8, 9}
    lines = []
    for line in (digits / "few.txt").read_text().splitlines():
        path, digit = line.split()
        labels = (int(digit) % 2 == 0, int(digit) > 4, int(digit) in rings)
        lines.append(f"{path}\t{','.join(str(int(each)) for each in labels)}\n")
    (tmp_path / "list.txt").write_text("".join(lines))
    lists = ["--train-list", tmp_path / "list.txt", "--val-list", tmp_path / "list.txt"]
    words = ["train", "PPLCNet_x0_25", "--data", digits, *lists, "--input-size", "32", "--multilabel"]
    options = ["--num-classes", "3", "--class-weights", "balanced", "--epochs", "1", "--batch-size", "32"]
    done = run_inside(*words, *options, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    (epoch,) = report["epochs"]
    assert report["best_top1"] is None and epoch["top1"] is None and epoch["top5"] is None
    assert report["best_mean_accuracy"] == epoch["mean_accuracy"] and 0 < epoch["mean_accuracy"] <= 1
    # Of answers by chance: three times ln 2, and weights of about exp(1/2).
    assert epoch["loss"] == pytest.approx(3 * np.log(2) * np.exp(0.5), rel=0.3)
    assert "64 pictures with 3 labels" in done.stderr and "mean accuracy" in done.stderr
    card = find_model(str(tmp_path / "out" / "card.toml"))
    assert f"export {tmp_path / 'out' / 'card.toml'} --weights" in done.stderr
    assert (card.task, card.num_classes, card.input_shape) == ("multilabel", 3, (3, 32, 32))
    assert card.postprocess == {"kind": "multilabel", "thresholds": [0.5]}
    assert card.preprocess.size == (32, 32)
    settings = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert settings["positive_shares"] == pytest.approx([0.5, 0.5, 0.4], abs=0.1)
    curves = xml.dom.minidom.parse(str(tmp_path / "out" / "curves.svg"))
    assert "mean accuracy of the labels, %" in {
        text.firstChild.data for text in curves.getElementsByTagName("text")
    }
    refused = run_inside(*words, "--num-classes", "4", "-o", tmp_path / "other")
    assert refused.exit_code == 3 and "3 label(s), but the model has 4 classes" in refused.stderr
