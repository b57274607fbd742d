"""The registry of engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.core.artifact import ArtifactKind
from edgekit.core.spec import Precision
from edgekit.engines.registry import (
    WORKER,
    artifact_kind,
    device_engines,
    device_options,
    device_side,
    engine,
    engines,
    host_engines,
    host_options,
    host_side,
    option_variant,
)
from edgekit.errors import ToolError, UnsupportedError, UsageError
from edgekit.runners.launch import host_launcher

GPU_ENGINES = ("paddle-gpu", "paddle-tensorrt", "onnxruntime-cuda", "onnxruntime-tensorrt")


@pytest.mark.parametrize("name", host_engines())
def test_every_host_engine_has_its_file_and_fitting_artifacts(name: str) -> None:
    assert Path(engine(name).file) == WORKER.parent / f"{name.replace('-', '_')}.py"
    side = host_side(name)
    # GPUs compute the float artifact in fp16, OpenVINO in bf16.
    computed = {(each, Precision.FP16) for each in GPU_ENGINES} | {("openvino", Precision.BF16)}
    assert all(
        kind.precision is precision or (name, precision) in computed
        for precision, kind in side.artifacts.items()
    )
    assert not set(side.refused) & set(side.artifacts)


@pytest.mark.parametrize("name", device_engines())
def test_device_engines_read_fitting_artifacts(name: str) -> None:
    side = device_side(name)
    assert all(kind.precision is precision for precision, kind in side.artifacts.items())


def test_names_are_checked_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean onnxruntime"):
        engine("onnxruntim")
    with pytest.raises(UsageError, match="host only"):
        device_side("openvino")
    assert set(host_engines()) | set(device_engines()) == set(engines())


def test_native_runners_take_no_options() -> None:
    assert device_options("onnxruntime", Precision.FP32, {"onednn": "off"}) == {}, "another engine's"
    assert device_options("onnxruntime-python", Precision.FP32, {"spinning": "off"}) == {}
    with pytest.raises(UsageError, match="its native runner has no option spinning"):
        device_options("onnxruntime", Precision.FP32, {"spinning": "off"})


def test_paddle_lites_backend_chooses_the_artifact_on_devices() -> None:
    side = device_side("paddlelite")
    options = device_options("paddlelite", Precision.FP32, {"backend": "opencl"})
    assert artifact_kind("paddlelite", side, Precision.FP32, options) is ArtifactKind.NB_OPENCL
    assert artifact_kind("paddlelite", side, Precision.FP32, {"backend": "cpu"}) is ArtifactKind.NB_ARM
    assert option_variant("paddlelite", options) == "backend=opencl"
    with pytest.raises(UnsupportedError, match="int8") as refused:
        artifact_kind("paddlelite", side, Precision.INT8, options)
    assert refused.value.hint == "--precision fp32"
    with pytest.raises(UsageError, match="backend=gpu"):
        device_options("paddlelite", Precision.FP32, {"backend": "gpu"})
    with pytest.raises(UsageError, match="on this machine: it has no option backend"):
        host_options("paddlelite", Precision.FP32, {"backend": "opencl"})


def test_paddle_lite_reads_another_artifact_on_each_side() -> None:
    assert artifact_kind("paddlelite", host_side("paddlelite"), Precision.FP32) is ArtifactKind.NB_X86
    assert artifact_kind("paddlelite", device_side("paddlelite"), Precision.FP16) is ArtifactKind.NB_ARM_FP16
    with pytest.raises(UnsupportedError, match="NaN or zeros"):
        artifact_kind("paddlelite", host_side("paddlelite"), Precision.INT8)


def test_options_are_the_engines_own() -> None:
    assert host_options("paddle", Precision.FP32, {"onednn": "off", "spinning": "off"}) == {"onednn": "off"}
    assert host_options("paddle", Precision.INT8, {}) == {"onednn_int8": "on"}
    with pytest.raises(UsageError, match="onednn=maybe"):
        host_options("paddle", Precision.FP32, {"onednn": "maybe"})
    assert option_variant("paddle", {"onednn": "off", "onednn_int8": "off"}) == "onednn=off"
    assert option_variant("paddle", {"onednn": "on", "onednn_int8": "off"}) == ""


def test_without_opt_the_hint_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    monkeypatch.delenv("EDGEKIT_OPT", raising=False)
    with pytest.raises(ToolError) as caught:
        host_launcher("paddlelite", install=False)
    assert caught.value.hint == "edgekit toolchain install opt"
