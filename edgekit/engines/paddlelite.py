"""Paddle Lite on x86, from the wheel that brings opt."""

import os
import sys
from typing import Any, Callable, Dict, List, Optional, Sequence

from edgekit.engines.worker.engine import Engine, Inputs, check_inputs, tensor
from edgekit.engines.worker.refusal import RefusedError

RECORD: Dict[str, Any] = {
    "name": "paddlelite",
    "summary": "Paddle Lite; on the host its x86 kernels, one thread",
    "host": {
        "artifacts": {"fp32": "nb-x86"},
        "refused": {
            "int8": "Paddle Lite's x86 kernels compute NaN or zeros from quantised models",
            "fp16": "Paddle Lite's x86 kernels have no fp16",
        },
        "interpreter": "opt",
        "install": "edgekit toolchain install opt",
        # MobileConfig has no `set_threads` in the x86 wheels.
        "max_threads": 1,
    },
    "device": {
        "artifacts": {"fp32": "nb-arm", "fp16": "nb-arm-fp16", "int8": "nb-arm-int8"},
        "native": {
            "backend": "engine_paddlelite.cc",
            "library": "linked",
            "runtime": "paddlelite-runtime",
            "runtime_module": "edgekit.toolchain.build.paddlelite_runtime",
        },
        "options": {
            "backend": {"values": ["cpu", "opencl"], "help": "processor that computes; opencl is the GPU"}
        },
        "by_option": {"backend=opencl": {"fp32": "nb-opencl"}},
        # The rung of Paddle Lite's int8 is above the simulation of the program that it was made from.
        "below": {"nb-arm-int8": "paddle-int8-simulated"},
    },
    "rungs": [{"artifact": "nb-x86", "place": 30}],
    "app_formats": ["onnx", "nb"],
}


class PaddleLite(Engine):
    """One thread; the shapes of the arrays that it is given apply."""

    record = RECORD

    def __init__(self) -> None:
        super().__init__()
        self._predictor: Any = None
        self._inputs: List[Dict[str, Any]] = []

    def prepare(self) -> str:
        import paddlelite.lite  # noqa: F401

        return _installed_version(os.path.dirname(sys.modules["paddlelite"].__file__ or ""))

    def load(
        self, model: str, params: Optional[str], threads: int, inputs: Inputs, options: Dict[str, str]
    ) -> None:
        from paddlelite import lite

        self.options = self.take_options(options)
        config = lite.MobileConfig()
        config.set_model_from_file(model)
        try:
            self._predictor = lite.create_paddle_predictor(config)
        except Exception as error:
            raise RefusedError("model_invalid", "loading {}: {}".format(model, error)) from error
        # A .nb contains input names only; any type and shape is accepted.
        unknown: Dict[str, Any] = {"dtype": "unknown", "shape": []}
        asked = {one["name"]: one for one in inputs}
        self._inputs = [
            tensor(name, asked.get(name, unknown)["dtype"], [None] * len(asked.get(name, unknown)["shape"]))
            for name in self._predictor.get_input_names()
        ]
        check_inputs(self._inputs, inputs)

    def inputs(self) -> List[Dict[str, Any]]:
        return self._inputs

    def outputs(self) -> List[Dict[str, Any]]:
        return [tensor(name, "float32", ()) for name in self._predictor.get_output_names()]

    def threads(self) -> Optional[int]:
        return 1

    def bind(self, arrays: Sequence[Any]) -> Callable[[], Any]:
        for index, array in enumerate(arrays):
            self._predictor.get_input(index).from_numpy(array)
        infer: Callable[[], Any] = self._predictor.run
        return infer

    def results(self) -> List[Any]:
        # .numpy() is a view of memory that the next run overwrites.
        count = len(self._predictor.get_output_names())
        return [self._predictor.get_output(index).numpy().copy() for index in range(count)]


def _installed_version(package: str) -> str:
    """Return the wheel's version from its `.dist-info` (importlib.metadata is not in Python 3.7)."""
    for entry in sorted(os.listdir(os.path.dirname(package))):
        if entry.startswith("paddlelite-") and entry.endswith(".dist-info"):
            return entry[len("paddlelite-") : -len(".dist-info")]
    return "unknown"


ENGINE = PaddleLite
