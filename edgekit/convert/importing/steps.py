"""The steps from a model as it came to files in a staging directory: converters and opt, a process each."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import msgspec

from edgekit import __version__, _process
from edgekit._worker import Worker, call
from edgekit.convert.formats.lite import TARGETS, Conversion, check_loadable
from edgekit.convert.formats.nb import NbHeader
from edgekit.convert.importing.jobs import Answer, Job, OnnxJob, PirJob, ProgramJob, ScoresJob
from edgekit.convert.importing.source import Source, SourceKind
from edgekit.core.artifact import ArtifactKind, TensorSpec
from edgekit.errors import ConversionError
from edgekit.toolchain.component import Report
from edgekit.toolchain.opt.opt import Opt

STEP_TIMEOUT_S = 600.0
OPS_TIMEOUT_S = 60.0
_PADDLE2ONNX = "paddle2onnx"
WORKER = "edgekit.convert.importing.worker"
_ENVIRONMENT = {"GLOG_minloglevel": "2", "OMP_NUM_THREADS": "1"}

Signature = tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]


class Shaping(msgspec.Struct, frozen=True, kw_only=True):
    """What sizes that a model leaves free become.

    Attributes:
        input_shape: Channels, height, width as asked; None takes the model's own.
        picture_size: Height and width that the preprocessing gives; None refuses free ones.
    """

    input_shape: tuple[int, int, int] | None
    picture_size: tuple[int, int] | None


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker's steps gave.

    Attributes:
        program: Of the legacy program, `inference.pdmodel` in the staging directory.
        onnx: Inputs and outputs of `inference.onnx`; None where there is none.
        onnx_tool: What wrote that, and its version.
        notes: What was mended.
    """

    program: Answer
    onnx: Signature | None
    onnx_tool: tuple[str, str]
    notes: tuple[str, ...]


def build_program(
    source: Source, shaping: Shaping, staging: Path, *, with_onnx: bool, progress: Report
) -> Built:
    """Make the legacy Paddle program that everything else is made from, and ONNX.

    Args:
        source: The model as it came.
        shaping: What free sizes become.
        staging: Where the files go.
        with_onnx: Make ONNX from a legacy program; from the other sources it comes on the way.
        progress: Told what is going on.

    Raises:
        InputError, ConversionError, ToolError, OutputError: As `import_model`.
    """
    scratch = staging / "scratch"
    scratch.mkdir()
    onnx = staging / ArtifactKind.ONNX.file_names[0]
    converted = source.kind is not SourceKind.LEGACY
    if converted:
        came = _from_onnx(source, shaping, onnx, scratch, progress)
    else:
        assert source.params is not None
        came = _Program(model=source.model, params=source.params)
    to_onnx = with_onnx and not converted
    progress("checking the Paddle program" + (" and converting it to ONNX" if to_onnx else ""))
    made = run_step(
        ProgramJob(
            origin=str(source.origin),
            model=str(came.model),
            params=str(came.params),
            input_shape=shaping.input_shape,
            picture_size=shaping.picture_size,
            directory=str(staging),
            converted=converted,
            onnx=str(onnx) if to_onnx else None,
        )
    )
    made = msgspec.structs.replace(made, operators={**made.operators, **came.operators})
    signature, tool = came.onnx, came.onnx_tool
    if to_onnx:
        signature = (made.onnx_inputs, made.onnx_outputs)
        tool = (_PADDLE2ONNX, importlib.metadata.version(_PADDLE2ONNX))
    return Built(program=made, onnx=signature, onnx_tool=tool, notes=(*came.notes, *made.notes))


class _Program(msgspec.Struct, frozen=True, kw_only=True):
    """A legacy program before it is checked, and the ONNX that it came from."""

    model: Path
    params: Path
    notes: tuple[str, ...] = ()
    operators: dict[str, str] = {}
    onnx: Signature | None = None
    onnx_tool: tuple[str, str] = (_PADDLE2ONNX, "")


def _from_onnx(source: Source, shaping: Shaping, onnx: Path, scratch: Path, progress: Report) -> _Program:
    """PIR or ONNX to a program, by way of the file `onnx`."""
    origin, model = str(source.origin), source.model
    is_pir = source.kind is SourceKind.PIR
    exported = Answer()
    if is_pir:
        assert source.params is not None
        progress("converting PIR to ONNX (paddle2onnx)")
        params = str(source.params)
        exported = run_step(PirJob(origin=origin, model=str(model), params=params, onnx=str(onnx)))
        model = onnx
    progress("converting ONNX to a Paddle program")
    job = OnnxJob(
        origin=origin, model=str(model), input_shape=shaping.input_shape, picture_size=shaping.picture_size,
        scratch=str(scratch), copy=None if is_pir else str(onnx),
    )  # fmt: skip
    answer = run_step(job)
    assert answer.program is not None
    seen = exported if is_pir else answer
    program = Path(answer.program)
    return _Program(
        model=program,
        params=program.with_suffix(".pdiparams"),
        notes=answer.notes,
        operators=answer.operators,
        onnx=(seen.onnx_inputs, seen.onnx_outputs),
        onnx_tool=(_PADDLE2ONNX, exported.tool_version) if is_pir else ("import", __version__),
    )


def run_step(job: Job) -> Answer:
    """Run one step of the worker. Raises whatever it says, or ConversionError where it dies."""
    worker: Worker[Answer] = Worker(
        WORKER,
        Answer,
        failure=ConversionError,
        timeout_s=STEP_TIMEOUT_S,
        env={**_ENVIRONMENT, "FLAGS_enable_pir_api": "1" if isinstance(job, ScoresJob) else "0"},
    )
    hint = "the model may be damaged; edgekit --verbose import shows all of what the converter said"
    (answer,) = call(worker, job, f"importing {job.origin}", hint=hint)
    return answer


def to_nb(
    origin: Path, name: str, opt: Opt, targets: tuple[str, ...], staging: Path, operators: dict[str, str]
) -> dict[str, NbHeader]:
    """Run opt on the staged program for every target.

    Args:
        origin: What messages call the source.
        name: The model's name.
        opt: What converts.
        targets: Of `lite.TARGETS`.
        staging: Where the program lies and the `.nb` files go.
        operators: The program's, with their places, by type.

    Raises:
        ConversionError: It failed; operators that it does not know are named with their places.
    """
    model, params, _ = (staging / name for name in ArtifactKind.PADDLE.file_names)
    headers: dict[str, NbHeader] = {}
    for target in targets:
        output = staging / TARGETS[target].file_names[0]
        conversion = Conversion(opt, model, params, output, target=target, name=name)
        try:
            headers[target] = conversion.finish()
        except ConversionError as error:
            unknown = set(operators) - _known_to(opt, target.partition("_")[0])
            if not unknown:
                raise
            places = "; ".join(operators[kind] for kind in sorted(unknown))
            raise ConversionError(
                f"importing {origin}: opt {opt.version} has no operator "
                f"{', '.join(sorted(unknown))} for {target}: {places}",
                hint="replace the operator before the export, or leave .nb out: --formats paddle,onnx",
            ) from error
        finally:
            conversion.cancel()
        if target == "x86":
            check_loadable(opt, output, name)
    return headers


def _known_to(opt: Opt, target: str) -> set[str]:
    """Operators that opt has for a target or for any host, out of the table that it prints."""
    words = [*opt.argv, "--print_supported_ops=true", f"--valid_targets={target}"]
    printed = _process.run(words, timeout_s=OPS_TIMEOUT_S).stdout
    return {"feed", "fetch"} | {
        line.split()[0] for line in printed.splitlines() if line.split()[1:2] == ["Y"]
    }
