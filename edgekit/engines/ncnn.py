"""ncnn on the CPU, reading `.param` and `.bin`."""

import os
import sys
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

_SWITCH = ["on", "off"]

RECORD: Dict[str, Any] = {
    "name": "ncnn",
    "summary": "ncnn, one input at a time; float32 arithmetic unless fp16 is asked for",
    "host": {
        "artifacts": {"fp32": "ncnn", "fp16": "ncnn-fp16"},
        "refused": {"int8": "edgekit makes no int8 files for ncnn, whose packages lack the calibration tool"},
        "packages": [{"distribution": "ncnn", "module": "ncnn"}],
        "install": "pip install 'edgekit[ncnn]'",
        "layer_times": True,
        "options": {
            "ncnn_fp16": {
                "values": ["off", "on"],
                "help": "float16 storage, and arithmetic on cores that have it",
                "by_precision": {"fp16": "on"},
            },
            "ncnn_winograd": {"values": _SWITCH, "help": "Winograd's algorithm for 3x3 convolutions"},
            "ncnn_packing": {"values": _SWITCH, "help": "layouts with several channels side by side"},
        },
    },
    "device": {
        "artifacts": {"fp32": "ncnn", "fp16": "ncnn-fp16"},
        "wheel": {
            "distribution": "ncnn",
            "version": "1.0.20261020",
            "sha256": "0503da4f3960ee2e555feef55db13adffd6c62eb59a4bd22f8083b12d1757ad8",
            "leave_out": ["ncnn/model_zoo/*", "ncnn/utils/*"],
        },
    },
    "rungs": [{"artifact": "ncnn", "place": 64}, {"artifact": "ncnn-fp16", "place": 66}],
}
_TYPES = ("float32", "int32")
# A network that computes nothing, and starts ncnn's threads.
_RELU = "7767517\n2 2\nInput in0 0 1 in0\nReLU relu 1 1 in0 out0\n"
# Parameters of the Input layer with its sizes, from the first axis to the last.
_SIZES = ("2", "11", "1", "0")


class Ncnn(Engine):
    """One network, which computes from copies of its inputs."""

    record = RECORD

    def __init__(self) -> None:
        super().__init__()
        self._network: Any = None
        self._inputs: List[Dict[str, Any]] = []
        # Sizes of the inputs in ncnn, which has no axis for the batch of most networks.
        self._sizes: List[Tuple[int, ...]] = []
        self._output_names: List[str] = []
        self._drops_batch = False
        self._bound: List[Tuple[str, Any]] = []
        self._computed: List[Any] = []
        self._threads = 0

    def prepare(self) -> str:
        import ncnn

        return str(ncnn.__version__)

    def load(
        self, model: str, params: Optional[str], threads: int, inputs: Inputs, options: Dict[str, str]
    ) -> None:
        import ncnn

        self.options = self.take_options(options)
        if params is None:
            raise RefusedError("model_invalid", "loading {}: it comes with no .bin".format(model))
        self._threads = _start_threads(threads)
        self._network = ncnn.Net()
        self._configure(self._network.opt, threads)
        sizes = _read_sizes(model)
        if self._network.load_param(model) != 0:
            raise RefusedError("model_invalid", "loading {}: ncnn refuses it".format(model))
        _load_weights(self._network, model, params)
        names = list(self._network.input_names())
        self._sizes = [sizes.get(name, ()) for name in names]
        if not all(self._sizes):
            raise RefusedError("model_invalid", "loading {}: its inputs have no sizes".format(model))
        self._output_names = sorted(self._network.output_names(), key=_output_place)
        asked = {one["name"]: one for one in inputs}
        # A `.param` says nothing of types: numbers of 32 bits go in as they are.
        given = [asked.get(name, {"dtype": "float32", "shape": ()}) for name in names]
        self._drops_batch = any(
            len(one["shape"]) > len(size)
            for one, size in zip(given, self._sizes)  # noqa: B905 (Python 3.10)
        )
        self._inputs = [
            tensor(
                name,
                one["dtype"] if one["dtype"] in _TYPES else _TYPES[0],
                [1, *size] if self._drops_batch else size,
            )
            for name, one, size in zip(names, given, self._sizes)  # noqa: B905 (Python 3.10)
        ]
        check_inputs(self._inputs, inputs)

    def _configure(self, settings: Any, threads: int) -> None:
        settings.num_threads = threads
        settings.use_vulkan_compute = False
        # ncnn's own default stores and computes in float16 wherever the core can.
        lower = self.options["ncnn_fp16"] == "on"
        settings.use_fp16_packed = settings.use_fp16_storage = settings.use_fp16_arithmetic = lower
        settings.use_bf16_packed = settings.use_bf16_storage = False
        winograd = self.options["ncnn_winograd"] == "on"
        settings.use_winograd_convolution = winograd
        settings.use_packing_layout = self.options["ncnn_packing"] == "on"

    def inputs(self) -> List[Dict[str, Any]]:
        return self._inputs

    def outputs(self) -> List[Dict[str, Any]]:
        return [tensor(name, "float32", ()) for name in self._output_names]

    def threads(self) -> Optional[int]:
        return self._threads

    def bind(self, arrays: Sequence[Any]) -> Callable[[], Any]:
        import ncnn

        self._bound = []
        for one, size, array in zip(self._inputs, self._sizes, arrays):  # noqa: B905 (Python 3.10)
            if list(array.shape) != list(one["shape"]):
                raise RefusedError(
                    "shape",
                    "input {}: loaded for {}, given {}".format(
                        one["name"], format_shape(one["shape"]), format_shape(array.shape)
                    ),
                )
            # Layers that work in place spare a matrix with memory of its own, and end the process on others.
            self._bound.append((one["name"], ncnn.Mat(array.reshape(size)).clone()))
        return self._infer

    def _infer(self) -> None:
        extractor = self._network.create_extractor()
        for name, matrix in self._bound:
            extractor.input(name, matrix)
        self._computed = [extractor.extract(name) for name in self._output_names]
        for name, (status, _) in zip(self._output_names, self._computed):  # noqa: B905 (Python 3.10)
            if status != 0:
                raise RefusedError("runtime", "output {}: ncnn ended with {}".format(name, status))

    def layer_times(self, arrays: Sequence[Any], runs: int) -> LayerTimes:
        """Time each layer as the difference of two reads of its output.

        An extractor computes what it is asked for, then copies it into ncnn's plain layout. It keeps what it
        computed, so that the second read is the copy alone. Differences of layers that cost less than the
        clock's noise may be negative.
        """
        self.bind(arrays)
        found = [one for one in self._network.layers() if one.type != "Input" and one.tops]
        layers: List[Dict[str, Any]] = []
        times = []
        for run in range(runs + 1):
            extractor = self._network.create_extractor()
            for name, matrix in self._bound:
                extractor.input(name, matrix)
            row = []
            for one in found:
                blob = one.tops[-1]
                start = perf_counter_ns()
                status, matrix = extractor.extract(blob)
                computed = perf_counter_ns()
                # ncnn works in place only in memory that nobody else holds.
                shape = matrix.numpy().shape if run == 0 and status == 0 else ()
                del matrix
                again = perf_counter_ns()
                extractor.extract(blob)
                read = perf_counter_ns()
                if status != 0:
                    raise RefusedError("runtime", "layer {}: ncnn ended with {}".format(one.name, status))
                row.append((computed - start - (read - again)) / 1e3)
                if run == 0:
                    layers.append(layer(one.name, one.type, (), (), shape))
            times.append(row)
        return layers, times[1:]

    def results(self) -> List[Any]:
        import numpy

        arrays = []
        for _, matrix in self._computed:
            array = numpy.array(matrix, dtype="float32")
            arrays.append(array[None] if self._drops_batch else array)
        return arrays


def _start_threads(threads: int) -> int:
    """Start the pool of OpenMP with a network that computes nothing; return the number of its threads."""
    import ncnn
    import numpy

    before = tasks()
    network = ncnn.Net()
    network.opt.num_threads = threads
    network.load_param_mem(_RELU)
    network.load_model(ncnn.DataReaderFromEmpty())
    extractor = network.create_extractor()
    extractor.input("in0", ncnn.Mat(numpy.zeros((64, 8, 8), "float32")).clone())
    extractor.extract("out0")
    # The pool holds one thread fewer than it has workers: the caller's works too.
    return 1 + len(tasks() - before)


def _load_weights(network: Any, model: str, params: str) -> None:
    """Load a `.bin` and check its size: ncnn takes any that is longer or, at the end, shorter.

    Raises:
        RefusedError: The `.param` reads more or fewer bytes than the file has.
    """
    import ctypes

    import ncnn

    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    missing = 0

    class Reader(ncnn.DataReader):  # type: ignore[misc]
        def read(self, memory: Any, size: int) -> int:
            nonlocal missing
            place = (ctypes.c_char * size).from_address(pointer(memory, None)) if size else b""
            found = file.readinto(place) if size else 0
            missing += size - found
            return found

    with open(params, "rb") as file:
        status = network.load_model(Reader())
        left = os.fstat(file.fileno()).st_size - file.tell()
    if status != 0 or missing or left:
        fault = "{} bytes too long".format(left) if left else "too short" if missing else "refused by ncnn"
        raise RefusedError(
            "model_invalid",
            "loading {}: {} is {}: damaged, or of another network".format(model, params, fault),
        )


def _output_place(name: str) -> Tuple[int, str]:
    """Place of an output: pnnx names them `out0`, … in the model's order, ncnn lists them by layer."""
    number = name[len("out") :]
    return (int(number), "") if name.startswith("out") and number.isdigit() else (sys.maxsize, name)


def _read_sizes(path: str) -> Dict[str, Tuple[int, ...]]:
    """Return the sizes that a `.param` says of its inputs, by name; nothing where it cannot be read."""
    sizes = {}
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                words = line.split()
                if words[:1] == ["Input"]:
                    said = dict(word.partition("=")[::2] for word in words if "=" in word)
                    sizes[words[4]] = tuple(int(said[key]) for key in _SIZES if key in said)
    except (OSError, ValueError, IndexError):
        return {}
    return sizes


ENGINE = Ncnn
