"""A worker whose engine is `onnxruntime-cuda` in all but the GPU: the real ONNX Runtime's CPU computes."""

from __future__ import annotations

import sys
from typing import Any

import onnxruntime

from edgekit.engines.onnxruntime_cuda import OnnxRuntimeCuda
from edgekit.engines.worker.loop import Worker, _own_stdout


class InHostMemory(OnnxRuntimeCuda):
    """Binds, copies and describes as on a GPU, but its memory is the host's."""

    provider = "CPUExecutionProvider"
    memory = "cpu"

    def _open(self, model: str, threads: int, providers: Any) -> Any:
        # The option that forbids the CPU excludes its provider.
        return onnxruntime.InferenceSession(model, providers=[self.provider])


if __name__ == "__main__":
    raise SystemExit(Worker(InHostMemory()).serve(sys.stdin, _own_stdout()))
