"""ONNX Runtime on devices by its Python package, beside the native runner."""

import os
from typing import Any, Dict, Optional

from edgekit.engines.onnxruntime import OnnxRuntime
from edgekit.engines.worker.engine import Inputs

RECORD: Dict[str, Any] = {
    "name": "onnxruntime-python",
    "summary": "ONNX Runtime by its Python package",
    "device": {
        "artifacts": {"fp32": "onnx", "int8": "onnx-int8"},
        "wheel": {
            "distribution": "onnxruntime",
            "version": "1.23.2",
            "sha256": "bbfd2fca76c855317568c1b36a885ddea2272c13cb0e395002c402f2360429a6",
            # The package's own library contains all of libonnxruntime.so.
            "leave_out": [
                "onnxruntime/capi/libonnxruntime.so*",
                "onnxruntime/capi/libonnxruntime_providers_shared.so",
                "onnxruntime/transformers/*",
                "onnxruntime/quantization/*",
                "onnxruntime/tools/*",
                "onnxruntime/datasets/*",
            ],
        },
    },
}


class OnnxRuntimePython(OnnxRuntime):
    """Threads sleep where OMP_WAIT_POLICY is passive, as the native runner's do: polling would be counted."""

    def load(
        self, model: str, params: Optional[str], threads: int, inputs: Inputs, options: Dict[str, str]
    ) -> None:
        if os.environ.get("OMP_WAIT_POLICY") == "passive":
            options = {"spinning": "off", **options}
        super().load(model, params, threads, inputs, options)

    @property
    def name(self) -> str:
        return str(RECORD["name"])


ENGINE = OnnxRuntimePython
