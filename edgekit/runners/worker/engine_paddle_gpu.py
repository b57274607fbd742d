"""Paddle Inference on an NVIDIA GPU, with Paddle's own kernels."""

from typing import Any, Callable, Dict, Optional

from .engine import Shape, only_input, take_options
from .engine_paddle import PaddleInference, last_line
from .refusal import RefusedError

WHEEL = "paddlepaddle-gpu"
MEMORY_MB = 1024


class PaddleGpu(PaddleInference):
    """Options: `device` (`0` to `7`: which GPU), `fp16` (`off`, `on`: mixed precision)."""

    name = "paddle-gpu"

    def load(
        self, model: str, params: Optional[str], threads: int, shape: Shape, options: Dict[str, str]
    ) -> None:
        from paddle import inference

        self.options = take_options(options, self.known_options())
        if params is None:
            raise RefusedError(
                "request", "loading {}: Paddle needs the parameter file, params is null".format(model)
            )
        require_cuda()
        config = inference.Config(model, params)
        config.disable_glog_info()
        config.enable_memory_optim()
        config.set_cpu_math_library_num_threads(threads)
        precision = inference.PrecisionType.Half if self.options["fp16"] == "on" else None
        if precision is None:
            config.enable_use_gpu(MEMORY_MB, int(self.options["device"]))
        else:
            config.enable_use_gpu(MEMORY_MB, int(self.options["device"]), precision)
        # Without CUDA this logs a line and computes on the CPU.
        if not config.use_gpu():
            raise RefusedError("runtime", "asked for a GPU, Paddle Inference says that it uses the CPU")
        self.configure(config, model, shape)
        try:
            self._predictor = inference.create_predictor(config)
        except Exception as error:
            raise RefusedError("model_invalid", "loading {}: {}".format(model, last_line(error))) from error
        self._config = config
        self._rank = len(shape)
        only_input(self.inputs(), shape)

    def known_options(self) -> Dict[str, Any]:
        """The engine's options, the default first."""
        return {"device": tuple("01234567"), "fp16": ("off", "on")}

    def configure(self, config: Any, model: str, shape: Shape) -> None:
        """What a kind of GPU engine sets in addition."""

    def bind(self, array: Any) -> Callable[[], Any]:
        """The call ends when the GPU has: launches return at once, so a sample without it times nothing."""
        import paddle

        run = super().bind(array)
        synchronize = paddle.device.cuda.synchronize
        device = int(self.options["device"])

        def infer() -> None:
            run()
            synchronize(device)

        return infer


def require_cuda() -> None:
    """Refuse where this Paddle is the CPU build or sees no GPU."""
    import paddle

    if not paddle.is_compiled_with_cuda():
        raise RefusedError(
            "runtime",
            "asked for a GPU, but paddlepaddle {} is the CPU build: install the wheel {} in its place".format(
                paddle.__version__, WHEEL
            ),
        )
    if paddle.device.cuda.device_count() < 1:
        raise RefusedError("runtime", "asked for a GPU, {} sees none: check nvidia-smi".format(WHEEL))


ENGINE = PaddleGpu
