"""ONNX Runtime on an NVIDIA GPU, by its TensorRT provider."""

import os
from typing import Dict

from .engine_onnxruntime_cuda import OnnxRuntimeCuda


class OnnxRuntimeTensorRt(OnnxRuntimeCuda):
    """Options as `onnxruntime-cuda`, with fp16. TensorRT names its kept engines by model, GPU and version."""

    name = "onnxruntime-tensorrt"
    provider = "TensorrtExecutionProvider"
    precisions = ("off", "on")

    def provider_options(self, model: str) -> Dict[str, str]:
        cache = os.path.join(os.path.dirname(model), ".tensorrt")
        return {
            "device_id": self.options["device"],
            "trt_fp16_enable": "1" if self.options["fp16"] == "on" else "0",
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": cache,
        }


ENGINE = OnnxRuntimeTensorRt
