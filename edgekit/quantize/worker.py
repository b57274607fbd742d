"""The quantisation worker: one process for one route, because Paddle and ONNX Runtime leave much behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit._files import temporary_directory
from edgekit._text import nearest
from edgekit._worker import Stage, serve
from edgekit.errors import InputError, ToolError
from edgekit.quantize.recipes import (
    Bench,
    Found,
    Recipe,
    Sensitivity,
    Trial,
    is_within,
    keep_float,
    reader,
    search,
    sensitivities,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PADDLE_BATCH_SIZE = 10
# ONNX's DequantizeLinear has a scale for each channel from here on.
PER_CHANNEL_OPSET = 13
# `fc` is refused by Paddle's pass, and with `mul` the last layer is quantised as opt expects it.
PADDLE_OPS = ("conv2d", "depthwise_conv2d", "mul", "matmul", "matmul_v2")


class QuantizeJob(msgspec.Struct, frozen=True, kw_only=True):
    """Work order of one quantisation worker.

    Attributes:
        route: `onnx`, or `paddle`.
        model: The float model: `.onnx` or `.pdmodel`.
        params: The `.pdiparams`; None for ONNX.
        input_name: The model's one input.
        calibration: Raw little-endian float32 of all calibration inputs.
        shape: Shape of `calibration`, N first.
        outputs: Files to write: the `.onnx`, or `.pdmodel` and `.pdiparams`.
        search: Whether to measure which settings are closest to float.
        kept_float: Layers that stay float, by the names of their weights.
        float_limit: Share of pictures that may be answered otherwise than by float; layers are kept float
            until that holds. None keeps only `kept_float`.
    """

    route: str
    model: str
    params: str | None
    input_name: str
    calibration: str
    shape: tuple[int, ...]
    outputs: tuple[str, ...]
    search: bool = False
    kept_float: tuple[str, ...] = ()
    float_limit: float | None = None


def work(job: QuantizeJob) -> Iterator[Stage | Trial | Found]:
    """Write the files of `outputs`; where something is looked for, yield trials and then what was found."""
    yield Stage(doing=f"quantising with {job.route}")
    try:
        if job.route == "paddle":
            quantize_paddle(job)
        elif job.search or job.kept_float or job.float_limit is not None:
            yield from choose_onnx(job)
        else:
            quantize_onnx(job)
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
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    prepared = _prepare(job)
    quantize_static(
        prepared,
        job.outputs[0],
        reader(job.input_name, _inputs(job)),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        calibrate_method=CalibrationMethod.MinMax,
    )
    Path(prepared).unlink()


def _prepare(job: QuantizeJob) -> str:
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = job.outputs[0] + ".prepared"
    source = job.model
    model = onnx.load(source)
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 1)
    if opset < PER_CHANNEL_OPSET:
        # As a file: models in memory are not optimised.
        source = f"{job.outputs[0]}.newer"
        onnx.save(onnx.version_converter.convert_version(model, PER_CHANNEL_OPSET), source)
    # Symbolic inference stops at the shapes of a detector's resized feature maps. Quantising needs only the
    # types and sizes that ONNX's own inference finds.
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    if source != job.model:
        Path(source).unlink()
    return prepared


def choose_onnx(job: QuantizeJob) -> Iterator[Trial | Found]:
    """Quantise as `quantize_onnx` does, with settings and float layers that are measured first.

    Raises:
        InputError: A layer to keep float does not exist.
    """
    output = Path(job.outputs[0])
    with temporary_directory("recipes-", output.parent) as scratch:
        bench = Bench(Path(_prepare(job)), job.input_name, _inputs(job), scratch)
        for layer in job.kept_float:
            if layer not in bench.groups:
                near = nearest(layer, bench.groups)
                raise InputError(
                    f"quantising {Path(job.model).name}: it has no layer with the weights {layer!r}",
                    hint=f"did you mean {' or '.join(near)}?" if near else "--keep-float auto finds layers",
                )
        trials: list[Trial] = []
        order: list[Sensitivity] = []
        for trial in search(bench) if job.search else ():
            trials.append(trial)
            yield trial
        recipe = min(trials, key=lambda each: each.rank).recipe if trials else Recipe()
        recipe = msgspec.structs.replace(recipe, kept_float=job.kept_float)
        if job.float_limit is not None:
            yield (start := bench.judge(recipe))
            trials.append(start)
            if not is_within(start, job.float_limit):
                order = sensitivities(bench, recipe)
                kept = []
                for trial in keep_float(bench, recipe, [each.layer for each in order], job.float_limit):
                    kept.append(trial)
                    yield trial
                trials += kept
                recipe = min((start, *kept), key=lambda each: each.rank).recipe
        bench.write(recipe, output)
        yield Found(recipe=recipe, trials=tuple(trials), sensitivities=tuple(order), layers=len(bench.groups))
    Path(job.outputs[0] + ".prepared").unlink()


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
        skip_tensor_list=list(job.kept_float) or None,
    )
    quantization.quantize()
    quantization.save_quantized_model(
        str(target.parent), model_filename=target.name, params_filename=Path(job.outputs[1]).name
    )


if __name__ == "__main__":
    serve(work, QuantizeJob)
