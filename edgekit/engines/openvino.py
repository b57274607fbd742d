"""OpenVINO on the CPU, reading ONNX."""

import functools
import sys
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from edgekit.engines.worker.engine import Engine, Inputs, check_inputs, format_shape, tensor
from edgekit.engines.worker.refusal import RefusedError

# Values of the option, and OpenVINO's names of element types, as edgekit's precisions.
_ARITHMETIC = {"f32": "fp32", "bf16": "bf16", "int8": "int8"}
_PRECISIONS = {"f32": "fp32", "f16": "fp16", "u8": "int8", "i8": "int8"}
# Layers that hold nearly all of a classifier's operations.
_PRODUCTS = ("Convolution", "FullyConnected", "MatMul")
_DTYPES = {
    "f32": "float32", "f16": "float16", "f64": "float64", "i64": "int64", "i32": "int32", "i8": "int8",
    "u8": "uint8", "boolean": "bool",
}  # fmt: skip


RECORD: Dict[str, Any] = {
    "name": "openvino",
    "summary": "OpenVINO on ONNX, static shapes; float32 arithmetic unless bf16 is asked for",
    "host": {
        "artifacts": {"fp32": "onnx", "int8": "onnx-int8", "bf16": "onnx"},
        "packages": [{"distribution": "openvino", "module": "openvino"}],
        "install": "pip install 'edgekit[openvino]'",
        "options": {
            "arithmetic": {
                "values": ["f32", "bf16", "int8"],
                "by_precision": {"bf16": "bf16", "int8": "int8"},
            }
        },
    },
}


class OpenVino(Engine):
    """Runs a compiled model; with bf16 or int8 at least one layer must compute in that precision.

    The inputs are made static: a free batch costs up to 1.7 times.
    """

    record = RECORD

    def __init__(self) -> None:
        super().__init__()
        self._compiled: Any = None
        self._request: Any = None
        self._bound: List[Any] = []
        self._names: List[str] = []
        self._shapes: List[Tuple[int, ...]] = []

    def prepare(self) -> str:
        # OpenVINO's converter from other frameworks and its telemetry take a third of the import.
        # The package works without them, as in its runtime-only builds.
        modules: Dict[str, Any] = sys.modules
        modules.setdefault("openvino.tools.ovc", None)
        import openvino

        return str(openvino.__version__).partition("-")[0]

    def load(
        self, model: str, params: Optional[str], threads: int, inputs: Inputs, options: Dict[str, str]
    ) -> None:
        import openvino

        self.options = self.take_options(options)
        arithmetic = self.options["arithmetic"]
        core = openvino.Core()
        try:
            network = core.read_model(model)
        except Exception as error:
            raise RefusedError("model_invalid", "loading {}: {}".format(model, error)) from error
        self._names = [one["name"] for one in inputs]
        check_inputs(_describe(network.inputs, self._names), inputs)
        shapes = {index: openvino.PartialShape(one["shape"]) for index, one in enumerate(inputs)}
        network.reshape(shapes)
        # Without the hint CPUs with bfloat16 compute in bfloat16: 0.05 off on a score of 0.45.
        wanted = {
            "INFERENCE_PRECISION_HINT": "bf16" if arithmetic == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        self._compiled = core.compile_model(network, "CPU", wanted)
        self.layer_precisions = _layer_precisions(self._compiled.get_runtime_model())
        precision = _ARITHMETIC[arithmetic]
        # A CPU without bfloat16 or int8 instructions, or a float model, computes in another precision.
        if precision not in (self.layer_precisions or {"fp32": 0}):
            taken = ", ".join(
                "{} in {}".format(count, name) for name, count in sorted(self.layer_precisions.items())
            )
            raise RefusedError(
                "unsupported",
                "asked for {}: of its convolutions and matrix products OpenVINO computes {} here".format(
                    precision, taken or "none"
                ),
            )
        self._request = self._compiled.create_infer_request()
        self._shapes = [tuple(one["shape"]) for one in inputs]

    def inputs(self) -> List[Dict[str, Any]]:
        return _describe(self._compiled.inputs, self._names)

    def outputs(self) -> List[Dict[str, Any]]:
        return _describe(self._compiled.outputs, ())

    def threads(self) -> Optional[int]:
        return int(self._compiled.get_property("INFERENCE_NUM_THREADS"))

    def bind(self, arrays: Sequence[Any]) -> Callable[[], Any]:
        import openvino
        from openvino import _pyopenvino

        for index, array in enumerate(arrays):
            if array.shape != self._shapes[index]:
                raise RefusedError(
                    "shape",
                    "input {}: loaded for {}, given {}".format(
                        self._names[index], format_shape(self._shapes[index]), format_shape(array.shape)
                    ),
                )
            self._request.set_input_tensor(index, openvino.Tensor(array, shared_memory=True))
        self._bound = list(arrays)  # the request reads the arrays in place, and does not keep them
        # The method below the public infer(), which copies the outputs each time; start_async() and wait()
        # compute on a thread of their own, which has to wake up.
        return functools.partial(_pyopenvino.InferRequest.infer, self._request, {}, True, False)

    def results(self) -> List[Any]:
        return [each.data.copy() for each in self._request.output_tensors]


def _layer_precisions(model: Any) -> Dict[str, int]:
    """Count the convolutions and matrix products of a compiled model by the precision of their arithmetic."""
    counts: Dict[str, int] = {}
    for layer in model.get_ops():
        info = layer.get_rt_info()
        if info["layerType"].astype(str) in _PRODUCTS:
            name = info["runtimePrecision"].astype(str)
            precision = _PRECISIONS.get(name, name)
            counts[precision] = counts.get(precision, 0) + 1
    return counts


def _describe(ports: Any, names: Sequence[str]) -> List[Dict[str, Any]]:
    """Describe ports; of the several names of a port, one of `names` is taken where it is among them."""
    return [
        tensor(
            next((name for name in names if name in port.get_names()), None) or port.get_any_name(),
            _DTYPES.get(port.element_type.get_type_name(), port.element_type.get_type_name()),
            [size.get_length() if size.is_static else None for size in port.partial_shape],
        )
        for port in ports
    ]


ENGINE = OpenVino
