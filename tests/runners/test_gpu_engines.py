"""GPU engines where there is no GPU: what would run on the CPU is an error that names the missing wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.convert.manifest import load_manifest
from edgekit.core.spec import Precision
from edgekit.errors import RunnerError
from edgekit.runners.engines import artifact_kind, host_launcher, host_options, host_side
from edgekit.runners.protocol import Load
from edgekit.runners.session import RunnerSession
from edgekit.transports.local import LocalTransport

WHEELS = {
    "paddle-gpu": "paddlepaddle-gpu",
    "paddle-tensorrt": "paddlepaddle-gpu",
    "onnxruntime-cuda": "onnxruntime-gpu",
    "onnxruntime-tensorrt": "onnxruntime-gpu",
}


def has_gpu_wheel(engine: str) -> bool:
    if engine.startswith("paddle"):
        return bool(pytest.importorskip("paddle").is_compiled_with_cuda())
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
                Load(
                    model=files[0], params=files[1] if len(files) > 1 else None,
                    input_shape=(1, 3, 224, 224), options=host_options(engine, Precision.FP32, {}),
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
