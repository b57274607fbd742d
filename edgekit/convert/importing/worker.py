"""The import worker: one process for each step, as converters leave state behind and abort on bad models."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgekit._worker import Fault, Stage, serve
from edgekit.convert.formats import onnx, paddle
from edgekit.convert.importing import examine
from edgekit.convert.importing import program as import_program
from edgekit.convert.importing.jobs import (
    ONE_AT_A_TIME,
    Answer,
    ComputeJob,
    ExamineJob,
    Job,
    OnnxJob,
    PirJob,
    ProgramJob,
)
from edgekit.convert.importing.lite_faults import lite_faults, lite_remarks
from edgekit.convert.importing.pir import unknown_operators
from edgekit.core.artifact import TensorSpec
from edgekit.core.feeds import seeded_feed
from edgekit.engines.paddle import import_core, last_reason
from edgekit.errors import PADDLE_REMEDY, ConversionError, InputError, ToolError

PREFIX = "inference"
# Largest difference of rows computed together from rows computed alone, relative to the largest score.
BATCH_TOLERANCE = 1e-4


def work(job: Job) -> Iterator[Stage | Answer]:
    """Do one step."""
    if isinstance(job, PirJob):
        yield from _from_pir(job)
    elif isinstance(job, ExamineJob):
        yield examine.examine(job)
    elif isinstance(job, ComputeJob):
        yield examine.compute(job)
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


def _from_onnx(job: OnnxJob) -> Answer:
    from edgekit.convert.from_onnx import graph
    from edgekit.convert.from_onnx.batch import with_free_batch
    from edgekit.convert.from_onnx.convert import Converted, convert_onnx

    document = graph.load(Path(job.model), job.origin)
    try:
        core = import_core()
    except ImportError as error:
        raise ToolError(
            f"importing {job.origin}: paddlepaddle cannot be imported ({error})", hint=PADDLE_REMEDY
        ) from error

    def converted(count: int) -> tuple[Converted, Path]:
        program = Path(job.scratch) / f"program_{count}.pdmodel"
        shapes = {
            name: (count, *shape[1:]) if name in job.free else shape for name, shape in job.shapes.items()
        }
        done = convert_onnx(document, shapes, program.with_suffix(""), job.origin, core=core)
        return done, program

    done, program = converted(2 if job.free else 1)
    if job.free:
        two, three = (import_program.parse(path, job.origin) for path in (program, converted(3)[1]))
        if not with_free_batch(two, three):
            return Answer()
        program.write_bytes(two.SerializeToString(deterministic=True))
    return Answer(notes=done.notes, program=str(program), operators=done.operators)


def _program(job: ProgramJob) -> Iterator[Stage | Answer]:
    model, prefix = Path(job.model), Path(job.directory) / PREFIX
    program = import_program.parse(model, job.origin)
    import_program.set_input_shapes(program, [each.shape for each in job.inputs], job.origin)
    feeds, _ = import_program.feeds_and_fetches(program, job.origin)
    specs = [paddle.tensor_spec(each) for each in feeds]
    notes = []
    shutil.copyfile(job.params, prefix.with_suffix(".pdiparams"))
    info = Path(job.params).with_suffix(".pdiparams.info")
    if info.is_file():
        shutil.copyfile(info, prefix.with_suffix(".pdiparams.info"))
    notes += paddle.tidy(program)
    notes += lite_remarks(program)
    _write(program, prefix)
    try:
        _compute(prefix, [seeded_feed(specs, 0)])
    except Exception as error:
        raise InputError(
            f"importing {job.origin}: Paddle does not run it: {last_reason(error)}",
            hint="program and parameters must belong together; export the model again",
        ) from error
    if job.converted and all(each.shape and each.shape[0] in (None, 1) for each in specs):
        notes += _try_free_batch(program, prefix, specs, job.origin)
    inputs, outputs = paddle.read_signature(prefix.with_suffix(".pdmodel"))
    answer = Answer(
        notes=tuple(notes),
        inputs=inputs,
        outputs=outputs,
        operators={
            kind: import_program.places_of(program, {kind})
            for kind in {op.type for op in program.blocks[0].ops}
        },
        lite_faults=lite_faults(program),
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
    version = importlib.metadata.version("paddle2onnx")
    yield msgspec.structs.replace(
        answer, onnx_inputs=onnx_inputs, onnx_outputs=onnx_outputs, tool_version=version
    )


def _converting(unknown: dict[str, str], origin: str, hint: str) -> Stage:
    """Return the stage of paddle2onnx with the places of operators unknown to it, on which it aborts."""
    names, places = ", ".join(unknown), "; ".join(unknown.values())
    message = f"importing {origin}: paddle2onnx has no operator {names}: {places}"
    fault = Fault(kind=ConversionError.__name__, message=message, hint=hint)
    return Stage(doing="converting to ONNX", if_it_dies=fault if unknown else None)


def _write(program: Any, prefix: Path) -> None:
    prefix.with_suffix(".pdmodel").write_bytes(program.SerializeToString(deterministic=True))


def _compute(prefix: Path, feeds: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return the outputs by feed; this also checks that program and parameters load."""
    import paddle as framework

    framework.enable_static()
    executor = framework.static.Executor(framework.CPUPlace())
    with framework.static.scope_guard(framework.static.Scope()):
        program, names, fetches = framework.static.load_inference_model(str(prefix), executor)
        return [
            executor.run(program, feed=dict(zip(names, feed, strict=True)), fetch_list=fetches)
            for feed in feeds
        ]


def _try_free_batch(program: Any, prefix: Path, inputs: Sequence[TensorSpec], origin: str) -> list[str]:
    """Make the batch free where rows computed together equal rows computed alone."""
    import numpy

    feeds = [seeded_feed(inputs, number) for number in range(3)]
    alone = _compute(prefix, feeds)
    fixed = program.SerializeToString()
    import_program.free_batch(program, origin)
    _write(program, prefix)
    try:
        [together] = _compute(prefix, [[numpy.concatenate(arrays) for arrays in zip(*feeds, strict=True)]])
        for outputs, joined in zip(zip(*alone, strict=True), together, strict=True):
            wanted = numpy.concatenate(outputs)
            limit = BATCH_TOLERANCE * float(numpy.abs(wanted).max(initial=0))
            if wanted.shape != joined.shape or numpy.abs(wanted - joined.astype(wanted.dtype)).max() > limit:
                break
        else:
            return []
    except Exception as error:
        sys.stderr.write(f"a free batch: {error}\n")
    program.ParseFromString(fixed)
    _write(program, prefix)
    return [ONE_AT_A_TIME]


if __name__ == "__main__":
    serve(work, Job)
