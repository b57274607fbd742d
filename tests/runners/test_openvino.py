"""OpenVINO's own account of its precision: real compiled models, quantised by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit.core.spec import Precision
from edgekit.engines.onnxruntime import OnnxRuntime
from edgekit.engines.openvino import OpenVino
from edgekit.engines.registry import host_options
from edgekit.engines.worker.engine import Engine
from edgekit.errors import UnsupportedError
from edgekit.runners.launch import host_launcher
from edgekit.runners.protocol import Load, Loaded, Tensor
from edgekit.runners.session import RunnerSession
from edgekit.targets.host import host_info
from edgekit.transports.local import LocalTransport
from tests.convert.onnx_models import classifier

pytest.importorskip("openvino")

INPUTS = (Tensor(name="input", dtype="float32", shape=(1, 3, 32, 32)),)
HAS_BF16 = bool({"avx512_bf16", "amx_bf16"} & set(host_info().features))


@pytest.fixture(scope="module")
def float_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier(tmp_path_factory.mktemp("openvino") / "float.onnx", batch=1)


@pytest.fixture(scope="module")
def int8_model(float_model: Path) -> Path:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Noise(CalibrationDataReader):
        def __init__(self) -> None:
            random = np.random.default_rng(0)
            pictures = random.standard_normal((8, 1, 3, 32, 32)).astype(np.float32)
            self._feeds: Iterator[dict[str, np.ndarray]] = iter({"input": each} for each in pictures)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._feeds, None)

    target = float_model.with_name("int8.onnx")
    quantize_static(float_model, target, Noise(), quant_format=QuantFormat.QDQ, per_channel=True)
    return target


def load(model: Path, precision: Precision) -> Loaded:
    launcher = host_launcher("openvino")
    options = host_options("openvino", precision, {})
    with RunnerSession(LocalTransport(), launcher.argv, env=launcher.env, label="openvino") as session:
        return session.load(Load(model=str(model), inputs=INPUTS, options=options))


def test_a_quantised_model_is_computed_in_int8(int8_model: Path) -> None:
    loaded = load(int8_model, Precision.INT8)
    assert loaded.layer_precisions.get("int8", 0) >= 1
    assert loaded.options == {"arithmetic": "int8"}


def test_a_float_model_is_computed_in_what_was_asked_for(float_model: Path) -> None:
    assert set(load(float_model, Precision.FP32).layer_precisions) == {"fp32"}
    if HAS_BF16:
        assert "bf16" in load(float_model, Precision.BF16).layer_precisions
    else:
        with pytest.raises(UnsupportedError, match=r"asked for bf16: .* in fp32 here"):
            load(float_model, Precision.BF16)


def test_a_float_model_is_no_int8(float_model: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"asked for int8: .* OpenVINO computes \d in fp32 here"):
        load(float_model, Precision.INT8)


@pytest.mark.parametrize("kind", [OpenVino, OnnxRuntime])
def test_engines_keep_the_input_that_they_read(kind: type[Engine], float_model: Path) -> None:
    """They read it where it lies: once it was freed, benchmarks computed whatever had come there."""
    picture = np.random.default_rng(1).standard_normal((1, 3, 32, 32)).astype(np.float32)
    engine = kind()
    engine.prepare()
    engine.load(str(float_model), None, 1, [msgspec.structs.asdict(one) for one in INPUTS], {})
    engine.bind([picture])()
    expected = engine.results()[0]
    call = engine.bind([picture.copy()])
    others = [np.full_like(picture, np.nan) for _ in range(100)]
    call()
    np.testing.assert_array_equal(engine.results()[0], expected)
    assert len(others) == 100
