"""Examination of a source before anything is made from it; runs in the import worker.

Inputs and outputs are read from the file; computed numbers tell the meaning of the outputs.
"""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit._files import scratch_directory
from edgekit.convert.formats.operators import check_program
from edgekit.convert.from_onnx import graph
from edgekit.convert.importing import onnx_file, parameters
from edgekit.convert.importing import program as legacy
from edgekit.convert.importing.activation import Step, find_activation, last_activation
from edgekit.convert.importing.jobs import Answer, ComputeJob, ExamineJob
from edgekit.convert.importing.shapes import choose_sizes
from edgekit.core.artifact import TensorSpec
from edgekit.core.feeds import seeded_feed
from edgekit.engines.paddle import last_reason
from edgekit.errors import EdgekitError, InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Compute = Callable[[Sequence[Any]], "list[NDArray[Any]]"]


def examine(job: ExamineJob) -> Answer:
    """Read, check and compute a model.

    Raises:
        InputError: It is damaged, lies about its sizes, or its engine does not run it.
    """
    import numpy

    limit_memory()
    with scratch_directory("examine") as name:
        opened = open_model(job.format, Path(job.model), job.params, job.origin, Path(name))
        inputs = choose_sizes(opened.inputs, job.shapes, job.picture, job.origin, job.command)
        feed = seeded_feed(inputs, 0)
        try:
            compute = opened.load()
            found = compute(feed)
            num_classes = _classes(inputs, found, job.picture[0])
            activation, guesses = "none", tuple[str, ...]()
            if num_classes:

                def scores(amplitude: float) -> Any:
                    loud = [array * numpy.float32(amplitude) for array in feed]
                    return compute(loud)[0]

                activation, guesses = find_activation(opened.steps, opened.outputs[0], scores)
        except EdgekitError:
            raise
        except Exception as error:
            raise InputError(
                f"importing {job.origin}: {opened.engine} does not run it: {last_reason(error)}",
                hint=opened.hint,
            ) from error
    if job.copy is not None:
        onnx_file.copy(Path(job.model), bool(opened.external), Path(job.copy))
    batch_is_free = bool(inputs) and all(spec.shape and spec.shape[0] is None for spec in inputs)
    outputs = tuple(
        TensorSpec(
            name=name,
            dtype=str(array.dtype),
            shape=_freed(array.shape, batch_is_free),
            is_sigmoid=last_activation(opened.steps, name) == "sigmoid",
        )
        for name, array in zip(opened.outputs, found, strict=True)
    )
    return Answer(
        notes=(*opened.notes, *guesses),
        inputs=inputs,
        outputs=outputs,
        num_classes=num_classes,
        activation=activation,
        external=opened.external,
    )


def compute(job: ComputeJob) -> Answer:
    """Compute feeds from a file of arrays `FEED_INPUT` into one of arrays `FEED_OUTPUT`."""
    import numpy

    limit_memory()
    with numpy.load(job.inputs) as given, scratch_directory("compute") as name:
        opened = open_model(job.format, Path(job.model), job.params, job.origin, Path(name))
        run = opened.load()
        outputs = {}
        for number in range(job.feeds):
            feed = [given[f"{number}_{index}"] for index in range(len(opened.inputs))]
            for index, array in enumerate(run(feed)):
                outputs[f"{number}_{index}"] = array
    numpy.savez(job.outputs, **outputs)  # type: ignore[arg-type]
    return Answer()


def limit_memory() -> None:
    """Limit the address space to this machine's memory: a model that asks for more fails alone."""
    total = resource.getpagesize() * os.sysconf("SC_PHYS_PAGES")
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = total if hard == resource.RLIM_INFINITY else min(total, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


class Opened:
    """A model's file, read and checked, not loaded yet.

    Attributes:
        engine: Name of the engine in messages.
        hint: Command that helps where the engine does not run the model.
        inputs: Inputs as declared; None stands for free sizes.
        outputs: Names of the outputs.
        steps: Operators with the names that they read and give.
        external: SHA-256 of files with weights beside an ONNX, by name.
    """

    engine = "Paddle"
    hint = "program and parameters must belong together; export the model again"

    def __init__(
        self,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[str],
        steps: Sequence[Step],
        load: Callable[[], Compute],
        *,
        external: Mapping[str, str] | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.inputs, self.outputs, self.steps = tuple(inputs), tuple(outputs), tuple(steps)
        self.load = load
        self.external = dict(external or {})
        self.notes = notes


class OpenedOnnx(Opened):
    """An ONNX file."""

    engine = "ONNX Runtime"
    hint = "export the model again; what its inputs may be is said with --input-shape"


def open_model(format_name: str, model: Path, params: str | None, origin: str, scratch: Path) -> Opened:
    """Read and check a model. Raises InputError where it is damaged."""
    if format_name == "onnx":
        return _open_onnx(model, origin)
    assert params is not None
    suffix = ".json" if format_name == "pir" else ".pdmodel"
    prefix = scratch / "model"
    prefix.with_suffix(suffix).symlink_to(model.absolute())
    prefix.with_suffix(".pdiparams").symlink_to(Path(params).absolute())
    if format_name == "pir":
        return _open_pir(prefix, origin)
    return _open_legacy(prefix, Path(params), origin)


def _open_onnx(model: Path, origin: str) -> Opened:
    document, external = onnx_file.read(model, origin)
    inputs = onnx_file.tensors(graph.inputs_of(document), origin, "input")
    outputs = onnx_file.tensors(document.graph.output, origin, "output")
    steps = [
        Step(node.op_type.lower(), tuple(node.input), tuple(node.output)) for node in document.graph.node
    ]

    def load() -> Compute:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        names = [each.name for each in inputs]
        return lambda feed: session.run(None, dict(zip(names, feed, strict=True)))

    return OpenedOnnx(inputs, [each.name for each in outputs], steps, load, external=external)


def _open_legacy(prefix: Path, params: Path, origin: str) -> Opened:
    from edgekit.convert.formats.paddle import tensor_spec

    program = legacy.parse(prefix.with_suffix(".pdmodel"), origin)
    parameters.check(program, params, origin)
    feeds, fetches = legacy.feeds_and_fetches(program, origin)
    steps = [
        Step(
            op.type,
            tuple(name for slot in op.inputs for name in slot.arguments),
            tuple(name for slot in op.outputs for name in slot.arguments),
        )
        for op in program.blocks[0].ops
    ]
    names = [each.name for each in fetches]
    return Opened([tensor_spec(each) for each in feeds], names, steps, lambda: _load_paddle(prefix))


def _open_pir(prefix: Path, origin: str) -> Opened:
    import json

    check_program(prefix.with_suffix(".json"))
    try:
        operators = json.loads(prefix.with_suffix(".json").read_bytes())["program"]["regions"][0]["blocks"][0]
        steps = [_pir_step(op) for op in operators["ops"]]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"importing {origin}: its program is not what Paddle 3 writes ({type(error).__name__}: {error})",
            hint="export the model again",
        ) from error
    fetched = [step.outputs[0] for step in steps if step.kind == "fetch"]
    try:
        program = _paddle_program(prefix)[1]
        data = [op for op in program.global_block().ops if op.name() == "pd_op.data"]
        inputs = [
            TensorSpec(
                name=str(op.attrs()["name"]),
                dtype=str(op.results()[0].dtype).rpartition(".")[2].lower(),
                shape=tuple(None if size < 0 else int(size) for size in op.results()[0].shape),
            )
            for op in data
        ]
    except Exception as error:
        raise InputError(
            f"importing {origin}: Paddle does not load it: {last_reason(error)}", hint=Opened.hint
        ) from error
    return Opened(inputs, fetched, steps, lambda: _load_paddle(prefix))


def _pir_step(op: Mapping[str, Any]) -> Step:
    """Return one operator of a PIR file; a fetched tensor has the name under which it is fetched."""
    kind = str(op["#"]).rpartition(".")[2].removesuffix("_")
    inputs, outputs = (
        tuple(str(each["%"]) for each in ([values] if isinstance(values, Mapping) else values))
        for values in (op.get("I") or (), op.get("O") or ())
    )
    if kind == "fetch":
        outputs = tuple(str(each["AT"]["D"]) for each in op["A"] if each["N"] == "name")
    return Step(kind, inputs, outputs)


def _paddle_program(prefix: Path) -> tuple[Any, Any, list[str], list[Any]]:
    import paddle

    paddle.enable_static()
    executor = paddle.static.Executor(paddle.CPUPlace())
    program, names, fetches = paddle.static.load_inference_model(str(prefix), executor)
    return executor, program, names, fetches


def _load_paddle(prefix: Path) -> Compute:
    executor, program, names, fetches = _paddle_program(prefix)
    return lambda feed: executor.run(program, feed=dict(zip(names, feed, strict=True)), fetch_list=fetches)


def _freed(shape: tuple[int, ...], batch_is_free: bool) -> tuple[int | None, ...]:
    return (None, *shape[1:]) if batch_is_free and shape[:1] == (1,) else tuple(shape)


def _classes(inputs: Sequence[TensorSpec], outputs: Sequence[Any], channels: int) -> int:
    """Return the number of classes of a classifier of pictures; 0 for any other model."""
    if len(inputs) != 1 or len(outputs) != 1 or inputs[0].dtype != "float32":
        return 0
    shape, scores = inputs[0].shape, outputs[0]
    is_picture = len(shape) == 4 and shape[1] == channels
    if not is_picture or scores.dtype.name != "float32" or scores.ndim < 2:
        return 0
    count = math.prod(scores.shape[1:])
    is_row = scores.shape[0] == (shape[0] or 1) and max(scores.shape[1:]) == count
    return count if count > 1 and is_row else 0
