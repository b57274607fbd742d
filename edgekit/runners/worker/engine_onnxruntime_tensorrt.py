"""ONNX Runtime on an NVIDIA GPU, by its TensorRT provider; CUDA's takes what TensorRT leaves."""

import contextlib
import sys
from typing import List

from .engine import Shape
from .engine_onnxruntime_cuda import OnnxRuntimeCuda, Provider
from .tensorrt_cache import engine_directory


class OnnxRuntimeTensorRt(OnnxRuntimeCuda):
    """Options as `onnxruntime-cuda`, with fp16; engines are kept beside the artifact."""

    name = "onnxruntime-tensorrt"
    provider = "TensorrtExecutionProvider"
    library = "libonnxruntime_providers_tensorrt.so"
    precisions = ("off", "on")

    def preload(self) -> None:
        super().preload()
        # The wheel loads its libraries when it is imported; a system's own are found without it.
        with contextlib.suppress(ImportError):
            import tensorrt  # noqa: F401

    def providers(self, model: str, shape: Shape) -> List[Provider]:
        import onnxruntime

        assert self.gpu is not None, "load has described it"
        half = self.options["fp16"] == "on"
        kept = engine_directory(
            model,
            None,
            self.gpu,
            onnxruntime=onnxruntime.__version__,
            tensorrt=getattr(sys.modules.get("tensorrt"), "__version__", "the system's"),
            shape=list(shape),
            fp16=half,
        )
        tensorrt = {
            "device_id": self.options["device"],
            "trt_fp16_enable": "1" if half else "0",
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": kept,
        }
        cuda = ("CUDAExecutionProvider", {"device_id": self.options["device"]})
        return [(self.provider, tensorrt), cuda]


ENGINE = OnnxRuntimeTensorRt
