"""int8 of the real trained model, judged on pages in fonts that it was not calibrated on."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgekit.convert.manifest import load_manifest, verify_files
from edgekit.targets.held_back import read_held_back
from tests import pages

MODEL = "PPLCNet_x1_0_doc_ori"


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("calibration")
    pages.write_pages(root, range(5000, 5024), pages.CALIBRATION_FONTS)
    (root / "notes.jpg").write_text("no picture")
    return root


@pytest.fixture
def model(exported: Path, tmp_path: Path) -> Path:
    """A copy of the artifact directory that a test may change."""
    return Path(shutil.copytree(exported / MODEL, tmp_path / "models" / MODEL))


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if not path.name.startswith(".")}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--nb-targets", "x86"], 2, "NaN or zeros"),
        (["--nb-targets", "arm,arm_fp16"], 2, "fp16 together with int8"),
        (["--nb-targets", "mips"], 2, "no such target"),
        (["--formats", "tflite"], 2, "tflite"),
        (["--search", "--formats", "nb"], 2, "measure with ONNX Runtime"),
        (["--keep-float", "auto", "--formats", "onnx,mnn"], 2, "measure with ONNX Runtime"),
        (["--list", "x.txt"], 3, "--held-back DIR"),
    ],
)
def test_what_goes_wrong_is_refused(
    run_cli, model: Path, calibration: Path, arguments: list[str], code: int, said: str
) -> None:
    before = files_of(model)
    done = run_cli(["quantize", model, "--calibration", calibration, *arguments], cwd=model.parent)
    assert done.exit_code == code, done.stderr
    assert said in done.stderr
    assert done.stdout == ""
    assert files_of(model) == before


def test_no_pictures(run_cli, model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run_cli(["quantize", model, "--calibration", tmp_path / "empty"], cwd=tmp_path)
    assert done.exit_code == 3
    assert "too few pictures" in done.stderr


@pytest.fixture(scope="module")
def quantized(
    run_cli, exported: Path, calibration: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A copy of the artifact directory with an int8 ONNX model, and what `quantize` said of it."""
    model = Path(shutil.copytree(exported / MODEL, tmp_path_factory.mktemp("int8") / "models" / MODEL))
    arguments = ["quantize", model, "--calibration", calibration, "--formats", "onnx", "--json"]
    done = run_cli([*arguments, "--max-drop", "50"], cwd=model.parent)
    assert done.exit_code == 0, done.stderr
    return model, json.loads(done.stdout)


@pytest.mark.slow
def test_onnx_and_its_figures(
    run_cli, exported: Path, quantized: tuple[Path, dict[str, Any]], calibration: Path
) -> None:
    before = load_manifest(exported / MODEL)
    model, result = quantized
    assert (result["calibration_pictures"], result["held_back_pictures"]) == (20, 4)
    assert "notes.jpg" in result["passed_over"][0]
    (figures,) = result["artifacts"]
    assert figures["kind"] == "onnx-int8"
    assert figures["size_ratio"] <= 0.30
    assert figures["agreement"]["share"] == 1
    speed = figures["speed"]
    assert [point["precision"] for point in speed["points"]] == ["fp32", "int8"]
    for point, name in zip(speed["points"], ("float_ns", "int8_ns"), strict=True):
        assert point["status"] == "done"
        assert point["environment_before"] is not None
        assert len(point["processes"]) == 5
        medians = [statistics.median(run["samples_ns"]) for run in point["processes"]]
        assert min(medians) < speed[name]["estimate"] < max(medians)
        assert speed[name]["low"] < speed[name]["estimate"] < speed[name]["high"]
    assert speed["ratio"]["low"] < speed["ratio"]["estimate"] < speed["ratio"]["high"]
    manifest = load_manifest(model)
    verify_files(manifest, model)
    kept = read_held_back(model, manifest.artifacts["onnx-int8"], (3, 224, 224))
    assert kept is not None
    assert kept.shape == (4, 3, 224, 224)
    assert manifest.artifacts["onnx-int8"].parent_sha256 == before.artifacts["onnx"].sha256
    assert manifest.artifacts["onnx-int8"].options["calibration_pictures"] == "20"
    assert {key: manifest.artifacts[key] for key in before.artifacts} == before.artifacts
    page = run_cli(["predict", model, calibration, "--precision", "int8", "--jsonl"], cwd=model.parent)
    answers = [json.loads(line) for line in page.stdout.splitlines()]
    assert [answer["class_ids"][0] for answer in answers] == [number % 4 for number in range(5000, 5024)]


@pytest.mark.slow
def test_verify_judges_int8_on_what_was_held_back(run_cli, quantized: tuple[Path, dict[str, Any]]) -> None:
    model, _ = quantized
    done = run_cli(["verify", model, "--json"], cwd=model.parent)
    assert done.exit_code == 0, done.stderr
    rungs = {rung["name"]: rung for rung in json.loads(done.stdout)["rungs"]}
    # Four of noise and the card's four samples; int8: the samples and the four held-back pages.
    assert rungs["onnx"]["parity"]["inputs"] == 8
    assert rungs["onnx-int8"]["parity"]["inputs"] == 8
    assert rungs["samples"]["status"] == "passed"


def test_too_few_pictures_to_tell_are_not_enough(run_cli, model: Path, calibration: Path) -> None:
    """Four pictures on which both precisions agree leave 49 % to chance."""
    before = files_of(model)
    done = run_cli(["quantize", model, "--calibration", calibration, "--formats", "onnx"], cwd=model.parent)
    assert done.exit_code == 9
    assert "not resolved: the answers differ on 0.00 % [0.00, 48.99] of 4 held-back pictures" in done.stderr
    assert "hint: --held-back DIR with 381 pictures or more, or --max-drop 49" in done.stderr
    assert files_of(model) == before


@pytest.mark.slow
def test_a_full_disk_is_an_output_error(model: Path, calibration: Path, tmp_path: Path) -> None:
    """No room for a second network beside the first, on a file system of its own."""
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    place = tmp_path / "small"
    place.mkdir()
    room = sum(path.stat().st_size for path in model.iterdir()) + (1 << 20)
    script = (
        f"mount -t tmpfs -o size={room} none {place} && cp -r {model} {place}/net && cd {place} && "
        f"exec {sys.executable} -m edgekit quantize ./net --calibration {calibration} --formats onnx"
    )
    done = subprocess.run([*unshare, script], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 3, done.stderr
    assert "No space left on device" in done.stderr or "no space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_beyond_max_drop_nothing_is_kept(run_cli, model: Path, calibration: Path, tmp_path: Path) -> None:
    """Calibrated on black pictures every range is wrong."""
    import cv2
    import numpy as np

    black = tmp_path / "black"
    black.mkdir()
    for index in range(4):
        assert cv2.imwrite(str(black / f"{index}.png"), np.zeros((300, 300, 3), np.uint8))
    before = files_of(model)
    arguments = ["quantize", model, "--calibration", black, "--held-back", calibration, "--formats", "onnx"]
    done = run_cli(arguments, cwd=tmp_path)
    assert done.exit_code in (5, 9), done.stderr
    assert "onnx-int8" in done.stderr or "one answer" in done.stderr
    assert files_of(model) == before


@pytest.mark.slow
def test_int8_holds_on_held_back_pages(run_cli, model: Path, tmp_path: Path) -> None:
    """At least 99 % agreement on 400 pages in other fonts, at most 0.30 of the size."""
    pages.write_pages(tmp_path / "calibration", range(5000, 5100), pages.CALIBRATION_FONTS)
    listing = pages.write_pages(tmp_path / "held-back", range(400))
    (tmp_path / "list.txt").write_text("".join(f"{name} {label}\n" for name, label in listing))
    done = run_cli(
        ["quantize", model, "--calibration", tmp_path / "calibration", "--held-back", tmp_path / "held-back",
         "--list", tmp_path / "list.txt", "--json"],
        cwd=tmp_path, timeout_s=900,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    figures = {one["kind"]: one for one in json.loads(done.stdout)["artifacts"]}
    assert set(figures) == {"onnx-int8", "paddle-int8", "nb-arm-int8"}
    for kind in ("onnx-int8", "paddle-int8"):
        assert figures[kind]["agreement"]["trials"] == 400
        assert figures[kind]["agreement"]["share"] >= 0.99
        assert abs(figures[kind]["top1_drop"]["drop"]) <= 0.01
    for kind in ("onnx-int8", "nb-arm-int8"):
        assert figures[kind]["size_ratio"] <= 0.30
    verify_files(load_manifest(model), model)


def test_held_back_pictures_of_the_calibration_are_said(run_cli, model: Path, tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "a.jpg").write_text("no picture")
    words = ["--calibration", "pages", "--held-back", "pages", "--formats", "onnx"]
    done = run_cli(["quantize", model, *words], cwd=tmp_path)
    assert done.exit_code == 3
    assert "1 held-back pictures are calibration pictures, too" in done.stderr
