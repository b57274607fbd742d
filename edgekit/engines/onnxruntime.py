"""ONNX Runtime on the CPU."""

import functools
import json
import os
import tempfile
from typing import Any, Callable, Dict, List, Optional, Sequence

from edgekit.engines.worker.engine import Engine, Inputs, LayerTimes, check_inputs, layer, tensor
from edgekit.engines.worker.process import tasks
from edgekit.engines.worker.refusal import RefusedError

# ONNX Runtime's names of types that numpy spells otherwise.
_DTYPES = {"float": "float32", "double": "float64"}
_PROVIDER = "CPUExecutionProvider"
# End of the names of the events in ONNX Runtime's profile that are a node's computation.
_KERNEL = "_kernel_time"


RECORD: Dict[str, Any] = {
    "name": "onnxruntime",
    "summary": "ONNX Runtime",
    "host": {
        "artifacts": {"fp32": "onnx", "int8": "onnx-int8"},
        "packages": [
            {"distribution": "onnxruntime", "module": "onnxruntime"},
            {"distribution": "onnxruntime-gpu", "module": "onnxruntime"},
        ],
        "install": "pip install 'edgekit[onnxruntime]'",
        "layer_times": True,
        "options": {
            "spinning": {
                "values": ["on", "off"],
                "help": "idle pool threads poll for a while or sleep at once",
            }
        },
    },
    "device": {
        "artifacts": {"fp32": "onnx", "int8": "onnx-int8"},
        "native": {
            "backend": "engine_onnxruntime.c",
            "library": "opened",
            "runtime": "onnxruntime-runtime",
            "runtime_module": "edgekit.toolchain.build.onnxruntime_runtime",
        },
        "targets": ["aarch64", "x86_64"],
    },
    "rungs": [{"artifact": "onnx", "place": 20}, {"artifact": "onnx-int8", "place": 50}],
    "app_formats": ["onnx"],
}


class OnnxRuntime(Engine):
    """One session; it reads its inputs in place, without a copy."""

    record = RECORD

    def __init__(self) -> None:
        super().__init__()
        self._session: Any = None
        self._binding: Any = None
        self._input_names: List[str] = []
        self._output_names: List[str] = []
        self._pool_threads = 0
        # Makes a session of the loaded model with the same settings, under the profiler in a directory.
        self._make_profiled: Optional[Callable[[str], Any]] = None

    def prepare(self) -> str:
        import onnxruntime

        onnxruntime.set_default_logger_severity(3)
        onnxruntime.disable_telemetry_events()
        return str(onnxruntime.__version__)

    def load(
        self, model: str, params: Optional[str], threads: int, inputs: Inputs, options: Dict[str, str]
    ) -> None:
        import onnxruntime

        self.options = self.take_options(options)
        settings = self._settings(threads)
        before = tasks()
        try:
            session = onnxruntime.InferenceSession(model, settings, providers=[_PROVIDER])
        except Exception as error:
            raise RefusedError("model_invalid", "loading {}: {}".format(model, error)) from error
        # Threads of the import may end meanwhile, so that their number would not do.
        self._pool_threads = len(tasks() - before)
        # A provider that is missing or fails is replaced by the CPU with no more than a warning.
        if session.get_providers() != [_PROVIDER]:
            raise RefusedError(
                "runtime", "asked for {}, the session uses {}".format(_PROVIDER, session.get_providers())
            )
        self.take_session(session, inputs)
        self._binding = session.io_binding()
        self._make_profiled = functools.partial(self._profiled_session, model, threads)

    def _settings(self, threads: int) -> Any:
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.inter_op_num_threads = 1
        settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        settings.log_severity_level = 3
        settings.add_session_config_entry(
            "session.intra_op.allow_spinning", "1" if self.options["spinning"] == "on" else "0"
        )
        return settings

    def _profiled_session(self, model: str, threads: int, directory: str) -> Any:
        import onnxruntime

        settings = self._settings(threads)
        settings.enable_profiling = True
        settings.profile_file_prefix = os.path.join(directory, "profile")
        return onnxruntime.InferenceSession(model, settings, providers=[_PROVIDER])

    def take_session(self, session: Any, inputs: Inputs) -> None:
        """Keep a session that takes these inputs; raises RefusedError where it takes others."""
        self._session = session
        check_inputs(self.inputs(), inputs)
        self._input_names = [one.name for one in session.get_inputs()]
        self._output_names = [one.name for one in session.get_outputs()]

    def inputs(self) -> List[Dict[str, Any]]:
        return _describe(self._session.get_inputs())

    def outputs(self) -> List[Dict[str, Any]]:
        return _describe(self._session.get_outputs())

    def threads(self) -> Optional[int]:
        # The pool starts with the session and holds one thread fewer than asked: the caller's works too.
        return 1 + self._pool_threads

    def bind(self, arrays: Sequence[Any]) -> Callable[[], Any]:
        for name, array in zip(self._input_names, arrays):  # noqa: B905 (Python 3.10)
            self._binding.bind_cpu_input(name, array)
        # Bind anew, because an output is bound to the last run's result and its shape.
        for name in self._output_names:
            self._binding.bind_output(name, "cpu")
        return functools.partial(self._session.run_with_iobinding, self._binding)

    def layer_times(self, arrays: Sequence[Any], runs: int) -> LayerTimes:
        if self._make_profiled is None:
            return super().layer_times(arrays, runs)
        feed = dict(zip(self._input_names, arrays))  # noqa: B905 (Python 3.10)
        with tempfile.TemporaryDirectory(prefix="edgekit-profile-") as directory:
            session = self._make_profiled(directory)
            for _ in range(runs):
                session.run(None, feed)
            with open(session.end_profiling(), encoding="utf-8") as file:
                events = json.load(file)
        kernels = [one for one in events if one["cat"] == "Node" and one["name"].endswith(_KERNEL)]
        per_run, rest = divmod(len(kernels), runs)
        if rest or not per_run:
            raise RefusedError("runtime", "{} kernels in {} inferences".format(len(kernels), runs))
        times = [
            [float(one["dur"]) for one in kernels[start : start + per_run]]
            for start in range(0, len(kernels), per_run)
        ]
        return [_layer(one, number) for number, one in enumerate(kernels[:per_run], 1)], times

    def results(self) -> List[Any]:
        return list(self._binding.copy_outputs_to_cpu())


def _layer(event: Dict[str, Any], number: int) -> Dict[str, Any]:
    said = event.get("args", {})
    shapes: List[List[List[int]]] = [
        [next(iter(one.values()), []) for one in said.get(key) or []]
        for key in ("input_type_shape", "output_type_shape")
    ]
    inputs, outputs = shapes
    weights = inputs[1] if len(inputs) > 1 and said.get("parameter_size") != "0" else []
    name = event["name"][: -len(_KERNEL)]
    return layer(
        (name[: -len("_nchwc")] if name.endswith("_nchwc") else name) or str(number),
        str(said.get("op_name", "?")),
        inputs[0] if inputs else [],
        weights if len(weights) > 1 else [],
        outputs[0] if outputs else [],
    )


def _describe(nodes: Sequence[Any]) -> List[Dict[str, Any]]:
    described = []
    for node in nodes:
        inside = node.type[len("tensor(") : -1] if node.type.startswith("tensor(") else node.type
        described.append(tensor(node.name, _DTYPES.get(inside, inside), node.shape))
    return described


ENGINE = OnnxRuntime
