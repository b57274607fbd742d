"""Runner protocol, in which `bench`, `verify`, `predict` and `eval` talk to the process that runs a model.

A runner is a process that holds one artifact in one configuration. It reads requests as JSON lines
from stdin until end of file and answers each with one JSON line on stdout, in order. Nothing else
goes to stdout; what an engine prints goes to stderr. The native runners (`edgekit/native`) and the
Python worker (`edgekit/engines/worker`) speak it alike; `tests/runners/test_contract.py` holds every
one of them to it.

Requests carry `op`. Before `load`, outside of any time that is measured, a file may be checked:

    {"op": "check", "protocol": 3, "model": "/path/inference.onnx", "sha256": "… of the file"}
    -> {"ok": true, "op": "check", "protocol": 3}

To the worker of this machine alone `{"op": "prepare", "threads": 2}` may come first: it imports its engine at
once, and does not answer.

`load` comes before everything that computes, once:

    {"op": "load", "protocol": 3, "model": "/path/inference.onnx", "params": "/path or null",
     "threads": 2, "cores": [4, 5] or null, "power_mode": "HIGH" or null,
     "inputs": [{"name": "x", "dtype": "float32", "shape": [1, 3, 224, 224]}],
     "options": {"onednn": "on"}}
    -> {"ok": true, "op": "load", "protocol": 3, "engine": "onnxruntime", "engine_version": "1.20.1",
        "load_ns": 1, "requested_threads": 2, "effective_threads": 2, "cores": [4, 5],
        "inputs": [{"name", "dtype", "shape"}], "outputs": [likewise; dynamic or unknown sizes are null, an
        unknown shape is empty],
        "pid": 1, "options": {what took effect},
        "layer_precisions": {"int8": 33 (layers in this precision; absent or empty where unknown)},
        "gpu": {"name", "uuid", "compute_capability", "cuda_version"} (null or absent for engines on the CPU)}

  `inputs` lists every input of the model, in the model's order. The types that go through the protocol are
  float32, float16, float64, int64, int32, int8, uint8 and bool (a byte of 0 or 1). What an engine cannot read
  off its model (a `.nb` has names alone) is answered as the request has it, and unknown types of outputs as
  float32 until the first inference. Other names, types or counts of inputs than the model's are
  `unsupported`, other shapes are `shape`.

    {"op": "run", "warmup": 10, "warmup_ns": 500000000, "repeats": 100, "min_ns": 1000000000,
     "max_ns": 60000000000, "seed": 0, "mark": false}
    -> {"ok": true, "op": "run", "first_run_ns": 1 (null on a second `run`), "warmup_runs": 12,
        "samples_ns": [...], "cpu_ns": 1, "cores_seen": [4, 5], "peak_memory_bytes": 1,
        "active_threads": 2 (threads seen computing; null or absent where that is not known),
        "copy_in_ns": [...], "copy_out_ns": [...] (absent where the engine uses the host's memory)}

  Warm-up: at least `warmup` inferences and `warmup_ns`. Timed: at least `repeats` and `min_ns`, no
  new inference once `max_ns` of timed inference have passed. On a GPU a sample ends when the GPU has finished
  and contains no copy; copies of the inputs and of the outputs are timed afterwards. The inputs are
  pseudo-random and filled before: floats of rank 3 and more about 0, of lower rank about 1 (as scale factors
  lie), integers of 8 bits and rank 3 and more over their range, other integers and bool 0 or 1, as the
  inputs of `edgekit.core.feeds`. `first_run_ns` is also null after an `infer`. With `mark`,
  `syscall(0xE5E5, n)` brackets each timed inference: n = 2i before, 2i+1 after.

    {"op": "infer", "input": "/path/in", "shapes": [[2, 3, 224, 224]], "output": "/path/out"}
    -> {"ok": true, "op": "infer", "outputs": [{"name", "dtype", "shape": [2, 1000]}], "latency_ns": 1}

  Files are raw little-endian arrays in C order, one after another without gaps: the inputs in the order of
  `load`, with a shape each, whose first size may differ from that of `load`; all outputs in the model's
  order. The output file is written beside and renamed.

    {"op": "layers", "runs": 60}
    -> {"ok": true, "op": "layers", "layers": [{"name", "operator", "input_shape": [], "weights_shape": [],
        "output_shape": []}], "microseconds": [[a number for each layer] for each run]}

  Layers are in the order of their execution, and shapes empty where unknown. The host's worker serves this
  for the engines whose record says `layer_times`; other engines refuse it as `unsupported`, other runners as
  `request`.

    {"op": "environment"}
    -> {"ok": true, "op": "environment", "cores": [{"core", "frequency_khz", "max_frequency_khz",
        "governor"}], "temperatures_celsius": {"zone": 41.0}, "clock_ns": steady, "load_1min": 0.5,
        "battery_percent": 87, "battery_current_ua": -312000, "battery_voltage_uv": 4123000,
        "charging": false} (the last four null or absent where there is no battery)

    {"op": "reference"}
    -> {"ok": true, "op": "reference", "reference_ns": 1, "sha256": "…"}

  The fixed workload copies and hashes 2 MB (the bytes 0 to 255 repeated) 21 times; the answer is the median.

A request that cannot be served is answered, and the runner goes on reading:

    {"ok": false, "op": "run", "error": {"code": "shape", "message": "…"}}

Codes: `protocol` (another version), `request` (malformed), `model_missing`, `model_invalid`,
`hash_mismatch`, `shape`, `threads` (that many cannot be had), `cores` (no such core, or too few),
`unsupported` (the engine cannot do this: a point to skip), `runtime` (the engine failed),
`io` (input or output file), `memory`. After end of file the exit code is 0 where every answer was
`ok`, else that of the first failure: protocol 10, request 11, model_missing 12, model_invalid 13,
hash_mismatch 14, shape 15, threads 16, cores 17, unsupported 18, runtime 19, io 20, memory 21.
"""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec

from edgekit.core.artifact import TensorSpec
from edgekit.core.device import Gpu

PROTOCOL_VERSION = 3
MARK_SYSCALL = 0xE5E5
DTYPES = ("float32", "float16", "float64", "int64", "int32", "int8", "uint8", "bool")


class ErrorCode(enum.Enum):
    """Reason why a request was refused; the module's docstring explains each."""

    PROTOCOL = "protocol"
    REQUEST = "request"
    MODEL_MISSING = "model_missing"
    MODEL_INVALID = "model_invalid"
    HASH_MISMATCH = "hash_mismatch"
    SHAPE = "shape"
    THREADS = "threads"
    CORES = "cores"
    UNSUPPORTED = "unsupported"
    RUNTIME = "runtime"
    IO = "io"
    MEMORY = "memory"


EXIT_CODES = {code: 10 + index for index, code in enumerate(ErrorCode)}


class Check(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="check"):
    """Compare a file's SHA-256, as hex digits."""

    protocol: int = PROTOCOL_VERSION
    model: str
    sha256: str


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """An array that is sent or was computed: a `TensorSpec` whose sizes are all known."""

    name: str
    dtype: Annotated[str, msgspec.Meta(pattern=f"^({'|'.join(DTYPES)})$")]
    shape: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]


class Load(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="load"):
    """Load one artifact in one configuration."""

    protocol: int = PROTOCOL_VERSION
    model: str
    params: str | None = None
    threads: int = 1
    cores: tuple[int, ...] | None = None
    power_mode: str | None = None
    inputs: tuple[Tensor, ...]
    options: dict[str, str] = {}


class Run(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="run"):
    """Time inferences."""

    warmup: int = 10
    warmup_ns: int = 500_000_000
    repeats: int = 100
    min_ns: int = 1_000_000_000
    max_ns: int = 60_000_000_000
    seed: int = 0
    mark: bool = False


class Infer(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="infer", omit_defaults=True):
    """Run one file of inputs through the model.

    Attributes:
        shapes: Shape of each input in the file.
        skip: Bytes in the file before the first input; the file may also continue after the last. None where
            the file contains these inputs alone. Only the host's worker accepts it: other runners get a copy
            of the file.
        at_once: Number of rows of each input an inference; None for all. Every input has as many rows, and
            every output a row for each. Only the host's worker accepts it.
    """

    input: str
    shapes: tuple[tuple[int, ...], ...]
    output: str
    skip: int | None = None
    at_once: int | None = None


class Prepare(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="prepare"):
    """Import the engine before `load` names a model; workers of this machine only, which do not answer it."""

    threads: int


class ReadEnvironment(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="environment"):
    """Read frequencies and temperatures."""


class RunReference(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="reference"):
    """Time the fixed workload."""


class TimeLayers(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="layers"):
    """Time each layer in a number of inferences."""

    runs: int


Request = Check | Load | Run | Infer | TimeLayers | ReadEnvironment | RunReference


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `check` where the hash is equal."""

    protocol: int


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `load`."""

    protocol: int
    engine: str
    engine_version: str
    load_ns: int
    requested_threads: int
    effective_threads: int | None
    cores: tuple[int, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    pid: int
    options: dict[str, str] = {}
    gpu: Gpu | None = None
    layer_precisions: dict[str, int] = {}


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `run`."""

    samples_ns: tuple[int, ...]
    warmup_runs: int
    first_run_ns: int | None = None
    cpu_ns: int | None = None
    cores_seen: tuple[int, ...] = ()
    peak_memory_bytes: int | None = None
    active_threads: int | None = None
    copy_in_ns: tuple[int, ...] = ()
    copy_out_ns: tuple[int, ...] = ()


class TimedLayer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer in the answer to `layers`."""

    name: str
    operator: str
    input_shape: tuple[int, ...] = ()
    weights_shape: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()


class LayersTimed(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `layers`."""

    layers: tuple[TimedLayer, ...]
    microseconds: tuple[tuple[float, ...], ...]


class Inferred(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `infer`."""

    outputs: tuple[Tensor, ...]
    latency_ns: int


class CoreReading(msgspec.Struct, frozen=True, kw_only=True):
    """One core in the answer to `environment`."""

    core: int
    frequency_khz: int | None = None
    max_frequency_khz: int | None = None
    governor: str | None = None


class EnvironmentRead(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `environment`."""

    clock_ns: int
    cores: tuple[CoreReading, ...] = ()
    temperatures_celsius: dict[str, float] = {}
    load_1min: float | None = None
    battery_percent: int | None = None
    battery_current_ua: int | None = None
    battery_voltage_uv: int | None = None
    charging: bool | None = None


class ReferenceRan(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `reference`."""

    reference_ns: int
    sha256: str


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The `error` of an answer that is not ok."""

    code: ErrorCode
    message: str
