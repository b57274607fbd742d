"""ONNX Runtime on an NVIDIA GPU, by its CUDA provider."""

import functools
from typing import Any, Callable, Dict, Optional, Tuple

from .engine import Shape, only_input, take_options
from .engine_onnxruntime import OnnxRuntime
from .refusal import RefusedError

WHEEL = "onnxruntime-gpu"


class OnnxRuntimeCuda(OnnxRuntime):
    """Options: `device` (`0` to `7`: which GPU), `fp16` (`off`, `on`: where the provider computes in it)."""

    name = "onnxruntime-cuda"
    provider = "CUDAExecutionProvider"
    precisions: Tuple[str, ...] = ("off",)

    def load(
        self, model: str, params: Optional[str], threads: int, shape: Shape, options: Dict[str, str]
    ) -> None:
        import onnxruntime

        self.options = take_options(options, {"device": tuple("01234567"), "fp16": self.precisions})
        available = onnxruntime.get_available_providers()
        if self.provider not in available:
            raise RefusedError(
                "runtime",
                "asked for {}, but onnxruntime {} has only {}: install the wheel {} in its place".format(
                    self.provider, onnxruntime.__version__, ", ".join(available), WHEEL
                ),
            )
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.log_severity_level = 3
        # What the provider cannot compute must fail and not move to the CPU.
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        try:
            session = onnxruntime.InferenceSession(
                model, settings, providers=[(self.provider, self.provider_options(model))]
            )
        except Exception as error:
            raise RefusedError("runtime", "loading {}: {}".format(model, error)) from error
        # A provider whose libraries are missing is replaced by the CPU with no more than a warning.
        if session.get_providers()[0] != self.provider:
            raise RefusedError(
                "runtime", "asked for {}, the session uses {}".format(self.provider, session.get_providers())
            )
        self._session = session
        only_input(self.inputs(), shape)

    def provider_options(self, model: str) -> Dict[str, str]:
        """What the provider is told."""
        return {"device_id": self.options["device"]}

    def threads(self) -> Optional[int]:
        return None

    def bind(self, array: Any) -> Callable[[], Any]:
        """Input and output lie on the GPU: a sample holds no copy; `run_with_iobinding` waits for the GPU."""
        import onnxruntime

        device = int(self.options["device"])
        binding = self._session.io_binding()
        value = onnxruntime.OrtValue.ortvalue_from_numpy(array, "cuda", device)
        binding.bind_ortvalue_input(self._session.get_inputs()[0].name, value)
        binding.bind_output(self._session.get_outputs()[0].name, "cuda", device)
        self._binding = binding
        return functools.partial(self._session.run_with_iobinding, binding)


ENGINE = OnnxRuntimeCuda
