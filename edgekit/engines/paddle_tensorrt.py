"""Paddle Inference with TensorRT subgraphs."""

from typing import Any, Dict, Tuple

from edgekit.engines.paddle import last_reason
from edgekit.engines.paddle_gpu import RECORD as PADDLE_GPU
from edgekit.engines.paddle_gpu import PaddleGpu
from edgekit.engines.worker.engine import Inputs
from edgekit.engines.worker.refusal import RefusedError
from edgekit.engines.worker.tensorrt_cache import engine_directory

WORKSPACE_BYTES = 1 << 30
MIN_SUBGRAPH = 3


RECORD: Dict[str, Any] = {
    "name": "paddle-tensorrt",
    "summary": "Paddle Inference on an NVIDIA GPU with TensorRT",
    "host": PADDLE_GPU["host"],
}


class PaddleTensorRt(PaddleGpu):
    """Keeps TensorRT's built engines beside the artifact."""

    record = RECORD

    def configure(self, config: Any, model: str, params: str, inputs: Inputs) -> None:
        import paddle
        from paddle import inference

        assert self.gpu is not None, "load has described it"
        kept = engine_directory(
            model,
            params,
            self.gpu,
            paddle=paddle.__version__,
            tensorrt=require_tensorrt(),
            shapes=[one["shape"] for one in inputs],
            fp16=self._half,
        )
        config.set_optim_cache_dir(kept)
        try:
            config.enable_tensorrt_engine(
                workspace_size=WORKSPACE_BYTES,
                max_batch_size=max([1] + [one["shape"][0] for one in inputs if one["shape"]]),
                min_subgraph_size=MIN_SUBGRAPH,
                precision_mode=inference.PrecisionType.Half
                if self._half
                else inference.PrecisionType.Float32,
                use_static=True,
                use_calib_mode=False,
            )
        except RuntimeError as error:
            raise RefusedError("runtime", "asked for TensorRT: {}".format(last_reason(error))) from error
        if not config.tensorrt_engine_enabled():
            raise RefusedError("runtime", "asked for TensorRT, Paddle Inference says that it goes without")


def require_tensorrt() -> str:
    """Return the version of the TensorRT that Paddle finds; raise RefusedError without TensorRT."""
    from paddle import inference

    built, found = inference.get_trt_compile_version(), inference.get_trt_runtime_version()
    if not any(built):
        raise RefusedError(
            "runtime", "asked for TensorRT, but this Paddle was built without it: install the wheel "
            "paddlepaddle-gpu of Paddle's own index",
        )  # fmt: skip
    if not any(found):
        raise RefusedError(
            "runtime", "asked for TensorRT {}, but Paddle finds no libnvinfer: install the wheel "
            "tensorrt=={}".format(_dotted(built), _dotted(built)),
        )  # fmt: skip
    return _dotted(found)


def _dotted(version: Tuple[int, ...]) -> str:
    return ".".join(map(str, version))


ENGINE = PaddleTensorRt
