"""Learning from a teacher: losses by their formulas, its own view of pictures, a run without labels."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit.core.preprocess import Preprocess
from edgekit.errors import InputError
from edgekit.vision.preprocess import Preprocessor
from tests.conftest import NEEDS_PADDLE, RunCli

pytest.importorskip("paddle", reason=NEEDS_PADDLE)
pytest.importorskip("tensorboardX")


def softmax(rows: np.ndarray) -> np.ndarray:
    shares = np.exp(rows - rows.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def test_losses_are_their_formulas() -> None:
    import paddle

    from edgekit.training.objective import distillation_loss, label_loss

    rng = np.random.default_rng(0)
    own, teacher = (rng.normal(0, 3, (5, 7)).astype(np.float32) for _ in range(2))
    p, q = softmax(own.astype(float)), softmax(teacher.astype(float))
    tensors = paddle.to_tensor(own), paddle.to_tensor(teacher)
    # PaddleClas, ppcls/loss/dmlloss.py: the mean over classes of both divergences, times the classes, halved.
    divergence = ((q * np.log(q / p) + p * np.log(p / q)) * 7 / 2).mean()
    assert float(distillation_loss("dml", *tensors)) == pytest.approx(divergence, rel=1e-5)
    assert float(distillation_loss("ce", *tensors)) == pytest.approx(-(q * np.log(p)).sum(1).mean(), rel=1e-5)
    assert float(distillation_loss("dml", tensors[0], tensors[0])) == 0

    targets = np.eye(7, dtype=np.float32)[[0, 1, 2, 2, 2]]
    smoothed = targets * 0.9 + 0.1 / 7
    losses = -(smoothed * np.log(p)).sum(axis=1)
    given = paddle.to_tensor(targets)
    plain = label_loss(tensors[0], given, smoothing=0.1, class_weights=())
    assert float(plain) == pytest.approx(losses.mean(), rel=1e-5)
    weights = (3.0, 1.0, 0.5, 1.0, 1.0, 1.0, 1.0)
    weighted = label_loss(tensors[0], given, smoothing=0.1, class_weights=weights)
    row_weights = np.array([3, 1, 0.5, 0.5, 0.5])
    assert float(weighted) == pytest.approx((losses * row_weights).sum() / row_weights.sum(), rel=1e-5)


def test_a_teacher_of_other_means_sees_its_own_values(tmp_path: Path) -> None:
    import paddle

    from edgekit.training.teacher import Teacher
    from edgekit.zoo.registry import find_model
    from edgekit.zoo.weights import build_with_weights

    spec = find_model("PPLCNet_x0_25")
    network, _ = build_with_weights(spec, "random", num_classes=3)
    path = tmp_path / "teacher.pdparams"
    paddle.save(network.state_dict(), str(path))
    own = Preprocess(resize_short=32, crop_size=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.4, 0.3))
    student = Preprocess(resize_short=32, crop_size=32)
    teacher = Teacher(msgspec.structs.replace(spec, preprocess=own), str(path), student, 3)
    picture = np.random.default_rng(1).integers(0, 256, (40, 33, 3), dtype=np.uint8)
    with paddle.no_grad():
        expected = network(paddle.to_tensor(Preprocessor(own)(picture)[None])).numpy()
    found = teacher.logits(Preprocessor(student)(picture)[None]).numpy()
    assert np.abs(found - expected).max() < 1e-5
    with pytest.raises(InputError, match="3 classes, the student 5"):
        Teacher(spec, str(path), student, 5)


def test_pictures_without_labels_are_learned_from_a_teacher(
    run_cli: RunCli, digits: Path, tmp_path: Path
) -> None:
    import paddle

    from edgekit.zoo.registry import find_model
    from edgekit.zoo.weights import build_with_weights

    network, _ = build_with_weights(find_model("PPLCNet_x0_25"), "random", num_classes=4)
    paddle.save(network.state_dict(), str(tmp_path / "teacher.pdparams"))
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for index in range(20):
        (pictures / f"{index}.png").symlink_to(digits / f"{index}.png")
    base = [
        "train",
        "PPLCNet_x0_25",
        "--data",
        pictures,
        "--input-size",
        "32",
        "--epochs",
        "1",
        "--batch-size",
        8,
    ]
    taught = [*base, "--teacher", "PPLCNet_x0_25", "--teacher-weights", tmp_path / "teacher.pdparams"]
    done = run_cli([*taught, "-o", tmp_path / "out", "--json"], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "16 of 16 pictures have no class" in done.stderr
    report = json.loads(done.stdout)
    assert report["judged_by"] == "teacher" and report["num_classes"] == 4
    assert sum(map(sum, report["confusion"])) == 4
    refused = run_cli([*taught, "--label-share", "1", "-o", tmp_path / "shared"], cwd=tmp_path)
    assert refused.exit_code == 3 and "16 pictures have no class" in refused.stderr
    alone = run_cli([*base, "-o", tmp_path / "alone"], cwd=tmp_path)
    assert alone.exit_code == 3 and "no folders with pictures" in alone.stderr
