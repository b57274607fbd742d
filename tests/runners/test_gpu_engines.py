"""GPU engines where there is no GPU: what can be tested is everything around the computing.

What would run on the CPU is an error that names the missing wheel. Behind ctypes and nvidia-ml-py stands an
invented driver (`invented_nvidia.c`); everything on this side of it is real.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from edgekit.convert.manifest import load_manifest
from edgekit.core.artifact import ArtifactKind
from edgekit.core.processes import ProcessWatch
from edgekit.core.spec import Precision
from edgekit.engines.registry import artifact_kind, host_options, host_side
from edgekit.engines.worker.gpu import describe_gpu
from edgekit.engines.worker.refusal import RefusedError
from edgekit.engines.worker.tensorrt_cache import engine_directory
from edgekit.errors import RunnerError
from edgekit.runners.launch import host_launcher
from edgekit.runners.protocol import Run
from edgekit.runners.session import RunnerSession
from edgekit.targets.environment import read_host_environment
from edgekit.targets.gpu import read_gpus, watch_gpu
from edgekit.transports.local import LocalTransport
from tests.conftest import NEEDS_PADDLE
from tests.runners.cases import picture_load

HERE = Path(__file__).parent
UUID = "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f"
WHEELS = {
    "paddle-gpu": "paddlepaddle-gpu",
    "paddle-tensorrt": "paddlepaddle-gpu",
    "onnxruntime-cuda": "onnxruntime-gpu",
    "onnxruntime-tensorrt": "onnxruntime-gpu",
}
has_driver = any(
    Path(place, "libcuda.so.1").exists() for place in ("/usr/lib/x86_64-linux-gnu", "/usr/lib64")
)
without_driver = pytest.mark.skipif(has_driver, reason="NVIDIA's driver is installed")


@pytest.fixture(scope="session")
def invented_driver(shared_directory: Path) -> dict[str, str]:
    """The environment in which a process finds the invented driver."""
    directory = shared_directory / "invented-nvidia"
    with FileLock(shared_directory / "invented-nvidia.lock"):
        if not directory.exists():
            directory.mkdir()
            for library in ("libcuda.so.1", "libnvidia-ml.so.1"):
                subprocess.run(
                    [sys.executable, "-m", "ziglang", "cc", "-shared", "-fPIC", "-Wall", "-Werror",
                     HERE / "invented_nvidia.c", "-o", directory / library],
                    check=True, timeout=120,
                )  # fmt: skip
    return {**os.environ, "LD_LIBRARY_PATH": str(directory)}


def run_python(script: str, env: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def has_gpu_wheel(engine: str) -> bool:
    if engine.startswith("paddle"):
        return bool(pytest.importorskip("paddle", reason=NEEDS_PADDLE).is_compiled_with_cuda())
    return "CUDAExecutionProvider" in pytest.importorskip("onnxruntime").get_available_providers()


@pytest.mark.parametrize("engine", WHEELS)
def test_no_gpu_is_an_error_and_not_the_cpu(engine: str, x0_25: Path) -> None:
    if has_gpu_wheel(engine):
        pytest.skip(f"{WHEELS[engine]} is installed")
    artifact = load_manifest(x0_25).artifact(artifact_kind(engine, host_side(engine), Precision.FP32))
    assert artifact is not None
    files = [str(x0_25 / file.path) for file in artifact.files]
    launcher = host_launcher(engine)
    session = RunnerSession(LocalTransport(), launcher.argv, env=launcher.env, label=engine)
    session.start()
    try:
        with pytest.raises(RunnerError) as caught:
            session.load(
                picture_load(
                    files[0], params=files[1] if len(files) > 1 else None,
                    options=host_options(engine, Precision.FP32, {}),
                )
            )  # fmt: skip
    finally:
        session.kill()
    assert f"install the wheel {WHEELS[engine]}" in caught.value.message


def test_fp16_is_an_option_of_the_gpu_engines_that_have_it() -> None:
    assert host_options("paddle-tensorrt", Precision.FP16, {"device": "1"}) == {"fp16": "on", "device": "1"}
    assert host_options("onnxruntime-tensorrt", Precision.FP16, {}) == {"fp16": "on"}
    assert host_options("onnxruntime-cuda", Precision.FP32, {}) == {}
    assert Precision.FP16 not in host_side("onnxruntime-cuda").artifacts
    assert {name for name in WHEELS if host_side(name).gpu} == set(WHEELS)
    assert not host_side("paddle").gpu


def test_fp32_is_not_computed_in_tf32() -> None:
    assert host_launcher("onnxruntime-cuda").env == {"NVIDIA_TF32_OVERRIDE": "0"}
    assert host_launcher("onnxruntime").env == {}


@without_driver
def test_without_a_driver_nvml_gives_nulls_and_one_reason() -> None:
    pytest.importorskip("pynvml")
    reading = read_gpus()
    assert reading.gpus is None
    assert reading.unreadable == ("GPUs (NVML: NVML Shared Library Not Found)",)
    environment = read_host_environment(ProcessWatch(), gpu=True)
    assert environment.gpus is None
    assert [one for one in environment.unreadable if "NVML" in one] == list(reading.unreadable)
    assert "NVML" not in "".join(read_host_environment(ProcessWatch()).unreadable)
    with watch_gpu(UUID) as states:
        pass
    assert states == []


@without_driver
def test_without_a_driver_no_gpu_is_described() -> None:
    with pytest.raises(RefusedError, match=r"driver is not installed here \(libcuda"):
        describe_gpu(0)


def test_a_driver_says_which_gpu_computes(invented_driver: dict[str, str]) -> None:
    script = (
        "import json; from edgekit.engines.worker.gpu import describe_gpu; print(json.dumps(describe_gpu(0)))"
    )
    assert json.loads(run_python(script, invented_driver)) == {
        "name": "Invented GPU 0", "uuid": UUID, "compute_capability": "7.0", "cuda_version": "12.4",
    }  # fmt: skip
    missing = (
        "from edgekit.engines.worker.gpu import describe_gpu\ntry: describe_gpu(5)\n"
        "except Exception as error: print(error)"
    )
    said = run_python(missing, invented_driver).strip()
    assert said == "asked for GPU 5: cuDeviceGet says CUDA_ERROR_INVALID_DEVICE (101)"


def test_nvml_tells_clocks_temperature_power_and_throttling(invented_driver: dict[str, str]) -> None:
    pytest.importorskip("pynvml")
    script = (
        "import sys, time, msgspec; from edgekit.targets.gpu import read_gpus, watch_gpu\n"
        f"reading = read_gpus()\nwith watch_gpu('{UUID}') as states: time.sleep(0.4)\n"
        "sys.stdout.buffer.write(msgspec.json.encode([reading, states]))"
    )
    reading, states = json.loads(run_python(script, invented_driver))
    hot, idle = reading["gpus"]
    assert {**hot, "sm_clock_mhz": None} == {
        "uuid": UUID, "name": "Invented GPU 0", "sm_clock_mhz": None, "max_sm_clock_mhz": 1530,
        "memory_clock_mhz": 877, "temperature_celsius": 61, "power_milliwatts": 250000,
        "power_limit_milliwatts": 300000,
        "throttle_reasons": ["sw_power_cap", "hw_thermal_slowdown", "other 0x1000"],
        "utilization_percent": 97, "memory_used_bytes": 1_000_000_000,
    }  # fmt: skip
    assert idle["throttle_reasons"] == ["gpu_idle"]
    # One GPU does not tell its power: null, and named once.
    assert idle["power_milliwatts"] is None
    assert reading["unreadable"] == ["GPU power (Not Supported)"]
    # Before, at least once during, and after.
    assert len(states) >= 3
    assert {state["uuid"] for state in states} == {UUID}
    clocks = [state["sm_clock_mhz"] for state in states]
    assert clocks == sorted(clocks, reverse=True)
    assert len(set(clocks)) == len(clocks)


def test_copies_are_timed_apart_and_the_gpu_is_named(x0_25: Path, invented_driver: dict[str, str]) -> None:
    pytest.importorskip("onnxruntime")
    artifact = load_manifest(x0_25).artifact(ArtifactKind.ONNX)
    assert artifact is not None
    inputs = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    answers = []
    for argv in (
        [sys.executable, str(HERE / "invented_gpu_worker.py")],
        list(host_launcher("onnxruntime").argv),
    ):
        env = {**invented_driver, "PYTHONPATH": str(HERE.parent.parent)}
        with RunnerSession(LocalTransport(), argv, env=env, label="invented") as session:
            loaded = session.load(picture_load(x0_25 / artifact.main_file))
            ran = session.run(Run(warmup=1, warmup_ns=0, repeats=5, min_ns=0))
            answers.append((loaded, ran, session.infer([inputs])[0][0]))
    (loaded, ran, output), (plain, plain_ran, plain_output) = answers
    assert loaded.gpu is not None and loaded.gpu.uuid == UUID
    assert len(ran.copy_in_ns) == len(ran.copy_out_ns) >= 64
    assert min(ran.copy_in_ns) > 0
    assert len(ran.samples_ns) == 5
    assert plain.gpu is None
    assert (plain_ran.copy_in_ns, plain_ran.copy_out_ns) == ((), ())
    assert np.array_equal(output, plain_output)


def test_tensorrt_engines_are_kept_by_weights_gpu_and_versions(tmp_path: Path) -> None:
    model, params = tmp_path / "inference.pdmodel", tmp_path / "inference.pdiparams"
    model.write_bytes(b"program")
    params.write_bytes(b"weights")
    gpu = {"name": "Invented GPU", "uuid": UUID}

    def directory(gpu: dict[str, str] = gpu, tensorrt: str = "10.0") -> str:
        return engine_directory(str(model), str(params), gpu, tensorrt=tensorrt)

    kept = directory()
    assert Path(kept).parent == tmp_path / ".tensorrt"
    assert json.loads(Path(kept, "key.json").read_text())["tensorrt"] == "10.0"
    assert directory({**gpu, "uuid": "another of the same kind"}) == kept
    others = {directory(tensorrt="10.1"), directory({**gpu, "name": "Another GPU"})}
    params.write_bytes(b"other weights of the same program")
    others.add(directory())
    assert len(others | {kept}) == 4
    other = tmp_path / "other.onnx"
    other.write_bytes(b"model")
    Path(kept).parent.rename(tmp_path / "moved")
    (tmp_path / ".tensorrt").write_text("in the way")
    with pytest.raises(RefusedError, match="keeping TensorRT's engines"):
        engine_directory(str(other), None, gpu)


def test_paddle_without_tensorrt_is_refused_by_its_own_answer() -> None:
    if has_gpu_wheel("paddle-tensorrt"):
        pytest.skip("is about Paddle's CPU build")
    from edgekit.engines.paddle_tensorrt import require_tensorrt

    with pytest.raises(RefusedError, match="built without it: install the wheel paddlepaddle-gpu"):
        require_tensorrt()
