"""The import worker: one process for each step, as converters leave state behind and abort on bad models."""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from edgekit._worker import Fault, Stage, serve
from edgekit.convert.formats import onnx, paddle
from edgekit.convert.importing import program as import_program
from edgekit.convert.importing.activation import find_activation
from edgekit.convert.importing.jobs import Answer, Job, OnnxJob, PirJob, ProgramJob, ScoresJob
from edgekit.convert.importing.pir import unknown_operators
from edgekit.core.artifact import TensorSpec
from edgekit.errors import ConversionError, InputError

PREFIX = "inference"
ONLY_PICTURES = "edgekit imports classifiers: one picture float32[N,3,H,W] in, one row of scores out"
# How far rows computed together may be from rows computed alone, relative to the largest score.
BATCH_TOLERANCE = 1e-4

Shape = tuple[int | None, ...]


def work(job: Job) -> Iterator[Stage | Answer]:
    """Do one step."""
    if isinstance(job, PirJob):
        yield from _from_pir(job)
    elif isinstance(job, ScoresJob):
        yield _scores(job)
    elif isinstance(job, OnnxJob):
        yield _from_onnx(job)
    else:
        yield from _program(job)


def _from_pir(job: PirJob) -> Iterator[Stage | Answer]:
    unknown = unknown_operators(Path(job.model), onnx.known_operators(pir=True))
    yield _converting(unknown, job.origin, "replace the operator before the export")
    onnx.convert(Path(job.model), Path(job.params), Path(job.onnx))
    inputs, outputs = onnx.read_signature(Path(job.onnx))
    version = importlib.metadata.version("paddle2onnx")
    yield Answer(onnx_inputs=inputs, onnx_outputs=outputs, tool_version=version)


def _scores(job: ScoresJob) -> Answer:
    import numpy
    import paddle as framework

    framework.enable_static()
    executor = framework.static.Executor(framework.CPUPlace())
    program, feeds, fetches = framework.static.load_inference_model(job.model.removesuffix(".json"), executor)
    inputs = numpy.fromfile(job.inputs, dtype=numpy.float32).reshape(job.shape)
    rows = [
        executor.run(program, feed={feeds[0]: inputs[index : index + job.batch_size]}, fetch_list=fetches)[0]
        for index in range(0, len(inputs), job.batch_size)
    ]
    numpy.concatenate(rows).astype(numpy.float32).tofile(job.outputs)
    return Answer()


def _from_onnx(job: OnnxJob) -> Answer:
    from edgekit.convert.from_onnx import graph
    from edgekit.convert.from_onnx.convert import convert_onnx

    document = graph.load(Path(job.model), job.origin)
    inputs = [_onnx_tensor(value) for value in graph.inputs_of(document)]
    outputs = [_onnx_tensor(value) for value in document.graph.output]
    _one_of_each(inputs, outputs, job.origin)
    shape = choose_shape(inputs[0], job.input_shape, job.picture_size, job.origin)
    if job.copy is not None:
        _copy(document, Path(job.model), Path(job.copy))
    program = Path(job.scratch) / "program.pdmodel"
    fixed = {inputs[0].name: tuple(size or 1 for size in shape)}
    converted = convert_onnx(document, fixed, program.with_suffix(""), job.origin, core=paddle.import_core())
    return Answer(
        notes=converted.notes,
        program=str(program),
        operators=converted.operators,
        onnx_inputs=tuple(inputs),
        onnx_outputs=tuple(outputs),
        tool_version=importlib.metadata.version("onnx"),
    )


def _copy(document: Any, source: Path, target: Path) -> None:
    """The model as it came, in one file."""
    import onnx as framework

    as_it_came = framework.load(source, load_external_data=False)
    if any(framework.external_data_helper.uses_external_data(each) for each in as_it_came.graph.initializer):
        target.write_bytes(document.SerializeToString(deterministic=True))
    else:
        shutil.copyfile(source, target)


def _onnx_tensor(value: Any) -> TensorSpec:
    from onnx import helper

    kind = value.type.tensor_type
    with contextlib.suppress(KeyError):
        dtype = str(helper.tensor_dtype_to_np_dtype(kind.elem_type))
        sizes = (
            int(each.dim_value) if each.HasField("dim_value") and each.dim_value > 0 else None
            for each in kind.shape.dim
        )
        return TensorSpec(name=value.name, dtype=dtype, shape=tuple(sizes))
    return TensorSpec(name=value.name, dtype="unknown", shape=())


def _one_of_each(inputs: list[TensorSpec], outputs: list[TensorSpec], origin: str) -> None:
    for what, tensors in (("input", inputs), ("output", outputs)):
        if len(tensors) != 1:
            names = ", ".join(f"{each.name} {_shown(each.shape)}" for each in tensors) or "none"
            raise InputError(
                f"importing {origin}: it has {len(tensors)} {what}s ({names})", hint=ONLY_PICTURES
            )
    if inputs[0].dtype != "float32":
        raise InputError(
            f"importing {origin}: its input {inputs[0].name} is {inputs[0].dtype}, not float32",
            hint=ONLY_PICTURES,
        )


def choose_shape(
    tensor: TensorSpec, asked: tuple[int, int, int] | None, size: tuple[int, int] | None, origin: str
) -> Shape:
    """The input's sizes with what was asked for in the place of free ones; the batch stays as it is.

    Raises:
        InputError: No picture's shape, sizes that stay free, or others than the ones asked for.
    """
    if len(tensor.shape) != 4:
        raise InputError(
            f"importing {origin}: its input {tensor.name} is {_shown(tensor.shape)}, no batch of pictures",
            hint=ONLY_PICTURES,
        )
    wanted: Shape = asked or (None, *(size or (None, None)))
    sizes = []
    for own, other in zip(tensor.shape[1:], wanted, strict=True):
        if own is not None and asked is not None and own != other:
            raise InputError(
                f"importing {origin}: its input {tensor.name} is {_shown(tensor.shape)}, fixed in the model",
                hint="leave --input-shape out, or export the model with free sizes",
            )
        sizes.append(other if own is None else own)
    if sizes[0] is None:
        sizes[0] = 3
    if None in sizes:
        raise InputError(
            f"importing {origin}: its input {tensor.name} is {_shown(tensor.shape)}; its size has to be said",
            hint="--input-shape 3,224,224",
        )
    if sizes[0] != 3:
        raise InputError(
            f"importing {origin}: its input {tensor.name} is {_shown((tensor.shape[0], *sizes))}, not three "
            "channels",
            hint=ONLY_PICTURES,
        )
    return (tensor.shape[0], *sizes)


def _shown(shape: Shape) -> str:
    return f"[{','.join('?' if size is None else str(size) for size in shape)}]"


def _program(job: ProgramJob) -> Iterator[Stage | Answer]:
    model, prefix = Path(job.model), Path(job.directory) / PREFIX
    program = import_program.parse(model, job.origin)
    feeds, fetches = import_program.feeds_and_fetches(program, job.origin)
    _one_of_each(
        [paddle.tensor_spec(each) for each in feeds],
        [paddle.tensor_spec(each) for each in fetches],
        job.origin,
    )
    shape = choose_shape(paddle.tensor_spec(feeds[0]), job.input_shape, job.picture_size, job.origin)
    import_program.set_input_shape(program, shape, job.origin)
    notes = []
    shutil.copyfile(job.params, prefix.with_suffix(".pdiparams"))
    info = Path(job.params).with_suffix(".pdiparams.info")
    if info.is_file():
        shutil.copyfile(info, prefix.with_suffix(".pdiparams.info"))
    before = _without_threshold(program)
    if before:
        notes.append(f"{before} relu6 given their threshold of 6")
    if count := import_program.keep_paddings(program):
        notes.append(f"{count} pad3d written so that opt does not exchange height and width")
    _write(program, prefix)
    try:
        scores = _compute(prefix, shape)
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
        reason = next((line for line in reversed(lines) if "Error" in line), lines[-1])
        raise InputError(
            f"importing {job.origin}: Paddle does not run it: {reason[:300]}",
            hint="program and parameters must belong together; export the model again",
        ) from error
    if shape[0] == 1 and job.converted:
        notes += _try_free_batch(program, prefix, shape, job.origin)
    inputs, outputs = paddle.read_signature(prefix.with_suffix(".pdmodel"))
    answer = Answer(
        notes=tuple(notes),
        inputs=inputs,
        outputs=outputs,
        num_classes=_classes(scores, job.origin),
        activation=find_activation(
            program,
            import_program.feeds_and_fetches(program, job.origin)[1][0].name,
            partial(_compute, prefix, shape),
        ),
        tool_version=importlib.metadata.version("paddlepaddle"),
        operators={
            kind: import_program.places_of(program, {kind})
            for kind in {op.type for op in program.blocks[0].ops}
        },
    )
    if job.onnx is None:
        yield answer
        return
    unknown = sorted(answer.operators.keys() - onnx.known_operators())
    places = {kind: answer.operators[kind] for kind in unknown}
    hint = "replace the operator before the export, or leave ONNX out: --formats paddle,nb"
    yield _converting(places, job.origin, hint)
    target = Path(job.onnx)
    onnx.convert(prefix.with_suffix(".pdmodel"), prefix.with_suffix(".pdiparams"), target)
    onnx_inputs, onnx_outputs = onnx.read_signature(target)
    yield msgspec.structs.replace(answer, onnx_inputs=onnx_inputs, onnx_outputs=onnx_outputs)


def _converting(unknown: dict[str, str], origin: str, hint: str) -> Stage:
    """The stage of paddle2onnx, which aborts on operators that it does not have: those, with their places."""
    names, places = ", ".join(unknown), "; ".join(unknown.values())
    message = f"importing {origin}: paddle2onnx has no operator {names}: {places}"
    fault = Fault(kind=ConversionError.__name__, message=message, hint=hint)
    return Stage(doing="converting to ONNX", if_it_dies=fault if unknown else None)


def _without_threshold(program: Any) -> int:
    return sum(
        op.type == "relu6" and all(each.name != "threshold" for each in op.attrs)
        for block in program.blocks
        for op in block.ops
    )


def _write(program: Any, prefix: Path) -> None:
    content = paddle.tidied(program.SerializeToString(deterministic=True))
    prefix.with_suffix(".pdmodel").write_bytes(content)


def _compute(prefix: Path, shape: Shape, batch: int | None = None, amplitude: float = 1.0) -> Any:
    """Scores of noise, float32[N, ...]; it also is the check that program and parameters load."""
    import numpy
    import paddle as framework

    framework.enable_static()
    executor = framework.static.Executor(framework.CPUPlace())
    scope = framework.static.Scope()
    with framework.static.scope_guard(scope):
        program, feeds, fetches = framework.static.load_inference_model(str(prefix), executor)
        count = batch or shape[0] or 1
        noise = numpy.random.RandomState(0).standard_normal((count, *(size or 1 for size in shape[1:])))
        feed = {feeds[0]: (amplitude * noise).astype("float32")}
        return executor.run(program, feed=feed, fetch_list=fetches)[0]


def _classes(scores: Any, origin: str) -> int:
    sizes = scores.shape[1:]
    count = int(scores.size // scores.shape[0]) if scores.ndim >= 2 else 0
    if count < 2 or max(sizes) != count:
        raise InputError(
            f"importing {origin}: its output is {_shown(scores.shape)}, not one row of scores a picture",
            hint=ONLY_PICTURES,
        )
    return count


def _try_free_batch(program: Any, prefix: Path, shape: Shape, origin: str) -> list[str]:
    """Make the batch free where rows computed together equal rows computed alone."""
    import numpy

    alone = _compute(prefix, shape)
    fixed = program.SerializeToString()
    import_program.free_batch(program, origin)
    _write(program, prefix)
    try:
        several = _compute(prefix, shape, batch=3)
        together = numpy.asarray(several).reshape(3, -1)
        limit = BATCH_TOLERANCE * float(numpy.abs(alone).max())
        # The generator fills row by row: the first row of three is the one computed alone.
        if numpy.abs(together[0] - numpy.asarray(alone).reshape(-1)).max() <= limit:
            return []
    except Exception as error:
        sys.stderr.write(f"a free batch: {error}\n")
    program.ParseFromString(fixed)
    _write(program, prefix)
    return ["takes one picture at a time: its batch cannot be made free"]


if __name__ == "__main__":
    serve(work, Job)
