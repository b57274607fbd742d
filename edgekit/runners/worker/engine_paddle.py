"""Paddle Inference on the CPU."""

from typing import Any, Callable, Dict, List, Optional

from .engine import Engine, Shape, only_input, take_options, tensor
from .refusal import RefusedError


class PaddleInference(Engine):
    """Options: `onednn` (`on`, `off`), `onednn_int8` (`off`, `on`: int8 kernels for a quantised program)."""

    name = "paddle"

    def __init__(self) -> None:
        super().__init__()
        self._config: Any = None
        self._predictor: Any = None
        self._rank = 0

    def prepare(self) -> str:
        import paddle
        import paddle.inference

        return str(paddle.__version__)

    def load(
        self, model: str, params: Optional[str], threads: int, shape: Shape, options: Dict[str, str]
    ) -> None:
        from paddle import inference

        self.options = take_options(options, {"onednn": ("on", "off"), "onednn_int8": ("off", "on")})
        if params is None:
            raise RefusedError(
                "request", "loading {}: Paddle needs the parameter file, params is null".format(model)
            )
        config = inference.Config(model, params)
        config.disable_gpu()
        config.disable_glog_info()
        config.enable_memory_optim()
        config.set_cpu_math_library_num_threads(threads)
        if self.options["onednn"] == "on":
            config.enable_mkldnn()
            if self.options["onednn_int8"] == "on":
                config.enable_mkldnn_int8()
        else:
            if self.options["onednn_int8"] == "on":
                raise RefusedError("unsupported", "int8 with onednn=off: its kernels are oneDNN's")
            config.disable_mkldnn()
        if config.use_gpu():
            raise RefusedError("runtime", "asked for the CPU, Paddle Inference says that it uses a GPU")
        if config.mkldnn_enabled() != (self.options["onednn"] == "on"):
            raise RefusedError(
                "unsupported", "this Paddle build does not switch oneDNN {}".format(self.options["onednn"])
            )
        try:
            self._predictor = inference.create_predictor(config)
        except Exception as error:
            raise RefusedError("model_invalid", "loading {}: {}".format(model, last_line(error))) from error
        self._config = config
        self._rank = len(shape)
        only_input(self.inputs(), shape)

    # A predictor tells names and types; a free size and a fixed one look alike before the first run.
    def inputs(self) -> List[Dict[str, Any]]:
        names = self._predictor.get_input_names()
        types = {name: self._predictor.get_input_handle(name).type().name for name in names}
        return [tensor(name, types[name].lower(), [None] * self._rank) for name in names]

    def outputs(self) -> List[Dict[str, Any]]:
        return [tensor(name, "float32", ()) for name in self._predictor.get_output_names()]

    def threads(self) -> Optional[int]:
        return int(self._config.cpu_math_library_num_threads())

    def bind(self, array: Any) -> Callable[[], Any]:
        handle = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        handle.reshape(list(array.shape))
        handle.copy_from_cpu(array)
        infer: Callable[[], Any] = self._predictor.run
        return infer

    def output(self) -> Any:
        return self._predictor.get_output_handle(self._predictor.get_output_names()[0]).copy_to_cpu()


def last_line(error: Exception) -> str:
    """Paddle's messages are a C++ stack with the reason at its end."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if "Error:" in line]
    return (reasons or lines or [type(error).__name__])[-1]


ENGINE = PaddleInference
