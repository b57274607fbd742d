"""int8 on real ARM kernels against Paddle's simulation of the quantised program, on held-back pages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edgekit.bench.results import load_result
from edgekit.core.parity import MAX_SIMULATION_ERROR
from tests import pages
from tests.conftest import RunCli
from tests.devices import AdbDevice

MODEL = "PPLCNet_x1_0_doc_ori"
HELD_BACK = 8


@pytest.fixture(scope="module")
def quantized(exported: Path, tmp_path_factory: pytest.TempPathFactory, run_cli: RunCli) -> Path:
    root = tmp_path_factory.mktemp("int8")
    model = Path(shutil.copytree(exported / MODEL, root / MODEL))
    pages.write_pages(root / "calibration", range(5000, 5050), pages.CALIBRATION_FONTS)
    done = run_cli(
        ["quantize", model, "--calibration", root / "calibration", "--formats", "nb", "--max-drop", "35"],
        cwd=root, timeout_s=900,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    return model


@pytest.mark.slow
@pytest.mark.usefixtures("paddlelite_runtime")
def test_arm_kernels_compute_what_paddle_simulates(
    run_cli: RunCli, quantized: Path, virtual_device: AdbDevice, tmp_path: Path
) -> None:
    pages.write_pages(tmp_path / "held-back", range(HELD_BACK))
    done = run_cli(
        ["verify", quantized, "--device", virtual_device.serial, "--engine", "paddlelite", "--json",
         "--pictures", tmp_path / "held-back"],
        cwd=tmp_path, timeout_s=900,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    rungs = {rung["name"]: rung for rung in json.loads(done.stdout)["rungs"]}
    simulated = rungs["paddle-int8-simulated"]["parity"]
    assert simulated["reference"] == "dygraph"
    assert simulated["top1_agreement"] >= 0.9
    parity = rungs[f"nb-arm-int8@{virtual_device.serial}"]["parity"]
    assert parity["reference"] == "paddle-int8-simulated"
    # The card's four samples, and the ten pages that were held back from calibration; no noise.
    assert parity["inputs"] == HELD_BACK + 4 + 10
    assert parity["top1_agreement"] == 1
    assert parity["max_relative_error"] <= MAX_SIMULATION_ERROR


@pytest.mark.slow
@pytest.mark.usefixtures("paddlelite_runtime")
def test_int8_takes_fewer_instructions(
    run_cli: RunCli, quantized: Path, virtual_device: AdbDevice, tmp_path: Path
) -> None:
    done = run_cli(
        ["bench", quantized, "--device", virtual_device.serial, "--engine", "paddlelite", "--threads", "1,4",
         "--precision", "fp32,int8", "-o", tmp_path / "counts.json"],
        cwd=tmp_path, timeout_s=900,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    counts = {
        (point.precision.value, point.requested_threads): point.instruction_count.main_thread
        for point in load_result(tmp_path / "counts.json").points
        if point.instruction_count is not None
    }
    assert counts["fp32", 1] / counts["int8", 1] > 1.5
    assert counts["fp32", 4] / counts["int8", 4] > 1.2
