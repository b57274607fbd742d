"""The curves of a training run, and its table of confusions."""

from __future__ import annotations

import xml.dom.minidom
from pathlib import Path

import msgspec
import pytest

from edgekit.errors import InputError
from edgekit.pages.training import draw_curves, training_text
from edgekit.training.logs import METRICS_FILE, Log
from edgekit.training.settings import EpochReport, TrainReport


def epochs(count: int) -> tuple[EpochReport, ...]:
    return tuple(
        EpochReport(
            epoch=number, loss=2 / number, learning_rate=0.1 / number, top1=0.5 + number / 100, top5=0.9,
            val_loss=1.0, pictures_per_s=10, wait_share=0.0, best=number < 5,
        )
        for number in range(1, count + 1)
    )  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 7, 120])
def test_curves_are_a_picture_of_their_own(tmp_path: Path, count: int) -> None:
    assert draw_curves(tmp_path) is None
    lines = (msgspec.json.encode(each) + b"\n" for each in epochs(count))
    (tmp_path / METRICS_FILE).write_bytes(b"".join(lines))
    path = draw_curves(tmp_path)
    assert path is not None
    document = xml.dom.minidom.parse(str(path))
    words = {text.firstChild.data for text in document.getElementsByTagName("text")}
    best = min(count, 4)
    assert f"best {0.5 + best / 100:.2%}, epoch {best}" in words
    assert {"loss", "validation, %", "learning rate", "epoch", "Top-1", "Top-5", "learned", "judged"} <= words
    assert document.documentElement.getAttribute("xmlns") == "http://www.w3.org/2000/svg"


def test_a_damaged_log_is_named(tmp_path: Path) -> None:
    (tmp_path / METRICS_FILE).write_text("{\n")
    with pytest.raises(InputError, match=METRICS_FILE):
        draw_curves(tmp_path)


def report(classes: int, *, stopped: bool = False) -> TrainReport:
    matrix = tuple(
        tuple(9 if row == column else int(column == row - 1) for column in range(classes))
        for row in range(classes)
    )
    return TrainReport(
        model="PPLCNet_x0_25", num_classes=classes, input_size=(64, 64), best_epoch=4, best_top1=0.9,
        best_weights="output/best_model.pdparams", judged_by="labels", stopped_early=stopped, label_names=(),
        confusion=matrix, processes=1, replica_spread=0.0, epochs=epochs(6),
    )  # fmt: skip


def test_few_classes_are_a_matrix_and_many_the_pairs_confused_most() -> None:
    few = training_text(report(3, stopped=True))
    assert "Top-1 90.00% after epoch 4; stopped after epoch 6, as none was better" in few
    assert "90.0%" in few and "100.0%" in few
    many = training_text(report(20))
    assert "classes that were confused most" in many and "true class  answer" in many


def test_a_teachers_answers_are_not_called_true() -> None:
    for classes in (3, 20):
        text = training_text(msgspec.structs.replace(report(classes), judged_by="teacher"))
        assert "teacher's class" in text and "true class" not in text and "right" not in text


def test_the_log_of_a_resumed_run_has_the_epochs_of_its_checkpoint(tmp_path: Path) -> None:
    """A run that is killed between its checkpoint and its log has no whole line of the last epoch."""
    pytest.importorskip("tensorboardX")
    (tmp_path / METRICS_FILE).write_bytes(msgspec.json.encode(epochs(1)[0]) + b'\n{"epoch": 2')
    log = Log(tmp_path, epochs(2))
    log.epoch(epochs(3)[2])
    log.close()
    lines = (tmp_path / METRICS_FILE).read_bytes()
    assert msgspec.json.Decoder(EpochReport).decode_lines(lines) == list(epochs(3))
