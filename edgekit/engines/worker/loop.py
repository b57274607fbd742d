"""Protocol loop: reads a JSON line, writes a JSON line, until end of file."""

import argparse
import hashlib
import importlib.util
import json
import os
import sys
from typing import IO, Any, Callable, Dict, List, Optional, Tuple

from edgekit.engines.worker import process, timing
from edgekit.engines.worker.engine import Engine, format_shape
from edgekit.engines.worker.noise import make_noise
from edgekit.engines.worker.refusal import EXIT_CODES, RefusedError

PROTOCOL_VERSION = 3
# Names of the types that go through the protocol, as numpy spells them.
DTYPES = ("float32", "float16", "float64", "int64", "int32", "int8", "uint8", "bool")
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


class MappedFile:
    """The last mapped file as an array; `open` maps again only for another file.

    A batch that is rewritten in place causes no page faults; at batch 8 these take a tenth of an inference.
    """

    def __init__(self) -> None:
        self._identity: Optional[Tuple[int, int, int]] = None
        self._array: Any = None

    def open(self, path: str) -> Any:
        """Return a file's content as uint8[N]; raises RefusedError."""
        import numpy

        try:
            status = os.stat(path)
            identity = (status.st_dev, status.st_ino, status.st_size)
            if identity != self._identity:
                # The mapping keeps its file's inode in use, so no other file can get the same inode number.
                # Writable, because OpenVINO accepts nothing else; no engine writes to its input.
                mode: Any = "r+" if os.access(path, os.W_OK) else "c"
                self._array = numpy.memmap(path, dtype="u1", mode=mode).view(numpy.ndarray)
                self._identity = identity
        except OSError as error:
            raise RefusedError("io", "reading {}: {}".format(path, error.strerror or error)) from error
        except ValueError as error:  # an empty file
            raise RefusedError("io", "reading {}: {}".format(path, error)) from error
        return self._array


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
            "environment": self._environment,
            "reference": self._reference,
        }

    def serve(self, requests: IO[str], answers: IO[str]) -> int:
        exit_code = 0
        for line in requests:
            if not line.strip():
                continue
            answer = self._answer(line)
            if not answer["ok"]:
                exit_code = exit_code or EXIT_CODES[answer["error"]["code"]]
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
        return exit_code

    def _answer(self, line: str) -> Dict[str, Any]:
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

    def _check(self, request: Dict[str, Any]) -> Dict[str, Any]:
        _check_protocol(request)
        model, wanted = _text(request, "model"), _text(request, "sha256")
        _check_there(model)
        digest = _sha256(model)
        if digest != wanted:
            raise RefusedError("hash_mismatch", "{} has SHA-256 {}, not {}".format(model, digest, wanted))
        return {"protocol": PROTOCOL_VERSION}

    def _load(self, request: Dict[str, Any]) -> Dict[str, Any]:
        _check_protocol(request)
        if self._given is not None:
            raise RefusedError("request", "load: a model is loaded already")
        model, params = _text(request, "model"), _optional_text(request, "params")
        threads, inputs = _integer(request, "threads", 1, default=1), _tensors(request, "inputs")
        options = _options(request)
        cores = _cores(request)
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
        warmup = _integer(request, "warmup", 0, default=10)
        warmup_ns = _integer(request, "warmup_ns", 0, default=500000000)
        repeats = _integer(request, "repeats", 1, default=100)
        min_ns = _integer(request, "min_ns", 0, default=1000000000)
        max_ns = _integer(request, "max_ns", 1, default=60000000000)
        mark = request.get("mark", False)
        if not isinstance(mark, bool):
            raise RefusedError("request", "mark: {!r} is no truth value".format(mark))
        call = self._engine.bind(self._noise(_integer(request, "seed", 0, default=0), inputs))
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

    def _noise(self, seed: int, inputs: List[Dict[str, Any]]) -> List[Any]:
        """Return noise for the loaded inputs; cache the last, because making it takes 10 ms and more."""
        if self._last_noise is None or self._last_noise[0] != seed:
            self._last_noise = (seed, make_noise(inputs, seed))
        return self._last_noise[1]

    def _infer(self, request: Dict[str, Any]) -> Dict[str, Any]:
        inputs = self._loaded_inputs("infer")
        shapes = _shapes(request, inputs)
        source, target = _text(request, "input"), _text(request, "output")
        skip = None if request.get("skip") is None else _integer(request, "skip", 0)
        at_once = None if request.get("at_once") is None else _integer(request, "at_once", 1)
        arrays = self._read(source, inputs, shapes, skip)
        latency, pieces = 0, []
        for piece in _pieces(arrays, at_once):
            call = self._engine.bind(piece)
            latency += timing.time_call(call)
            pieces.append(self._engine.results())
        self._inferences += len(pieces)
        results = pieces[0] if at_once is None else _join(pieces, arrays[0], at_once, self._output_names)
        described = []
        for name, result in zip(self._output_names, results):  # noqa: B905 (Python 3.10)
            if result.dtype.name not in DTYPES:
                raise RefusedError(
                    "unsupported", "output {} is {}, runners know {}".format(
                        name, result.dtype.name, ", ".join(DTYPES)
                    ),
                )  # fmt: skip
            described.append({"name": name, "dtype": result.dtype.name, "shape": list(result.shape)})
        try:
            self._write(results, target)
        except OSError as error:
            raise RefusedError("io", "writing {}: {}".format(target, error.strerror or error)) from error
        return {"outputs": described, "latency_ns": latency}

    def _read(
        self, source: str, inputs: List[Dict[str, Any]], shapes: List[List[int]], skip: Optional[int]
    ) -> List[Any]:
        """Return the arrays of a file, in its memory where their places are aligned."""
        import numpy

        content, used = self._inputs.open(source), 0
        if skip is not None:
            content = content[skip:]
        arrays = []
        for one, shape in zip(inputs, shapes):  # noqa: B905 (Python 3.10)
            dtype = numpy.dtype(one["dtype"])
            count = 1
            for size in shape:
                count *= size
            part = content[used : used + count * dtype.itemsize]
            used += count * dtype.itemsize
            if part.size == count * dtype.itemsize:
                array = part.view(dtype).reshape(shape)
                arrays.append(array if array.flags.aligned else array.copy())
        if content.size < used or (skip is None and content.size > used):
            raise RefusedError(
                "io",
                "{} has {} bytes, {} needs {}".format(
                    source, content.size, " and ".join(map(format_shape, shapes)), used
                ),
            )
        return arrays

    def _write(self, results: List[Any], target: str) -> None:
        """Overwrite an existing file in place, because others may share its memory; else write atomically."""
        import numpy

        # `ascontiguousarray` makes one dimension of none.
        rows = [numpy.ascontiguousarray(each).reshape(-1).view(numpy.uint8) for each in results]
        try:
            size = os.stat(target).st_size
        except FileNotFoundError:
            partial = "{}.{}.part".format(target, os.getpid())
            try:
                _write_rows(rows, partial)
                os.replace(partial, target)
            except OSError:
                if os.path.exists(partial):
                    os.unlink(partial)
                raise
            return
        if size == sum(row.size for row in rows) > 0 and os.access(target, os.W_OK):
            memory, used = self._outputs.open(target), 0
            for row in rows:
                memory[used : used + row.size] = row
                used += row.size
        else:
            _write_rows(rows, target)

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


def _write_rows(rows: List[Any], path: str) -> None:
    with open(path, "wb") as file:
        for row in rows:
            row.tofile(file)


def _refusal(op: Optional[str], code: str, message: str) -> Dict[str, Any]:
    return {"ok": False, "op": op, "error": {"code": code, "message": message}}


def _check_protocol(request: Dict[str, Any]) -> None:
    version = _integer(request, "protocol", 0)
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


def _integer(request: Dict[str, Any], name: str, least: int, default: Optional[int] = None) -> int:
    value = request.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise RefusedError("request", "{}: {!r} is no integer from {} on".format(name, value, least))
    return value


def _text(request: Dict[str, Any], name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str) or not value:
        raise RefusedError("request", "{}: {!r} is no text".format(name, value))
    return value


def _optional_text(request: Dict[str, Any], name: str) -> Optional[str]:
    return None if request.get(name) is None else _text(request, name)


def _tensors(request: Dict[str, Any], name: str) -> List[Dict[str, Any]]:
    value = request.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        raise RefusedError("request", "{}: {!r} is no list of tensors".format(name, value))
    tensors = []
    for one in value:
        dtype = _text(one, "dtype")
        if dtype not in DTYPES:
            raise RefusedError(
                "unsupported",
                "input {} as {}: runners know {}".format(one.get("name"), dtype, ", ".join(DTYPES)),
            )
        tensors.append({"name": _text(one, "name"), "dtype": dtype, "shape": _shape(one.get("shape"), name)})
    return tensors


def _shapes(request: Dict[str, Any], inputs: List[Dict[str, Any]]) -> List[List[int]]:
    """Return a shape for each loaded input; only their first sizes may differ from those of `load`."""
    value = request.get("shapes")
    if not isinstance(value, list) or len(value) != len(inputs):
        raise RefusedError("request", "shapes: {!r} is no list of {} shapes".format(value, len(inputs)))
    shapes = [_shape(one, "shapes") for one in value]
    for one, shape in zip(inputs, shapes):  # noqa: B905 (Python 3.10)
        if len(shape) != len(one["shape"]) or shape[1:] != one["shape"][1:]:
            raise RefusedError(
                "shape",
                "input {}: loaded for {}, given {}".format(
                    one["name"], format_shape(one["shape"]), format_shape(shape)
                ),
            )
    return shapes


def _shape(value: Any, name: str) -> List[int]:
    if not isinstance(value, list) or not all(type(size) is int and size > 0 for size in value):
        raise RefusedError("request", "{}: {!r} is no list of positive sizes".format(name, value))
    return value


def _cores(request: Dict[str, Any]) -> Optional[List[int]]:
    value = request.get("cores")
    if value is not None and not (
        isinstance(value, list) and all(type(core) is int and core >= 0 for core in value)
    ):
        raise RefusedError("request", "cores: {!r} is no list of core numbers".format(value))
    return None if value is None else list(value)


def _options(request: Dict[str, Any]) -> Dict[str, str]:
    value = request.get("options", {})
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise RefusedError("request", "options: {!r} is no object of texts".format(value))
    return value
