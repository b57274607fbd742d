"""Paddle Inference on an NVIDIA GPU, with Paddle's own kernels."""

from typing import Any, Callable, Dict, Optional, Sequence, Tuple

from edgekit.engines.paddle import PaddleInference, last_reason
from edgekit.engines.worker.engine import Inputs
from edgekit.engines.worker.gpu import describe_gpu
from edgekit.engines.worker.refusal import RefusedError

WHEEL = "paddlepaddle-gpu"
MEMORY_MB = 1024


RECORD: Dict[str, Any] = {
    "name": "paddle-gpu",
    "summary": "Paddle Inference on an NVIDIA GPU",
    "host": {
        "artifacts": {"fp32": "paddle", "fp16": "paddle"},
        "packages": [{"distribution": "paddlepaddle-gpu", "module": "paddle"}],
        "install": "install the wheel paddlepaddle-gpu in the place of paddlepaddle",
        "gpu": True,
        "options": {
            "device": {"values": list("01234567"), "help": "which GPU, as CUDA numbers them"},
            "fp16": {"values": ["off", "on"], "by_precision": {"fp16": "on"}},
        },
    },
}


class PaddleGpu(PaddleInference):
    """Computes in fp32, or with `fp16` in Paddle's mixed precision."""

    record = RECORD

    def prepare(self) -> str:
        import paddle
        import paddle.inference

        return str(paddle.__version__)

    def load(
        self, model: str, params: Optional[str], threads: int, inputs: Inputs, options: Dict[str, str]
    ) -> None:
        from paddle import inference

        self.options = self.take_options(options)
        if params is None:
            raise RefusedError(
                "request", "loading {}: Paddle needs the parameter file, params is null".format(model)
            )
        require_cuda_build()
        self.gpu = describe_gpu(self._device)
        config = inference.Config(model, params)
        config.disable_glog_info()
        config.enable_memory_optim()
        config.set_cpu_math_library_num_threads(threads)
        precision = inference.PrecisionType.Half if self._half else inference.PrecisionType.Float32
        config.enable_use_gpu(MEMORY_MB, self._device, precision)
        # Without CUDA, Paddle only logs a line here and computes on the CPU.
        if not config.use_gpu() or config.gpu_device_id() != self._device:
            raise RefusedError(
                "runtime", "asked for GPU {}, Paddle Inference says that it uses another or none".format(
                    self._device
                ),
            )  # fmt: skip
        self.configure(config, model, params, inputs)
        try:
            self._predictor = inference.create_predictor(config)
        except Exception as error:
            raise RefusedError("model_invalid", "loading {}: {}".format(model, last_reason(error))) from error
        self._config = config
        self.describe(model, inputs)

    @property
    def _device(self) -> int:
        return int(self.options["device"])

    @property
    def _half(self) -> bool:
        return self.options["fp16"] == "on"

    def configure(self, config: Any, model: str, params: str, inputs: Inputs) -> None:
        """Set the options of one kind of GPU engine; Paddle's own kernels have none."""

    def bind(self, arrays: Sequence[Any]) -> Callable[[], Any]:
        """Return a call that ends when the GPU has finished; a launch alone returns at once."""
        import paddle

        run = super().bind(arrays)
        synchronize, device = paddle.device.cuda.synchronize, self._device

        def infer() -> None:
            run()
            synchronize(device)

        handles = [self._predictor.get_input_handle(one["name"]) for one in self._inputs]

        def copy_in() -> None:
            for handle, array in zip(handles, arrays):  # noqa: B905 (Python 3.10)
                handle.copy_from_cpu(array)
            synchronize(device)

        self._copy_in = copy_in
        return infer

    def copies(self) -> Optional[Tuple[Callable[[], Any], Callable[[], Any]]]:
        # Copying to the host waits for the GPU.
        return self._copy_in, self.results


def require_cuda_build() -> None:
    """Raise RefusedError where this Paddle is the CPU build."""
    import paddle

    if not paddle.is_compiled_with_cuda():
        raise RefusedError(
            "runtime",
            "asked for a GPU, but paddlepaddle {} is the CPU build: install the wheel {} in its place".format(
                paddle.__version__, WHEEL
            ),
        )


ENGINE = PaddleGpu
