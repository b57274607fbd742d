"""Paddle Inference on the CPU."""

import importlib
import importlib.util
import os
import re
import sys
from types import ModuleType
from typing import Any, Callable, Dict, List, Optional, Sequence

from edgekit.engines.worker.engine import Engine, Inputs, check_inputs, tensor
from edgekit.engines.worker.refusal import RefusedError

RECORD: Dict[str, Any] = {
    "name": "paddle",
    "summary": "Paddle Inference, oneDNN kernels",
    "host": {
        "artifacts": {"fp32": "paddle", "int8": "paddle-int8"},
        "packages": [
            {"distribution": "paddlepaddle", "module": "paddle", "also_for": "export"},
            {"distribution": "paddlepaddle-gpu", "module": "paddle"},
        ],
        "interpreter": "paddle",
        "install": "pip install 'edgekit[paddle]'",
        "options": {
            "onednn": {"values": ["on", "off"], "help": "oneDNN's kernels"},
            # Int8 kernels for a quantised program.
            "onednn_int8": {"values": ["off", "on"], "by_precision": {"int8": "on"}},
        },
    },
    "rungs": [
        {"artifact": "paddle", "place": 10},
        {"artifact": "paddle-int8", "place": 40},
        # Run the quantised program as Paddle's training would: in float that rounds like int8.
        {
            "artifact": "paddle-int8",
            "place": 60,
            "name": "paddle-int8-simulated",
            "options": {"onednn": "off", "onednn_int8": "off"},
        },
    ],
}

# A program's names of types that numpy spells otherwise.
_DTYPES = {"FP32": "float32", "FP16": "float16", "FP64": "float64"}


class PaddleInference(Engine):
    """Runs Paddle's inference core without importing the framework."""

    record = RECORD

    def __init__(self) -> None:
        super().__init__()
        self._inference: Any = None
        self._config: Any = None
        self._predictor: Any = None
        self._inputs: List[Dict[str, Any]] = []
        self._outputs: List[Dict[str, Any]] = []

    def prepare(self) -> str:
        self._inference = import_core()
        return str(importlib.import_module("paddle.version").full_version)

    def load(
        self, model: str, params: Optional[str], threads: int, inputs: Inputs, options: Dict[str, str]
    ) -> None:
        self.options = self.take_options(options)
        if params is None:
            raise RefusedError(
                "request", "loading {}: Paddle needs the parameter file, params is null".format(model)
            )
        config = self._inference.AnalysisConfig(model, params)
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
            self._predictor = self._inference.create_predictor(config)
        except Exception as error:
            raise RefusedError("model_invalid", "loading {}: {}".format(model, last_reason(error))) from error
        self._config = config
        self.describe(model, inputs)

    def describe(self, model: str, inputs: Inputs) -> None:
        """Read types and shapes off the program, because a predictor knows names alone before it has run.

        Raises RefusedError where the model takes other inputs.
        """
        core: Any = importlib.import_module("paddle.base.libpaddle")
        with open(model, "rb") as file:
            program = core.ProgramDesc(file.read())
        block = program.block(0)  # of the program, which does not live by its block

        def described(names: Sequence[str]) -> List[Dict[str, Any]]:
            found = [(name, block.find_var(name.encode())) for name in names]
            return [
                tensor(name, _DTYPES.get(each.dtype().name, each.dtype().name.lower()), each.shape())
                for name, each in found
            ]

        self._inputs = described(self._predictor.get_input_names())
        self._outputs = described(self._predictor.get_output_names())
        check_inputs(self._inputs, inputs)

    def inputs(self) -> List[Dict[str, Any]]:
        return self._inputs

    def outputs(self) -> List[Dict[str, Any]]:
        return self._outputs

    def threads(self) -> Optional[int]:
        return int(self._config.cpu_math_library_num_threads())

    def bind(self, arrays: Sequence[Any]) -> Callable[[], Any]:
        for one, array in zip(self._inputs, arrays):  # noqa: B905 (Python 3.10)
            handle = self._predictor.get_input_handle(one["name"])
            handle.reshape(list(array.shape))
            handle._copy_from_cpu_bind(array)
        infer: Callable[[], Any] = self._predictor.run
        return infer

    def results(self) -> List[Any]:
        return [self._predictor.get_output_handle(one["name"]).copy_to_cpu() for one in self._outputs]


def import_core() -> Any:
    """Import Paddle's C++ core without the framework that `import paddle` loads, unless that is here already.

    The core knows the operators, their shapes and how to infer; the framework takes three times as long and
    twice the memory. `paddle.inference` of 3.1.1 only renames the core's classes and checks types.
    """
    if "paddle" not in sys.modules:
        found = importlib.util.find_spec("paddle")
        if found is None or found.submodule_search_locations is None:
            raise ImportError("No module named 'paddle'")
        for name, inside in (("paddle", ""), ("paddle.base", "base")):
            package = ModuleType(name)
            package.__path__ = [os.path.join(path, inside) for path in found.submodule_search_locations]
            sys.modules[name] = package
    return importlib.import_module("paddle.base.libpaddle")


def last_reason(error: BaseException) -> str:
    """Return the line of a message that names the fault; Paddle puts a C++ stack and hints around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if re.match(r"\(\w+\) |.*Error[:\]]", line)]
    return (reasons or lines or [type(error).__name__])[-1][:300]


ENGINE = PaddleInference
