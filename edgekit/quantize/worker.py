"""The quantisation worker: one process for one route, because Paddle and ONNX Runtime leave much behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit._worker import Stage, serve
from edgekit.errors import ToolError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PADDLE_BATCH_SIZE = 10
# `fc` is refused by Paddle's pass, and with `mul` the last layer is quantised as opt expects it.
PADDLE_OPS = ("conv2d", "depthwise_conv2d", "mul", "matmul", "matmul_v2")


class QuantizeJob(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker does.

    Attributes:
        route: `onnx`, or `paddle`.
        model: The float model: `.onnx` or `.pdmodel`.
        params: The `.pdiparams`; None for ONNX.
        input_name: The model's one input.
        calibration: Raw little-endian float32 of all calibration inputs.
        shape: Shape of `calibration`, N first.
        outputs: Files to write: the `.onnx`, or `.pdmodel` and `.pdiparams`.
    """

    route: str
    model: str
    params: str | None
    input_name: str
    calibration: str
    shape: tuple[int, ...]
    outputs: tuple[str, ...]


def work(job: QuantizeJob) -> Iterator[Stage]:
    """Write the files of `outputs`."""
    yield Stage(doing=f"quantising with {job.route}")
    try:
        {"onnx": quantize_onnx, "paddle": quantize_paddle}[job.route](job)
    except ImportError as error:
        raise ToolError(
            f"quantising {Path(job.model).name}: {error}", hint="pip install 'edgekit[paddle,onnxruntime]'"
        ) from error


def _inputs(job: QuantizeJob) -> NDArray[np.float32]:
    import numpy as np

    # Mapped: a thousand calibration pictures take 600 MB.
    return np.memmap(job.calibration, dtype="<f4", mode="r", shape=job.shape)


def quantize_onnx(job: QuantizeJob) -> None:
    """Static quantisation, QDQ: U8 activations, S8 weights per channel, ranges by minimum and maximum.

    Of the combinations that ONNX Runtime offers this one keeps the answers (per tensor loses 6 % on PP-LCNet)
    and runs on the fast kernels (S8 activations are 2.5 times slower).
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    inputs = _inputs(job)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(range(len(inputs)))

        def get_next(self) -> dict[str, Any] | None:
            index = next(self._left, None)
            return None if index is None else {job.input_name: inputs[index : index + 1]}

    prepared = job.outputs[0] + ".prepared"
    # Symbolic inference stops at the shapes of a detector's resized feature maps. Quantising needs only the
    # types and sizes that ONNX's own inference finds.
    quant_pre_process(job.model, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        job.outputs[0],
        Reader(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        calibrate_method=CalibrationMethod.MinMax,
    )
    Path(prepared).unlink()


def quantize_paddle(job: QuantizeJob) -> None:
    """Post-training quantisation to a program with fake-quantisation operators, as opt reads it.

    Histogram ranges and channel-wise weights: the settings with which opt 2.12 makes an `.nb` of int8 kernels
    whose answers are Paddle's own (`onnx_format=True` makes opt crash).
    """
    import paddle
    from paddle.static.quantization import PostTrainingQuantization

    inputs = _inputs(job)
    batch_size = min(PADDLE_BATCH_SIZE, len(inputs))

    def batches() -> Iterator[dict[str, Any]]:
        for start in range(0, len(inputs) - batch_size + 1, batch_size):
            yield {job.input_name: inputs[start : start + batch_size]}

    paddle.enable_static()
    model, target = Path(job.model), Path(job.outputs[0])
    assert job.params is not None
    quantization = PostTrainingQuantization(
        executor=paddle.static.Executor(paddle.CPUPlace()),
        scope=paddle.static.global_scope(),
        model_dir=str(model.parent),
        model_filename=model.name,
        params_filename=Path(job.params).name,
        data_loader=batches,
        batch_size=batch_size,
        batch_nums=len(inputs) // batch_size,
        algo="hist",
        weight_quantize_type="channel_wise_abs_max",
        quantizable_op_type=list(PADDLE_OPS),
    )
    quantization.quantize()
    quantization.save_quantized_model(
        str(target.parent), model_filename=target.name, params_filename=Path(job.outputs[1]).name
    )


if __name__ == "__main__":
    serve(work, QuantizeJob)
