"""Paddle Lite on x86, from the wheel that brings opt."""

import os
import sys
from typing import Any, Callable, Dict, List, Optional

from .engine import Engine, Shape, only_input, take_options, tensor
from .refusal import RefusedError


class PaddleLite(Engine):
    """No options. MobileConfig has no `set_threads` in the x86 wheels: one thread."""

    name = "paddlelite"
    max_threads = 1

    def __init__(self) -> None:
        super().__init__()
        self._predictor: Any = None
        self._rank = 0

    def prepare(self) -> str:
        import paddlelite.lite  # noqa: F401

        return _installed_version(os.path.dirname(sys.modules["paddlelite"].__file__ or ""))

    def load(
        self, model: str, params: Optional[str], threads: int, shape: Shape, options: Dict[str, str]
    ) -> None:
        from paddlelite import lite

        self.options = take_options(options, {})
        config = lite.MobileConfig()
        config.set_model_from_file(model)
        try:
            self._predictor = lite.create_paddle_predictor(config)
        except Exception as error:
            raise RefusedError("model_invalid", "loading {}: {}".format(model, error)) from error
        self._rank = len(shape)
        only_input(self.inputs(), shape)

    # A .nb tells names only; shapes are whatever is fed.
    def inputs(self) -> List[Dict[str, Any]]:
        return [tensor(name, "float32", [None] * self._rank) for name in self._predictor.get_input_names()]

    def outputs(self) -> List[Dict[str, Any]]:
        return [tensor(name, "float32", ()) for name in self._predictor.get_output_names()]

    def threads(self) -> Optional[int]:
        return 1

    def bind(self, array: Any) -> Callable[[], Any]:
        self._predictor.get_input(0).from_numpy(array)
        infer: Callable[[], Any] = self._predictor.run
        return infer

    def output(self) -> Any:
        # .numpy() is a view of memory that the next run overwrites.
        return self._predictor.get_output(0).numpy().copy()


def _installed_version(package: str) -> str:
    """The wheel's version, from its `.dist-info` (importlib.metadata is not in Python 3.7)."""
    for entry in sorted(os.listdir(os.path.dirname(package))):
        if entry.startswith("paddlelite-") and entry.endswith(".dist-info"):
            return entry[len("paddlelite-") : -len(".dist-info")]
    return "unknown"


ENGINE = PaddleLite
