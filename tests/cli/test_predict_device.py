"""Predict and eval over a transport: preprocessed here, inferred there, the same answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import pages

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
