"""ONNX Runtime on an NVIDIA GPU, by its CUDA provider."""

import functools
import os
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from edgekit.engines.onnxruntime import OnnxRuntime
from edgekit.engines.worker.engine import Inputs
from edgekit.engines.worker.gpu import describe_gpu
from edgekit.engines.worker.refusal import RefusedError

WHEEL = "onnxruntime-gpu"
CUDA_WHEELS = "onnxruntime-gpu[cuda,cudnn]"
TENSORRT_WHEEL = "tensorrt, in the major version that the library's name ends in"
Provider = Tuple[str, Dict[str, str]]


RECORD: Dict[str, Any] = {
    "name": "onnxruntime-cuda",
    "summary": "ONNX Runtime on an NVIDIA GPU",
    "host": {
        "artifacts": {"fp32": "onnx"},
        "packages": [{"distribution": "onnxruntime-gpu", "module": "onnxruntime"}],
        "install": "pip uninstall onnxruntime && pip install 'edgekit[gpu]'",
        "gpu": True,
        "options": {
            "device": {"values": list("01234567"), "help": "which GPU, as CUDA numbers them"},
            "fp16": {"values": ["off"]},
        },
    },
}


class OnnxRuntimeCuda(OnnxRuntime):
    """Computes on the GPU alone; a layer that the CUDA provider cannot compute is an error."""

    record = RECORD
    provider = "CUDAExecutionProvider"
    library = "libonnxruntime_providers_cuda.so"
    # Memory of inputs and outputs.
    memory = "cuda"

    def load(
        self, model: str, params: Optional[str], threads: int, inputs: Inputs, options: Dict[str, str]
    ) -> None:
        import onnxruntime

        self.options = self.take_options(options)
        available = onnxruntime.get_available_providers()
        if self.provider not in available:
            raise RefusedError(
                "runtime",
                "asked for {}, but onnxruntime {} has only {}: install the wheel {} in its place".format(
                    self.provider, onnxruntime.__version__, ", ".join(available), WHEEL
                ),
            )
        self.gpu = describe_gpu(int(self.options["device"]))
        self.preload()
        self.take_session(self._open(model, threads, self.providers(model, inputs)), inputs)

    def _open(self, model: str, threads: int, providers: List[Provider]) -> Any:
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.log_severity_level = 3
        # A layer that the providers cannot compute must fail and not move to the CPU.
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        try:
            session = onnxruntime.InferenceSession(model, settings, providers=providers, enable_fallback=0)
        except Exception as error:
            reason = self._missing_library() or str(error)
            raise RefusedError("runtime", "loading {}: {}".format(model, reason)) from error
        # A provider whose libraries are missing is left out with no more than a warning.
        used, asked = session.get_providers(), [name for name, _ in providers]
        if used[: len(asked)] != asked:
            reason = self._missing_library() or "the session uses {}".format(", ".join(used))
            raise RefusedError("runtime", "asked for {}: {}".format(", ".join(asked), reason))
        return session

    def _missing_library(self) -> Optional[str]:
        """Return the library that the provider cannot load, and its wheel; None where the provider loads."""
        import ctypes

        import onnxruntime

        capi = os.path.join(os.path.dirname(onnxruntime.__file__), "capi")
        try:
            ctypes.CDLL(os.path.join(capi, self.library))
        except OSError as error:
            wheel = TENSORRT_WHEEL if "libnvinfer" in str(error) else CUDA_WHEELS
            return "{}: install the wheel {}".format(error, wheel)
        return None

    def preload(self) -> None:
        """Load CUDA and cuDNN from their wheels where installed; the loader does not find them itself."""
        import onnxruntime

        onnxruntime.preload_dlls()

    def providers(self, model: str, inputs: Inputs) -> List[Provider]:
        """Return the providers with their options; a later one computes the layers that others cannot."""
        return [(self.provider, {"device_id": self.options["device"]})]

    def threads(self) -> Optional[int]:
        return None

    def bind(self, arrays: Sequence[Any]) -> Callable[[], Any]:
        """Bind all in GPU memory: `run_with_iobinding` waits for the GPU, and copies nothing."""
        import onnxruntime

        device = int(self.options["device"])
        binding = self._session.io_binding()
        copies = []
        for name, array in zip(self._input_names, arrays):  # noqa: B905 (Python 3.10)
            value = onnxruntime.OrtValue.ortvalue_from_numpy(array, self.memory, device)
            binding.bind_ortvalue_input(name, value)
            copies.append(functools.partial(value.update_inplace, array))
        for name in self._output_names:
            binding.bind_output(name, self.memory, device)
        self._binding = binding

        def copy_in() -> None:
            for copy in copies:
                copy()

        self._copy_in = copy_in
        return functools.partial(self._session.run_with_iobinding, binding)

    def copies(self) -> Optional[Tuple[Callable[[], Any], Callable[[], Any]]]:
        return self._copy_in, self.results


ENGINE = OnnxRuntimeCuda
