"""Steps from a source to files in a staging directory: converters and opt, each in a process of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from edgekit import __version__, _process
from edgekit._worker import Worker, call
from edgekit.convert.formats.lite import TARGETS, check_loadable, convert, lite_worker
from edgekit.convert.formats.nb import NbHeader
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
from edgekit.convert.importing.source import Source, SourceKind
from edgekit.core.artifact import ArtifactKind, Signature
from edgekit.core.preprocess import Preprocess
from edgekit.errors import ConversionError, EdgekitError
from edgekit.toolchain import paddle
from edgekit.toolchain.component import Report
from edgekit.toolchain.opt.opt import Opt

logger = logging.getLogger("edgekit")

STEP_TIMEOUT_S = 600.0
OPS_TIMEOUT_S = 60.0
_PADDLE2ONNX = "paddle2onnx"
WORKER = "edgekit.convert.importing.worker"
_ENVIRONMENT = {"GLOG_minloglevel": "2", "OMP_NUM_THREADS": "1"}


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The formats to make.

    Attributes:
        program: The legacy Paddle program.
        onnx: True to make ONNX; the copy of a source in ONNX is kept in any case.
    """

    program: bool
    onnx: bool


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """The files that the worker's steps wrote.

    Attributes:
        program: The legacy program, `inference.pdmodel` in the staging directory; None where there is none.
        onnx: Inputs and outputs of `inference.onnx`; None where there is none.
        onnx_tool: Converter that wrote `inference.onnx`, and its version.
        notes: Mends that were made.
    """

    program: Answer | None
    onnx: Signature | None
    onnx_tool: tuple[str, str]
    notes: tuple[str, ...]


FORMATS = {SourceKind.LEGACY: "paddle", SourceKind.PIR: "pir", SourceKind.ONNX: "onnx"}


def examine_source(
    source: Source,
    shapes: dict[str, tuple[int, ...]],
    preprocess: Preprocess | None,
    staging: Path,
    command: str,
) -> Answer:
    """Read, check and compute the model as it came; ONNX is copied to the staging directory.

    Args:
        source: The model.
        shapes: Sizes asked for, by input; under the empty name for the only one.
        preprocess: The preprocessing, for pictures whose size is free; None where nothing says it.
        staging: Directory for files.
        command: Command line of the import, for hints.

    Raises:
        InputError, UsageError: It is damaged, lies about its sizes, or leaves sizes free.
        ToolError: The engine that reads it is not installed.
    """
    onnx = staging / ArtifactKind.ONNX.file_names[0]
    return run_step(
        ExamineJob(
            origin=str(source.origin),
            format=FORMATS[source.kind],
            model=str(source.model.absolute()),
            params=None if source.params is None else str(source.params.absolute()),
            shapes=shapes,
            picture=(3, None, None) if preprocess is None else (preprocess.channels, *preprocess.size),
            command=command,
            copy=str(onnx) if source.kind is SourceKind.ONNX else None,
        )
    )


def build_program(
    source: Source, examined: Answer, wanted: Wanted, staging: Path, *, progress: Report
) -> Built:
    """Make the legacy Paddle program, from which `.nb` are made, and ONNX, where they are wanted.

    Args:
        source: The model as it came.
        examined: Answer of `examine_source`; a source in ONNX has a copy in the staging directory.
        wanted: Formats to make.
        staging: Directory for the files.
        progress: Called with a line for the user about each step.

    Raises:
        InputError, ConversionError, ToolError, OutputError: As `import_model`.
    """
    onnx = staging / ArtifactKind.ONNX.file_names[0]
    is_legacy = source.kind is SourceKind.LEGACY
    if is_legacy:
        assert source.params is not None
        came = _Program(model=source.model, params=source.params)
    else:
        came = _from_onnx(source, examined, onnx, staging, wanted, progress)
        if not wanted.program:
            return Built(program=None, onnx=came.onnx, onnx_tool=came.onnx_tool, notes=came.notes)
    to_onnx = wanted.onnx and is_legacy

    def make(came: _Program) -> Answer:
        progress("checking the Paddle program" + (" and converting it to ONNX" if to_onnx else ""))
        return run_step(
            ProgramJob(
                origin=str(source.origin),
                model=str(came.model),
                params=str(came.params),
                inputs=examined.inputs,
                directory=str(staging),
                converted=not is_legacy,
                onnx=str(onnx) if to_onnx else None,
            )
        )

    made = make(came)
    free = tuple(each.name for each in examined.inputs if each.shape[:1] == (None,))
    if ONE_AT_A_TIME in made.notes and free:
        made = _made_with_free_batch(source, examined, onnx, staging, free, progress, make) or make(came)
    made = msgspec.structs.replace(made, operators={**made.operators, **came.operators})
    signature, tool = came.onnx, came.onnx_tool
    if to_onnx:
        signature = (made.onnx_inputs, made.onnx_outputs)
        tool = (_PADDLE2ONNX, made.tool_version)
    return Built(program=made, onnx=signature, onnx_tool=tool, notes=(*came.notes, *made.notes))


class _Program(msgspec.Struct, frozen=True, kw_only=True):
    """Legacy program before its check, and the ONNX from which it was made."""

    model: Path
    params: Path
    notes: tuple[str, ...] = ()
    operators: dict[str, str] = {}
    onnx: Signature | None = None
    onnx_tool: tuple[str, str] = (_PADDLE2ONNX, "")


def _from_onnx(
    source: Source, examined: Answer, onnx: Path, staging: Path, wanted: Wanted, progress: Report
) -> _Program:
    """Convert PIR to the file `onnx`, and the file to a program where one is wanted; else no path is used."""
    origin = str(source.origin)
    signature, tool = (examined.inputs, examined.outputs), ("import", __version__)
    if source.kind is SourceKind.PIR:
        assert source.params is not None
        progress("converting PIR to ONNX (paddle2onnx)")
        job = PirJob(origin=origin, model=str(source.model), params=str(source.params), onnx=str(onnx))
        exported = run_step(job)
        signature, tool = (exported.onnx_inputs, exported.onnx_outputs), (_PADDLE2ONNX, exported.tool_version)
    if not wanted.program:
        return _Program(model=onnx, params=onnx, onnx=signature, onnx_tool=tool)
    program = _program(source, examined, onnx, staging, (), progress)
    assert program is not None
    return msgspec.structs.replace(program, onnx=signature, onnx_tool=tool)


def _made_with_free_batch(
    source: Source,
    examined: Answer,
    onnx: Path,
    staging: Path,
    free: tuple[str, ...],
    progress: Report,
    make: Callable[[_Program], Answer],
) -> Answer | None:
    """Write a program anew for any number of pictures and return it; None where that fails."""
    try:
        program = _program(source, examined, onnx, staging, free, progress)
        made = None if program is None else make(program)
    except EdgekitError as error:
        logger.info("a free batch: %s", error.message)
        return None
    return None if made is None or ONE_AT_A_TIME in made.notes else made


def _program(
    source: Source, examined: Answer, onnx: Path, staging: Path, free: tuple[str, ...], progress: Report
) -> _Program | None:
    """Make the program of the file `onnx`, with the batch of some inputs free; None where that fails."""
    progress("converting ONNX to a Paddle program" + (" with a free batch" if free else ""))
    scratch = staging / "scratch"
    scratch.mkdir(exist_ok=True)
    answer = run_step(
        OnnxJob(
            origin=str(source.origin),
            model=str(onnx),
            shapes={each.name: tuple(size or 1 for size in each.shape) for each in examined.inputs},
            scratch=str(scratch),
            free=free,
        )
    )
    if answer.program is None:
        return None
    model = Path(answer.program)
    return _Program(
        model=model,
        params=model.with_suffix(".pdiparams"),
        notes=answer.notes,
        operators=answer.operators,
    )


def run_step(job: Job) -> Answer:
    """Run one step of the worker. Raises the worker's error, or ConversionError where the worker dies."""
    is_pir = isinstance(job, ExamineJob | ComputeJob) and job.format == "pir"
    worker: Worker[Answer] = Worker(
        paddle.worker(WORKER),
        Answer,
        failure=ConversionError,
        timeout_s=STEP_TIMEOUT_S,
        env={**_ENVIRONMENT, "FLAGS_enable_pir_api": "1" if is_pir else "0"},
    )
    hint = "the model may be damaged; edgekit --verbose import shows all of what the converter said"
    (answer,) = call(worker, job, f"importing {job.origin}", hint=hint)
    return answer


def to_nb(
    origin: Path,
    name: str,
    opt: Opt,
    targets: tuple[str, ...],
    staging: Path,
    program: Answer,
    instead: Callable[[tuple[str, ...]], str],
) -> dict[str, NbHeader]:
    """Run opt on the staged program for every target.

    Args:
        origin: Name of the source in messages.
        name: Name of the model.
        opt: Converter.
        targets: Keys of `lite.TARGETS`.
        staging: Directory of the program and of the `.nb` files.
        program: Places of the program's operators.
        instead: The command line that makes `.nb` for some targets only, or none.

    Raises:
        ConversionError: opt failed; operators that opt does not know, or that Paddle Lite computes wrongly,
            are named with their places.
    """
    operators, faults = program.operators, program.lite_faults
    if targets and faults:
        wrong = "; ".join(f"{kind} {fault}: {operators[kind]}" for kind, fault in sorted(faults.items()))
        raise ConversionError(f"importing {origin}: Paddle Lite computes no {wrong}", hint=instead(()))
    model, params, _ = (staging / name for name in ArtifactKind.PADDLE.file_names)
    headers: dict[str, NbHeader] = {}
    with lite_worker(opt) as worker:
        for target in targets:
            output = staging / TARGETS[target].file_names[0]
            try:
                made = convert(worker, opt, model, params, {target: output}, name=name)
                if target == "x86":
                    check_loadable(worker, opt, output, name)
            except ConversionError as error:
                unknown = set(operators) - _known_to(opt, target.partition("_")[0])
                message = error.message
                if unknown:
                    places = "; ".join(operators[kind] for kind in sorted(unknown))
                    message = (
                        f"importing {origin}: opt {opt.version} has no operator "
                        f"{', '.join(sorted(unknown))} for {target}: {places}"
                    )
                # A target that failed fails again; the hint makes the targets before it again.
                raise ConversionError(message, hint=instead(tuple(headers))) from error
            headers |= made
    return headers


def _known_to(opt: Opt, target: str) -> set[str]:
    """Return the operators that opt has for a target or for any host, read from opt's table."""
    words = [*opt.argv, "--print_supported_ops=true", f"--valid_targets={target}"]
    printed = _process.run(words, timeout_s=OPS_TIMEOUT_S).stdout
    return {"feed", "fetch"} | {
        line.split()[0] for line in printed.splitlines() if line.split()[1:2] == ["Y"]
    }
