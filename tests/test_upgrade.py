"""A model's directory, a bench and an evaluation of edgekit 0.1.0 are used by today's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import CliResult

DATA = Path(__file__).with_name("data")
RELEASE = DATA / "release_0_1_0"


def test_predict_answers_with_a_model_of_the_first_release(
    run_inside: Callable[..., CliResult], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    shutil.copytree(RELEASE / "model", tmp_path / "model")
    cv2.imwrite("plain.png", np.full((40, 48, 3), (237, 119, 194), np.uint8))
    done = run_inside("predict", "model", "plain.png", "--engine", "onnxruntime", "--json")
    assert done.exit_code == 0, done.stderr
    (answer,) = json.loads(done.stdout)
    assert len(answer["class_ids"]) == 5
    assert set(answer["label_names"]) == {"red", "green", "blue", "grey", "black"}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (RELEASE / "eval.json", "0.00 [0.00, 32.44]"),
        (RELEASE / "host.json", "onnxruntime"),
        (DATA / "results" / "version1_host.json", "onnxruntime"),
        (DATA / "results" / "version1_virtual.json", "EMULATED"),
    ],
)
def test_results_of_the_first_release_are_reported(
    run_inside: Callable[..., CliResult], path: Path, said: str
) -> None:
    assert json.loads(path.read_bytes())["edgekit_version"] == "0.1.0"
    done = run_inside("report", path)
    assert done.exit_code == 0, done.stderr
    assert said in done.stdout


def test_accuracy_and_sizes_of_the_first_release_are_compared(
    run_inside: Callable[..., CliResult], tmp_path: Path
) -> None:
    document = json.loads((RELEASE / "eval.json").read_bytes())
    document["routes"][0]["top1"]["share"] = 0.5
    (tmp_path / "better.json").write_text(json.dumps(document))
    lost = run_inside("compare", "better.json", RELEASE / "eval.json", "--counts", "--markdown")
    assert lost.exit_code == 9
    assert "| -100.00% | worse |" in " ".join(lost.stdout.split())
    same = run_inside("compare", RELEASE / "model/manifest.json", RELEASE / "model/manifest.json", "--counts")
    assert same.exit_code == 0, same.stderr
    assert "244" in same.stdout and " worse" not in same.stdout


def test_a_bench_of_the_first_release_is_compared_and_not_resumed(
    run_inside: Callable[..., CliResult],
) -> None:
    done = run_inside("compare", RELEASE / "host.json", RELEASE / "host.json")
    assert done.exit_code == 0, done.stderr
    refused = run_inside("bench", "--resume", RELEASE / "host.json")
    assert refused.exit_code == 2
    assert "hint: edgekit bench tiny --host --engine onnxruntime --threads 1,2" in refused.stderr
