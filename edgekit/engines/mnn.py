"""MNN on the CPU, reading `.mnn`."""

from time import perf_counter_ns
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from edgekit.engines.worker.engine import (
    Engine,
    Inputs,
    LayerTimes,
    check_inputs,
    format_shape,
    layer,
    tensor,
)
from edgekit.engines.worker.process import tasks
from edgekit.engines.worker.refusal import RefusedError

RECORD: Dict[str, Any] = {
    "name": "mnn",
    "summary": "MNN, one session; float32 arithmetic unless a lower precision is asked for",
    "host": {
        "artifacts": {"fp32": "mnn", "fp16": "mnn-fp16", "int8": "mnn-int8"},
        "packages": [{"distribution": "MNN", "module": "MNN"}],
        "install": "pip install 'edgekit[mnn]'",
        "layer_times": True,
        "options": {
            "mnn_precision": {
                "values": ["high", "normal", "low"],
                "help": "arithmetic of MNN; low is float16 on ARM cores that have it, and float32 on x86-64",
                "by_precision": {"fp16": "low"},
            },
            "mnn_winograd": {
                "values": ["small", "large"],
                "help": "tiles of Winograd's convolutions; large, MNN's default, is quicker, less exact",
            },
            "mnn_memory": {
                "values": ["normal", "low", "high"],
                "help": "low computes quantised weights as they are, and rounds activations to int8",
            },
            "mnn_power": {
                "values": ["normal", "low", "high"],
                "help": "cores that MNN prefers where they differ; high are the fast ones",
            },
        },
    },
    "device": {
        "artifacts": {"fp32": "mnn", "fp16": "mnn-fp16"},
        "wheel": {
            "distribution": "MNN",
            "version": "3.6.1",
            "sha256": "7f8fbf264047e81bf66f0b04ef95a8c83b8d5ca0a3670afcf3c0c3b6861de4a5",
            # The converter, whose library is larger than the engine's.
            "leave_out": ["_tools.*", "MNN/tools/*"],
        },
    },
    "rungs": [
        {"artifact": "mnn", "place": 60},
        {"artifact": "mnn-fp16", "place": 62},
        {"artifact": "mnn-int8", "place": 68},
    ],
}
# MNN's Interpreter::HintMode. Large tiles make PP-HGNet tiny differ by 5e-3 of its range, small ones by 2e-5.
_WINOGRAD_MEMORY_LEVEL = 3
# MNN's ErrorCode, as the protocol calls them. MNN resizes a session to sizes that the network cannot take.
_REFUSALS = {
    1: ("memory", "there is not enough memory"),
    3: ("shape", "the network takes no inputs of these sizes"),
}
# numpy's spelling of MNN's types, and attributes of MNN's module with these types.
_TYPES = {"float32": "Halide_Type_Float", "int32": "Halide_Type_Int", "uint8": "Halide_Type_Uint8"}


class Mnn(Engine):
    """One session of fixed shapes; it is resized for inputs of another shape.

    MNN uses the memory of its inputs for other tensors, so that every inference copies the inputs anew.
    """

    record = RECORD

    def __init__(self) -> None:
        super().__init__()
        self._network: Any = None
        self._session: Any = None
        self._inputs: List[Tuple[str, Any]] = []
        self._output_names: List[str] = []
        self._bound: List[Tuple[Any, Any]] = []
        self._shapes: List[Tuple[int, ...]] = []
        self._pool_threads = 0

    def prepare(self) -> str:
        # The engine's own library: the package around it has picture and sound tools, which take longer.
        import _mnncengine

        return str(_mnncengine.version())

    def load(
        self, model: str, params: Optional[str], threads: int, inputs: Inputs, options: Dict[str, str]
    ) -> None:
        import _mnncengine as mnn

        self.options = self.take_options(options)
        try:
            self._network = mnn.Interpreter(model)
        except Exception as error:
            raise RefusedError(
                "model_invalid", "loading {}: MNN refuses it: damaged, or no model of MNN".format(model)
            ) from error
        settings: Dict[str, Any] = {name[len("mnn_") :]: value for name, value in self.options.items()}
        before = tasks()
        if settings.pop("winograd") == "small":
            self._network.setSessionHint(_WINOGRAD_MEMORY_LEVEL, 0)
        settings.update(backend="CPU", numThread=threads)
        self._session = self._network.createSession(settings)
        if self._session is None:
            raise RefusedError("model_invalid", "loading {}: MNN makes no session of it".format(model))
        self._pool_threads = len(tasks() - before)
        found = self._network.getSessionInputAll(self._session)
        order = [one["name"] for one in inputs]
        # MNN gives its tensors by name; the request's order is as good as any where the names are the same.
        names = order if sorted(order) == sorted(found) else sorted(found)
        self._inputs = [(name, found[name]) for name in names]
        check_inputs(self.inputs(), inputs)
        self._resize([tuple(one["shape"]) for one in inputs])
        self._output_names = _output_order(model, list(self._network.getSessionOutputAll(self._session)))

    def inputs(self) -> List[Dict[str, Any]]:
        # Any size can be asked for; the first inference finds those that the network does not take.
        return [tensor(name, _dtype(one), [None] * len(one.getShape())) for name, one in self._inputs]

    def outputs(self) -> List[Dict[str, Any]]:
        found = self._network.getSessionOutputAll(self._session)
        return [tensor(name, _dtype(found[name]), found[name].getShape()) for name in self._output_names]

    def threads(self) -> Optional[int]:
        # The pool starts with the session and holds one thread fewer than asked: the caller's works too.
        return 1 + self._pool_threads

    def bind(self, arrays: Sequence[Any]) -> Callable[[], Any]:
        import _mnncengine as mnn

        shapes = [array.shape for array in arrays]
        if shapes != self._shapes:
            self._resize(shapes)
        self._bound = []
        for (_, target), array in zip(self._inputs, arrays):  # noqa: B905 (Python 3.10)
            kind = getattr(mnn, _TYPES[array.dtype.name])
            host = mnn.Tensor(array.shape, kind, array, mnn.Tensor_DimensionType_Caffe)
            self._bound.append((target, host))
        return self._infer

    def _infer(self) -> None:
        for target, host in self._bound:
            target.copyFrom(host)
        self._check(self._network.runSession(self._session))

    def _check(self, status: int) -> None:
        """Raise RefusedError for an inference that MNN ended early; its outputs are whatever was there."""
        if status != 0:
            sizes = ", ".join(format_shape(shape) for shape in self._shapes)
            code, fault = _REFUSALS.get(status, ("runtime", "MNN ended with error {}".format(status)))
            raise RefusedError(code, "inputs of {}: {}".format(sizes, fault))

    def layer_times(self, arrays: Sequence[Any], runs: int) -> LayerTimes:
        self.bind(arrays)
        layers: List[Dict[str, Any]] = []
        begins: List[int] = []
        ends: List[int] = []
        shapes: List[Tuple[int, ...]] = []

        def describe(tensors: List[Any], _operation: Any) -> bool:
            shapes.append(tensors[0].getShape() if tensors else ())
            return True

        def add(tensors: List[Any], operation: Any) -> bool:
            output = tensors[0].getShape() if tensors else ()
            layers.append(layer(operation.getName(), operation.getType(), shapes[-1], (), output))
            return True

        # MNN calls these right before and right after an operator, which has ended by then.
        def begin(_tensors: List[Any], _operation: Any) -> bool:
            begins.append(perf_counter_ns())
            return True

        def end(_tensors: List[Any], _operation: Any) -> bool:
            ends.append(perf_counter_ns())
            return True

        self._run_watched(describe, add)
        times = []
        for _ in range(runs):
            begins.clear()
            ends.clear()
            self._run_watched(begin, end)
            # Shorten none: a run with another number of operators is refused by who reads it.
            times.append([(after - before) / 1e3 for before, after in zip(begins, ends)])  # noqa: B905
        return layers, times

    def _run_watched(
        self, before: Callable[[List[Any], Any], bool], after: Callable[[List[Any], Any], bool]
    ) -> None:
        for target, host in self._bound:
            target.copyFrom(host)
        self._check(self._network.runSessionWithCallBackInfo(self._session, before, after))

    def results(self) -> List[Any]:
        import _mnncengine as mnn
        import numpy

        found = self._network.getSessionOutputAll(self._session)
        arrays = []
        for name in self._output_names:
            one = found[name]
            kind = _dtype(one)
            if kind not in _TYPES:
                raise RefusedError("unsupported", "output {} is {}".format(name, kind))
            shape = one.getShape()
            empty = numpy.empty(shape, kind)
            host = mnn.Tensor(shape, getattr(mnn, _TYPES[kind]), empty, mnn.Tensor_DimensionType_Caffe)
            one.copyToHostTensor(host)
            arrays.append(host.getNumpyData().reshape(shape).copy())
        return arrays

    def _resize(self, shapes: List[Tuple[int, ...]]) -> None:
        for (_, target), shape in zip(self._inputs, shapes):  # noqa: B905 (Python 3.10)
            self._network.resizeTensor(target, shape)
        self._network.resizeSession(self._session)
        self._shapes = shapes


def _dtype(one: Any) -> str:
    import _mnncengine as mnn

    kind = one.getDataType()
    return next((name for name, own in _TYPES.items() if getattr(mnn, own) == kind), "unknown")


def _output_order(model: str, found: List[str]) -> List[str]:
    """Return the names of the outputs in the order of the file, which a session does not tell."""
    if len(found) == 1:
        return found
    import _mnncengine as mnn

    own = mnn._expr
    module = mnn._nn.load_module_from_file(
        None, [], [], model, False, False, False, own.Backend.CPU, own.MemoryMode.Normal,
        own.PowerMode.Normal, own.PrecisionMode.High, 1,
    )  # fmt: skip
    names = list(module.get_info()["outputNames"])
    if sorted(names) != sorted(found):
        raise RefusedError(
            "model_invalid",
            "loading {}: its outputs are {}, its session has {}".format(model, names, found),
        )
    return names


ENGINE = Mnn
