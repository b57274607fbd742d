"""Paddle Inference with TensorRT subgraphs."""

import hashlib
import os
from typing import Any

from .engine import Shape
from .engine_paddle_gpu import PaddleGpu

WORKSPACE_BYTES = 1 << 30
MIN_SUBGRAPH = 3


class PaddleTensorRt(PaddleGpu):
    """Options as `paddle-gpu`. Built engines are kept beside the artifact, by its hash, GPU and versions."""

    name = "paddle-tensorrt"

    def configure(self, config: Any, model: str, shape: Shape) -> None:
        from paddle import inference

        half = self.options["fp16"] == "on"
        config.set_optim_cache_dir(_cache(model, int(self.options["device"]), tuple(shape), half))
        config.enable_tensorrt_engine(
            workspace_size=WORKSPACE_BYTES,
            max_batch_size=shape[0],
            min_subgraph_size=MIN_SUBGRAPH,
            precision_mode=inference.PrecisionType.Half if half else inference.PrecisionType.Float32,
            use_static=True,
            use_calib_mode=False,
        )


def _cache(model: str, device: int, shape: Shape, half: bool) -> str:
    """The directory for engines of this artifact, GPU, shape, precision and versions; made if need be."""
    import paddle

    with open(model, "rb") as file:
        digest = hashlib.sha256(file.read())
    gpu = paddle.device.cuda.get_device_name(device)
    about = (gpu, paddle.__version__, paddle.version.tensorrt(), paddle.version.cuda(), tuple(shape), half)
    digest.update(repr(about).encode())
    directory = os.path.join(os.path.dirname(model), ".tensorrt", digest.hexdigest()[:16])
    os.makedirs(directory, exist_ok=True)
    return directory


ENGINE = PaddleTensorRt
