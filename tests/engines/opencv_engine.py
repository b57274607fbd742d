"""An engine that edgekit does not have: OpenCV's dnn module, which reads ONNX."""

from collections.abc import Callable, Sequence
from typing import Any

from edgekit.engines.worker.engine import Engine, Inputs, tensor
from edgekit.engines.worker.refusal import RefusedError

RECORD: dict[str, Any] = {
    "name": "opencv",
    "summary": "OpenCV's dnn module",
    "host": {
        "artifacts": {"fp32": "onnx"},
        "packages": [{"distribution": "opencv-python", "module": "cv2"}],
        "install": "pip install opencv-python",
        "options": {"winograd": {"values": ["on", "off"], "help": "Winograd's convolutions"}},
    },
    "rungs": [{"artifact": "onnx", "place": 25, "name": "onnx-opencv"}],
}


class OpenCv(Engine):
    record = RECORD

    def prepare(self) -> str:
        import cv2

        self._cv2 = cv2
        return str(cv2.__version__)

    def load(
        self, model: str, params: str | None, threads: int, inputs: Inputs, options: dict[str, str]
    ) -> None:
        self.options = self.take_options(options)
        self._cv2.setNumThreads(threads)
        try:
            self._net = self._cv2.dnn.readNetFromONNX(model)
        except self._cv2.error as error:
            raise RefusedError("model_invalid", f"loading {model}: {error}") from error
        self._net.enableWinograd(self.options["winograd"] == "on")
        self._given = list(inputs)
        self._results: list[Any] = []

    def inputs(self) -> list[dict[str, Any]]:
        return self._given

    def outputs(self) -> list[dict[str, Any]]:
        return [tensor(name, "float32", ()) for name in self._net.getUnconnectedOutLayersNames()]

    def threads(self) -> int | None:
        return int(self._cv2.getNumThreads())

    def bind(self, arrays: Sequence[Any]) -> Callable[[], Any]:
        for one, array in zip(self._given, arrays, strict=True):
            self._net.setInput(array, one["name"])

        def infer() -> None:
            self._results = list(self._net.forward(self._net.getUnconnectedOutLayersNames()))

        return infer

    def results(self) -> list[Any]:
        return self._results


ENGINE = OpenCv
