"""Protocol loop: reads a JSON line, writes a JSON line, until end of file."""

import argparse
import contextlib
import hashlib
import importlib.util
import json
import os
import sys
from typing import IO, Any, Callable, Dict, List, Optional, Tuple

from edgekit.engines.worker import fields, process, timing
from edgekit.engines.worker.arrays import MappedFile
from edgekit.engines.worker.engine import Engine, format_shape
from edgekit.engines.worker.noise import make_noise
from edgekit.engines.worker.refusal import EXIT_CODES, RefusedError

PROTOCOL_VERSION = 3
Operation = Callable[[Dict[str, Any]], Dict[str, Any]]


def main(arguments: List[str]) -> int:
    """Serve requests from stdin; return the exit code of the first failure, 0 without failures."""
    parser = argparse.ArgumentParser(prog="worker", description="edgekit's runner on the host")
    parser.add_argument("engine", metavar="FILE", help="the engine's Python file")
    path = parser.parse_args(arguments).engine
    answers = _own_stdout()
    return Worker(load_engine(path)).serve(sys.stdin, answers)


def load_engine(path: str) -> Engine:
    """Return the engine class of a Python file; exceptions of importing the file pass through."""
    spec = importlib.util.spec_from_file_location("edgekit_engine", path)
    assert spec is not None and spec.loader is not None, "engines are Python files"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    engine: Engine = module.ENGINE()
    return engine


def _own_stdout() -> IO[str]:
    """Return the real stdout for answers only; native prints of engines go to stderr from here on."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return answers


class Worker:
    """One engine and the state of its requests."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # The inputs of the `load` request, and the names of the model's outputs.
        self._given: Optional[List[Dict[str, Any]]] = None
        self._output_names: List[str] = []
        self._inferences = 0
        self._last_noise: Optional[Tuple[int, List[Any]]] = None
        self._inputs, self._outputs = MappedFile(), MappedFile()
        self._operations: Dict[str, Operation] = {
            "check": self._check,
            "load": self._load,
            "run": self._run,
            "infer": self._infer,
            "layers": self._layers,
            "environment": self._environment,
            "reference": self._reference,
        }

    def serve(self, requests: IO[str], answers: IO[str]) -> int:
        exit_code = 0
        for line in requests:
            if not line.strip():
                continue
            answer = self._answer(line)
            if answer is None:
                continue
            if not answer["ok"]:
                exit_code = exit_code or EXIT_CODES[answer["error"]["code"]]
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
        return exit_code

    def _answer(self, line: str) -> Optional[Dict[str, Any]]:
        op = None
        try:
            try:
                request = json.loads(line)
            except ValueError as error:
                raise RefusedError("request", "a line that is not JSON: {}".format(error)) from error
            if not isinstance(request, dict):
                raise RefusedError(
                    "request", "a request is a JSON object, not {}".format(type(request).__name__)
                )
            op = request.get("op")
            if op == "prepare":
                self._prepare(request)
                return None
            if not isinstance(op, str) or op not in self._operations:
                raise RefusedError("request", "no such op: {!r}".format(op))
            answer = self._operations[op](request)
        except RefusedError as error:
            return _refusal(op, error.code, error.message)
        except MemoryError:
            return _refusal(op, "memory", "out of memory")
        except Exception as error:  # any exception becomes an answer, and the next request may work
            return _refusal(op, "runtime", "{}: {}".format(type(error).__name__, error))
        answer.update(ok=True, op=op)
        return answer

    def _prepare(self, request: Dict[str, Any]) -> None:
        """Import the library before `load` names a model; no answer follows, `load` tells of failures."""
        with contextlib.suppress(Exception):
            os.environ["OMP_NUM_THREADS"] = str(fields.integer(request, "threads", 1, default=1))
            self._engine.prepare()

    def _check(self, request: Dict[str, Any]) -> Dict[str, Any]:
        _check_protocol(request)
        model, wanted = fields.text(request, "model"), fields.text(request, "sha256")
        _check_there(model)
        digest = _sha256(model)
        if digest != wanted:
            raise RefusedError("hash_mismatch", "{} has SHA-256 {}, not {}".format(model, digest, wanted))
        return {"protocol": PROTOCOL_VERSION}

    def _load(self, request: Dict[str, Any]) -> Dict[str, Any]:
        _check_protocol(request)
        if self._given is not None:
            raise RefusedError("request", "load: a model is loaded already")
        model, params = fields.text(request, "model"), fields.optional_text(request, "params")
        threads, inputs = fields.integer(request, "threads", 1, default=1), fields.tensors(request, "inputs")
        options = fields.options(request)
        cores = fields.cores(request)
        if request.get("power_mode") is not None:
            raise RefusedError("unsupported", "power_mode {}: hosts have none".format(request["power_mode"]))
        limit = self._engine.max_threads
        if limit is not None and threads > limit:
            raise RefusedError(
                "unsupported", "{} threads: {} runs {} here".format(threads, self._engine.name, limit)
            )
        for path in (model, params):
            if path is not None:
                _check_there(path)
        bound = process.bind_cores(cores, threads)
        # OpenMP reads this when the engine's library is loaded; the user's setting must not apply.
        os.environ["OMP_NUM_THREADS"] = str(threads)
        try:
            engine_version = self._engine.prepare()
        except ImportError as error:
            raise RefusedError("runtime", "importing {}: {}".format(self._engine.name, error)) from error
        start = timing.clock_ns()
        self._engine.load(model, params, threads, inputs, options)
        load_ns = timing.clock_ns() - start
        effective = self._engine.threads()
        if effective is not None and effective != threads:
            raise RefusedError(
                "threads", "asked for {} threads, {} took {}".format(threads, self._engine.name, effective)
            )
        outputs = self._engine.outputs()
        self._given, self._output_names = inputs, [one["name"] for one in outputs]
        timing.spare_collector()
        return {
            "protocol": PROTOCOL_VERSION,
            "engine": self._engine.name,
            "engine_version": engine_version,
            "load_ns": load_ns,
            "requested_threads": threads,
            "effective_threads": effective,
            "cores": bound,
            "inputs": self._engine.inputs(),
            "outputs": outputs,
            "pid": os.getpid(),
            "options": self._engine.options,
            "gpu": self._engine.gpu,
            "layer_precisions": self._engine.layer_precisions,
        }

    def _run(self, request: Dict[str, Any]) -> Dict[str, Any]:
        inputs = self._loaded_inputs("run")
        warmup = fields.integer(request, "warmup", 0, default=10)
        warmup_ns = fields.integer(request, "warmup_ns", 0, default=500000000)
        repeats = fields.integer(request, "repeats", 1, default=100)
        min_ns = fields.integer(request, "min_ns", 0, default=1000000000)
        max_ns = fields.integer(request, "max_ns", 1, default=60000000000)
        mark = request.get("mark", False)
        if not isinstance(mark, bool):
            raise RefusedError("request", "mark: {!r} is no truth value".format(mark))
        call = self._engine.bind(self._noise(fields.integer(request, "seed", 0, default=0), inputs))
        first = timing.time_call(call) if self._inferences == 0 else None
        done = int(first is not None)
        done += timing.warm_up(call, warmup - done, warmup_ns)
        samples, observed = timing.measure(call, repeats, min_ns, max_ns, mark)
        self._inferences += done + len(samples)
        answer = {"first_run_ns": first, "warmup_runs": done, "samples_ns": samples}
        answer.update(observed)
        copies = self._engine.copies()
        if copies is not None:
            answer["copy_in_ns"], answer["copy_out_ns"] = map(timing.time_calls, copies)
        return answer

    def _layers(self, request: Dict[str, Any]) -> Dict[str, Any]:
        inputs = self._loaded_inputs("layers")
        runs = fields.integer(request, "runs", 1, default=1)
        layers, times = self._engine.layer_times(self._noise(0, inputs), runs)
        self._inferences += runs
        return {"layers": layers, "microseconds": times}

    def _noise(self, seed: int, inputs: List[Dict[str, Any]]) -> List[Any]:
        """Return noise for the loaded inputs; cache the last, because making it takes 10 ms and more."""
        if self._last_noise is None or self._last_noise[0] != seed:
            self._last_noise = (seed, make_noise(inputs, seed))
        return self._last_noise[1]

    def _infer(self, request: Dict[str, Any]) -> Dict[str, Any]:
        inputs = self._loaded_inputs("infer")
        shapes = fields.shapes(request, inputs)
        source, target = fields.text(request, "input"), fields.text(request, "output")
        skip = None if request.get("skip") is None else fields.integer(request, "skip", 0)
        at_once = None if request.get("at_once") is None else fields.integer(request, "at_once", 1)
        arrays = self._inputs.read(source, inputs, shapes, skip)
        latency, pieces = 0, []
        for piece in _pieces(arrays, at_once):
            call = self._engine.bind(piece)
            latency += timing.time_call(call)
            pieces.append(self._engine.results())
        self._inferences += len(pieces)
        results = pieces[0] if at_once is None else _join(pieces, arrays[0], at_once, self._output_names)
        described = []
        for name, result in zip(self._output_names, results):  # noqa: B905 (Python 3.10)
            if result.dtype.name not in fields.DTYPES:
                raise RefusedError(
                    "unsupported", "output {} is {}, runners know {}".format(
                        name, result.dtype.name, ", ".join(fields.DTYPES)
                    ),
                )  # fmt: skip
            described.append({"name": name, "dtype": result.dtype.name, "shape": list(result.shape)})
        try:
            self._outputs.write(target, results)
        except OSError as error:
            raise RefusedError("io", "writing {}: {}".format(target, error.strerror or error)) from error
        return {"outputs": described, "latency_ns": latency}

    def _environment(self, request: Dict[str, Any]) -> Dict[str, Any]:
        return {
            "clock_ns": timing.clock_ns(),
            "cores": process.core_readings(),
            "temperatures_celsius": process.temperatures(),
            "load_1min": process.load_1min(),
            **process.battery(),
        }

    def _reference(self, request: Dict[str, Any]) -> Dict[str, Any]:
        reference_ns, digest = process.reference_workload()
        return {"reference_ns": reference_ns, "sha256": digest}

    def _loaded_inputs(self, op: str) -> List[Dict[str, Any]]:
        if self._given is None:
            raise RefusedError("request", "{}: nothing is loaded; load comes first".format(op))
        return self._given


def _pieces(arrays: List[Any], at_once: Optional[int]) -> List[List[Any]]:
    """Cut every input into pieces of `at_once` rows. Raises RefusedError where they have unequal numbers."""
    if at_once is None:
        return [arrays]
    rows = {array.shape[0] if array.ndim else None for array in arrays}
    if len(rows) != 1 or None in rows:
        raise RefusedError(
            "shape",
            "at_once: the inputs have unequal numbers of rows: {}".format(
                ", ".join(format_shape(array.shape) for array in arrays)
            ),
        )
    return [
        [array[first : first + at_once] for array in arrays]
        for first in range(0, arrays[0].shape[0], at_once)
    ]


def _join(pieces: List[List[Any]], first_input: Any, at_once: int, names: List[str]) -> List[Any]:
    """Join the outputs of pieces. Raises RefusedError where an output has not one row for each of a piece."""
    import numpy

    joined = []
    for name, parts in zip(names, zip(*pieces)):  # noqa: B905 (Python 3.10)
        for number, part in enumerate(parts):
            rows = min(at_once, len(first_input) - number * at_once)
            if part.shape[:1] != (rows,):
                raise RefusedError(
                    "shape",
                    "at_once: output {} is {} for {} rows".format(name, format_shape(part.shape), rows),
                )
        joined.append(parts[0] if len(parts) == 1 else numpy.concatenate(parts))
    return joined


def _refusal(op: Optional[str], code: str, message: str) -> Dict[str, Any]:
    return {"ok": False, "op": op, "error": {"code": code, "message": message}}


def _check_protocol(request: Dict[str, Any]) -> None:
    version = fields.integer(request, "protocol", 0)
    if version != PROTOCOL_VERSION:
        raise RefusedError("protocol", "protocol {}: this runner speaks {}".format(version, PROTOCOL_VERSION))


def _check_there(path: str) -> None:
    if not os.path.isfile(path):
        raise RefusedError("model_missing", "no file {}".format(path))


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            for chunk in iter(lambda: file.read(1 << 20), b""):
                digest.update(chunk)
    except OSError as error:
        raise RefusedError("model_missing", "reading {}: {}".format(path, error.strerror or error)) from error
    return digest.hexdigest()
