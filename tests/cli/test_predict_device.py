"""Predict and eval over a transport: preprocessed here, inferred there, the same answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekit.bench.results import load_result
from tests import pages
from tests.conftest import REPOSITORY, RunCli
from tests.devices import AdbDevice

MODEL = "PPLCNet_x1_0_doc_ori"


@pytest.mark.slow
def test_the_device_answers_as_the_host(run_cli, exported: Path, virtual_device, tmp_path: Path) -> None:
    listing = pages.write_pages(tmp_path / "pages", range(6))
    (tmp_path / "list.txt").write_text("".join(f"{name} {label}\n" for name, label in listing))
    (tmp_path / "pages" / "broken.jpg").write_text("no picture")
    there = ["--device", virtual_device.serial, "--engine", "onnxruntime", "--threads", "2"]
    answers = []
    for where in ([], there):
        arguments = ["predict", exported / MODEL, tmp_path / "pages", "--jsonl", "--batch-size", "4", *where]
        done = run_cli(arguments, cwd=tmp_path, timeout_s=600)
        assert done.exit_code == 3, done.stderr
        assert "broken.jpg" in done.stderr
        answers.append([json.loads(line) for line in done.stdout.splitlines()])
    for host, device in zip(*answers, strict=True):
        assert host["filename"] == device["filename"]
        assert host["class_ids"] == device["class_ids"]
        assert max(abs(a - b) for a, b in zip(host["scores"], device["scores"], strict=True)) <= 1.1e-5
    done = run_cli(
        ["eval", exported / MODEL, "--data", tmp_path / "pages", "--list", tmp_path / "list.txt", *there,
         "-o", tmp_path / "e.json", "--json"],
        cwd=tmp_path, timeout_s=600,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["target"] == virtual_device.serial
    assert [route["engine"] for route in result["routes"]] == ["onnxruntime", "paddle"]
    assert result["routes"][0]["agreement"]["share"] == 1
    assert result["routes"][0]["top1"]["hits"] == 6


PAGE = REPOSITORY / "models" / "pages" / "journal.png"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "weights", "size", "drawn"),
    [
        ("PicoDet_LCNet_x1_0_layout", "pretrained", "3,160,128", ["journal.png"]),
        ("DeepLabV3P_PPLCNet_x0_5", "random", "3,64,128", ["journal-labels.png", "journal.png"]),
    ],
)
def test_detectors_and_segmenters_on_a_device(
    run_cli: RunCli, virtual_device: AdbDevice, tmp_path: Path, name: str, weights: str, size: str,
    drawn: list[str],
) -> None:  # fmt: skip
    command = ["export", name, "--weights", weights, "--input-shape", size]
    done = run_cli([*command, "--formats", "onnx", "--no-verify"], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    there = ["--device", virtual_device.serial, "--engine", "onnxruntime"]
    pushed = run_cli(["push", name, *there], cwd=tmp_path, timeout_s=300)
    assert pushed.exit_code == 0, pushed.stderr
    answers = []
    for where in ([], [*there, "--draw", tmp_path / "drawn"]):
        done = run_cli(["predict", name, PAGE, "--json", *where], cwd=tmp_path, timeout_s=600)
        assert done.exit_code == 0, done.stderr
        answers.append(json.loads(done.stdout))
    assert answers[0] == answers[1] and len(answers[0]) >= 1
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == drawn
    if weights == "random":
        return
    # Before an inference is counted, each of the detector's eight outputs is compared.
    bench = ["bench", name, *there, "--threads", "1", "--warmup", "1", "--repeats", "1", "-o", "r.json"]
    done = run_cli(bench, cwd=tmp_path, timeout_s=600)
    assert done.exit_code == 0, done.stderr
    (point,) = load_result(tmp_path / "r.json").points
    assert point.parity is not None and point.parity.passed and point.instruction_count is not None
