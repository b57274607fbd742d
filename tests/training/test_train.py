"""Training for real: it learns, goes on after a kill, keeps replicas equal, and others take the result."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edgekit.zoo.state_file import read_pdparams
from tests.conftest import NEEDS_PADDLE, RunCli

pytest.importorskip("paddle", reason=NEEDS_PADDLE)
pytest.importorskip("tensorboardX")

SMALL = ["--input-size", "32", "--min-area", "0.6", "--no-flip"]
TRAIN = ["train", "PPLCNet_x0_25", *SMALL]


def few(digits: Path, output: Path) -> list[str]:
    """Two steps an epoch: quick, and enough to see state carried over."""
    lists = ["--train-list", str(digits / "few.txt"), "--val-list", str(digits / "few.txt")]
    return [*TRAIN, "--data", str(digits), *lists, "--batch-size", "32", "-o", str(output)]


def weights(path: Path) -> dict[str, np.ndarray]:
    return read_pdparams(path)


@pytest.mark.slow
def test_digits_are_learned_and_exported(run_cli: RunCli, digits: Path, tmp_path: Path) -> None:
    done = run_cli(
        ["train", "PPLCNet_x0_25", "--data", digits, "--input-size", "64", "--min-area", "0.6", "--no-flip",
         "--warmup-epochs", "1", "--epochs", "10", "--batch-size", "28", "--learning-rate", "0.1",
         "--ema-decay", "0.99", "--json"],
        cwd=tmp_path, timeout_s=900,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["best_top1"] >= 0.9  # ten classes: chance is 0.1
    assert report["epochs"][-1]["loss"] < report["epochs"][0]["loss"] / 2
    assert report["epochs"][-1]["wait_share"] < 0.1
    done = run_cli(
        ["export", "PPLCNet_x0_25", "--weights", tmp_path / "output" / "best_model.pdparams", "--formats",
         "paddle,onnx", "--input-shape", "3,64,64", "--name", "digits", "--json"],
        cwd=tmp_path,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    done = run_cli(
        ["eval", "digits", "--data", digits, "--list", digits / "val_list.txt", "--json"], cwd=tmp_path
    )
    assert done.exit_code == 0, done.stderr
    top1 = json.loads(done.stdout)["routes"][0]["top1"]["share"]
    assert top1 == pytest.approx(report["best_top1"], abs=0.004)  # one picture of 397


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_to_the_same_weights(
    run_cli: RunCli, digits: Path, tmp_path: Path
) -> None:
    whole = run_cli([*few(digits, tmp_path / "whole"), "--epochs", "4"], cwd=tmp_path)
    assert whole.exit_code == 0, whole.stderr
    arguments = [*few(digits, tmp_path / "cut"), "--epochs", "4"]
    child = subprocess.Popen(
        [sys.executable, "-m", "edgekit", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    metrics = tmp_path / "cut" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.is_file() and metrics.read_text().count("\n") >= 1) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait(30)
    refused = run_cli(arguments, cwd=tmp_path)
    assert refused.exit_code == 3 and "--resume" in refused.stderr
    other = run_cli([*arguments, "--resume", "--learning-rate", "0.5"], cwd=tmp_path)
    assert other.exit_code == 3 and "learning_rate" in other.stderr
    done = run_cli([*arguments, "--resume"], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "resumed" in done.stderr
    assert [json.loads(line)["epoch"] for line in metrics.read_text().splitlines()] == [1, 2, 3, 4]
    expected = weights(tmp_path / "whole" / "latest.pdparams")
    found = weights(tmp_path / "cut" / "latest.pdparams")
    assert all(np.allclose(found[key], expected[key], atol=1e-6) for key in expected)
    assert list((tmp_path / "cut" / "tensorboard").glob("events.*"))


@pytest.mark.slow
def test_two_processes_end_with_equal_replicas(run_cli: RunCli, digits: Path, tmp_path: Path) -> None:
    done = run_cli(
        [*few(digits, tmp_path / "two"), "--epochs", "2", "--processes", "2", "--json"], cwd=tmp_path
    )
    assert done.exit_code == 0, done.stderr
    assert "2 steps in all (2 epochs of 1) are too few" in done.stderr
    report = json.loads(done.stdout)
    assert report["processes"] == 2
    assert report["replica_spread"] == 0.0
    assert (tmp_path / "two" / "best_model.pdparams").is_file()
    refused = run_cli(
        [*few(digits, tmp_path / "two"), "--epochs", "3", "--processes", "2", "--resume"], cwd=tmp_path
    )
    assert refused.exit_code == 3
    assert "epochs 2, now 3" in refused.stderr and "hint: resume with the same options" in refused.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_nothing_trains_on_when_the_command_has_ended(digits: Path, tmp_path: Path, number: int) -> None:
    output = tmp_path / "two"
    arguments = [*few(digits, output), "--epochs", "500", "--processes", "2"]
    child = subprocess.Popen([sys.executable, "-m", "edgekit", *arguments], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (output / "checkpoint.pdstates").is_file() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_of(output)
    os.kill(child.pid, number)
    child.wait(30)
    deadline = time.monotonic() + 30
    while processes_of(output) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes_of(output)


def processes_of(output: Path) -> list[str]:
    """Who has a run's settings on its command line."""
    done = subprocess.run(["pgrep", "-f", str(output / "settings.json")], capture_output=True, text=True)
    return done.stdout.split()


def test_fine_tuning_begins_the_last_layer_anew(run_cli: RunCli, digits: Path, tmp_path: Path) -> None:
    import paddle

    from edgekit.zoo.registry import find_model
    from edgekit.zoo.weights import build_with_weights

    network, _ = build_with_weights(find_model("PPLCNet_x0_25"), "random", num_classes=7)
    start = tmp_path / "seven.pdparams"
    paddle.save(network.state_dict(), str(start))
    done = run_cli(
        [*few(digits, tmp_path / "fine"), "--epochs", "1", "--weights", start, "--learning-rate", "1e-9",
         "--ema-decay", "0"],
        cwd=tmp_path,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert "10 classes instead of 7" in done.stderr
    found = weights(tmp_path / "fine" / "latest.pdparams")
    assert np.allclose(found["last_conv.weight"], network.state_dict()["last_conv.weight"].numpy(), atol=1e-5)
    assert found["fc.weight"].shape == (1280, 10)


def test_folders_of_classes_are_learned_by_the_last_layer_alone(
    run_cli: RunCli, digits: Path, tmp_path: Path
) -> None:
    import paddle

    from edgekit.zoo.registry import find_model
    from edgekit.zoo.weights import build_with_weights

    network, _ = build_with_weights(find_model("PPLCNet_x0_25"), "random", num_classes=7)
    start = tmp_path / "seven.pdparams"
    paddle.save(network.state_dict(), str(start))
    for name, indices in (("cat", range(12)), ("dog", range(12, 60))):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in indices:
            (tmp_path / "data" / name / f"{index}.png").symlink_to(digits / f"{index}.png")
    arguments = [
        *TRAIN, "--data", tmp_path / "data", "--weights", start, "--freeze", "--epochs", "30",
        "--patience", "2", "--learning-rate", "1e-9", "--ema-decay", "0", "-o", tmp_path / "out",
    ]  # fmt: skip
    done = run_cli(arguments, cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "2 classes (cat, dog)" in done.stderr and "from 10 to 38 pictures" in done.stderr
    # Nothing is learned at this rate, so that Top-1 never rises again.
    assert "; stopped after epoch 3, as none was better" in done.stdout
    assert re.search(r"true class +cat +dog +right", done.stdout)
    assert f"--labels {tmp_path / 'out' / 'labels.txt'}" in done.stderr
    found, before = weights(tmp_path / "out" / "latest.pdparams"), read_pdparams(start)
    kept = [key for key in before if not key.startswith("fc.")]
    assert len(kept) > 100 and all(np.array_equal(found[key], before[key]) for key in kept)
    assert "<svg" in (tmp_path / "out" / "curves.svg").read_text()
    refused = run_cli([*arguments, "--class-weights", "balanced"], cwd=tmp_path)
    assert refused.exit_code == 3 and "--resume" in refused.stderr
    random = run_cli([*TRAIN, "--data", tmp_path / "data", "--freeze", "-o", tmp_path / "no"], cwd=tmp_path)
    assert random.exit_code == 2 and "--weights" in random.stderr


def test_what_cannot_be_trained_is_refused(run_cli: RunCli, digits: Path, tmp_path: Path) -> None:
    base = few(digits, tmp_path / "bad")
    gpu = run_cli([*base, "--device", "gpu"], cwd=tmp_path)
    assert gpu.exit_code == 4 and "paddlepaddle-gpu" in gpu.stderr
    (tmp_path / "broken.txt").write_text("nothing.png 1\n")
    missing = run_cli(
        [*base, "--train-list", tmp_path / "broken.txt", "-o", tmp_path / "missing"], cwd=tmp_path
    )
    assert missing.exit_code == 3 and "nothing.png" in missing.stderr
    short = run_cli([*base, "--warmup-epochs", "5", "--epochs", "3", "-o", tmp_path / "short"], cwd=tmp_path)
    assert short.exit_code == 2 and "--warmup-epochs" in short.stderr
    narrow = run_cli([*base, "--num-classes", "5", "-o", tmp_path / "narrow"], cwd=tmp_path)
    assert narrow.exit_code == 3 and "5 classes" in narrow.stderr
