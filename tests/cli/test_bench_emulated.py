"""A result of the virtual device claims nothing that is true of the emulating machine alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.bench.results import load_result
from edgekit.core.artifact import ArtifactKind
from edgekit.core.energy import energy_per_inference_j
from edgekit.core.spec import Precision
from edgekit.errors import UnsupportedError
from edgekit.targets.device import opened_targets
from tests.conftest import RunCli
from tests.devices import AdbDevice

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_memory_and_cores_of_the_emulator_are_left_out(
    run_cli: RunCli, x0_25: Path, virtual_device: AdbDevice, tmp_path: Path
) -> None:
    done = run_cli(
        ["bench", x0_25, "--device", virtual_device.serial, "--engine", "onnxruntime", "--processes", "1",
         "--warmup", "0", "--repeats", "1", "--min-secs", "0", "--max-secs", "5", "-o", tmp_path / "r.json"],
        cwd=tmp_path,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    (point,) = load_result(tmp_path / "r.json").points
    assert point.instruction_count is not None
    assert point.startup is None
    (process,) = point.processes
    assert process.cold_start_ns is None
    assert process.samples_ns
    assert process.peak_memory_bytes is None
    assert process.cores_seen == ()
    # The device's own battery, as the runner reads it there at the start and the end of its inferences.
    for reading in process.readings:
        assert (reading.battery_percent, reading.charging) == (87, False)
        assert (reading.battery_current_ua, reading.battery_voltage_uv) == (-312_000, 4_123_000)
    joules = energy_per_inference_j(point)
    assert joules == pytest.approx(0.312 * 4.123 * process.samples_ns[0] / 1e9)
    assert point.environment_after is not None
    assert point.environment_after.busy_processes is not None
    assert point.environment_after.unreadable == ("throttle counts",)


@pytest.mark.slow
def test_a_turn_goes_through_few_modules(x0_25: Path, virtual_device: AdbDevice, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "count_hops.py", x0_25, "--device", virtual_device.serial,
         "--engine", "onnxruntime", "--processes", "2", "--warmup", "0", "--repeats", "1", "--min-secs", "0",
         "--max-secs", "5", "-o", tmp_path / "r.json"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_worker_takes_as_many_instructions_there_as_the_native_runner(
    run_cli: RunCli, x0_25: Path, virtual_device: AdbDevice, tmp_path: Path
) -> None:
    """ONNX Runtime by its wheel in a pushed CPython, and by the native runner, of one version."""
    there = ["--device", virtual_device.serial]
    done = run_cli(
        ["bench", x0_25, *there, "--engine", "onnxruntime-python,onnxruntime", "--processes", "1",
         "--warmup", "2", "--repeats", "2", "--min-secs", "0", "-o", tmp_path / "r.json"],
        cwd=tmp_path, timeout_s=600,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    worker, native = load_result(tmp_path / "r.json").points
    assert worker.engine_version == native.engine_version
    for point in (worker, native):
        assert point.parity is not None
        assert point.parity.passed
        assert point.effective_threads == 1
    assert worker.instruction_count is not None
    assert native.instruction_count is not None
    assert worker.instruction_count.total == pytest.approx(native.instruction_count.total, rel=0.01)
    again = run_cli(["push", x0_25, *there, "--engine", "onnxruntime-python", "--json"], cwd=tmp_path)
    assert again.exit_code == 0, again.stderr
    assert [each["sent_bytes"] for each in json.loads(again.stdout)] == [0]


def test_a_device_without_opencl_is_told(virtual_device: AdbDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened_targets([virtual_device.serial]) as (target,):
        assert target.artifact_kind("paddlelite", Precision.FP32) is ArtifactKind.NB_ARM
        asked = []
        run = target._transport.run_script
        monkeypatch.setattr(
            target._transport,
            "run_script",
            lambda script, words=(), **how: asked.append(words) or run(script, words, **how),
        )
        none = r"/vendor/lib64/libOpenCL\.so, .* is there"
        for _ in range(2):  # points of a sweep: the device is asked once
            with pytest.raises(UnsupportedError, match=none) as refused:
                target.artifact_kind("paddlelite", Precision.FP32, {"backend": "opencl"})
    assert refused.value.hint == "leave out --engine-option backend=opencl"
    assert sum("/vendor/lib64/libOpenCL.so" in words for words in asked) == 1
