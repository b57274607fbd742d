"""ONNX Runtime on an NVIDIA GPU, by its TensorRT provider; CUDA's takes what TensorRT leaves."""

import contextlib
import sys
from typing import Any, Dict, List

from edgekit.engines.onnxruntime_cuda import OnnxRuntimeCuda, Provider
from edgekit.engines.worker.engine import Inputs
from edgekit.engines.worker.tensorrt_cache import engine_directory

RECORD: Dict[str, Any] = {
    "name": "onnxruntime-tensorrt",
    "summary": "ONNX Runtime on an NVIDIA GPU with TensorRT",
    "host": {
        "artifacts": {"fp32": "onnx", "fp16": "onnx"},
        "packages": [{"distribution": "onnxruntime-gpu", "module": "onnxruntime"}],
        "install": "pip uninstall onnxruntime && pip install 'edgekit[gpu]'",
        "gpu": True,
        "options": {
            "device": {"values": list("01234567"), "help": "which GPU, as CUDA numbers them"},
            "fp16": {"values": ["off", "on"], "by_precision": {"fp16": "on"}},
        },
    },
}


class OnnxRuntimeTensorRt(OnnxRuntimeCuda):
    """Keeps TensorRT's built engines beside the artifact."""

    record = RECORD
    provider = "TensorrtExecutionProvider"
    library = "libonnxruntime_providers_tensorrt.so"

    def preload(self) -> None:
        super().preload()
        # Importing the wheel loads its libraries; a system installation's are found without the wheel.
        with contextlib.suppress(ImportError):
            import tensorrt  # noqa: F401

    def providers(self, model: str, inputs: Inputs) -> List[Provider]:
        import onnxruntime

        assert self.gpu is not None, "load has described it"
        half = self.options["fp16"] == "on"
        kept = engine_directory(
            model,
            None,
            self.gpu,
            onnxruntime=onnxruntime.__version__,
            tensorrt=getattr(sys.modules.get("tensorrt"), "__version__", "the system's"),
            shapes=[one["shape"] for one in inputs],
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
