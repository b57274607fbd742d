"""From float artifacts to int8 ones: ONNX by ONNX Runtime, `.nb` for ARM by Paddle and opt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit._worker import Worker
from edgekit.convert.entries import describe_artifact
from edgekit.convert.formats.lite import convert, lite_worker
from edgekit.convert.formats.mnn import quantize_mnn
from edgekit.core.artifact import Artifact, ArtifactKind, Manifest
from edgekit.errors import ConversionError, UnsupportedError
from edgekit.quantize.recipes import Found, Recipe, Trial, describe
from edgekit.quantize.worker import QuantizeJob
from edgekit.targets.target import Subject
from edgekit.tasks.registry import require_pictures
from edgekit.toolchain import paddle
from edgekit.toolchain.component import Report
from edgekit.toolchain.converters import MNNCONVERT, require_python
from edgekit.toolchain.opt.install import require_opt

FORMATS = ("onnx", "nb")
"""Formats that are made where none are named; the others are in `ALL_FORMATS`."""
ALL_FORMATS = (*FORMATS, "mnn")
NB_TARGETS = ("arm",)
# 1,000 pictures take Paddle ten minutes; a hang takes for ever.
WORKER_TIMEOUT_S = 1800.0
# Each is written as text, which takes 1.5 MB at 224x224.
MNN_PICTURES = 100
WORKER = "edgekit.quantize.worker"
_ENVIRONMENT = {"FLAGS_enable_pir_api": "0", "GLOG_minloglevel": "2"}
_REFUSED = {
    "x86": "Paddle Lite's x86 kernels compute NaN or zeros from quantised models, without an error",
    "opencl": "Paddle Lite's OpenCL kernels compute floats alone",
    "arm_fp16": "fp16 together with int8 computes NaN or wrong classes, without an error",
}


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Measurements to make before ONNX Runtime and Paddle quantise; by default none.

    Attributes:
        search: Whether settings of ONNX Runtime's quantisation are measured.
        kept_float: Layers that stay float, by the names of their weights.
        float_limit: Share of calibration pictures that may be answered otherwise than by float before layers
            are kept float; None keeps only `kept_float`.
    """

    search: bool = False
    kept_float: tuple[str, ...] = ()
    float_limit: float | None = None


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Preprocessed calibration pictures in a file: raw float32 of `shape`, N first."""

    path: Path
    shape: tuple[int, ...]


def check_request(
    subject: Subject, formats: Sequence[str], nb_targets: Sequence[str], choice: Choice | None = None
) -> None:
    """Refuse targets that compute nonsense, and formats without a float artifact, before any work.

    Raises:
        UnsupportedError: An int8 `.nb` for x86, or int8 together with fp16; or a choice without ONNX.
        InputError: The float artifact is missing.
        ParityError: It failed its check.
    """
    name = subject.manifest.name
    for target in nb_targets if "nb" in formats else ():
        if target not in NB_TARGETS:
            raise UnsupportedError(
                f"quantising {name} for {target}: {_REFUSED.get(target, 'there is no such target')}",
                hint="--nb-targets arm; on the host use --formats onnx",
            )
    choice = Choice() if choice is None else choice
    if choice != Choice() and ("onnx" not in formats or "mnn" in formats):
        raise UnsupportedError(
            f"quantising {name}: --search and --keep-float measure with ONNX Runtime, for onnx and nb",
            hint="--formats onnx, or --formats onnx,nb",
        )
    require_pictures(subject.manifest, "quantising")
    if len(subject.manifest.inputs) != 1:
        names = ", ".join(each.name for each in subject.manifest.inputs)
        raise UnsupportedError(
            f"quantising {name}: it takes several inputs ({names})",
            hint="export the model without NMS inside",
        )
    needed = {"onnx": ArtifactKind.ONNX, "nb": ArtifactKind.PADDLE, "mnn": ArtifactKind.MNN}
    for each in formats:
        subject.artifact(needed[each])


def quantize(
    directory: Path,
    manifest: Manifest,
    calibration: Calibration,
    staging: Path,
    *,
    formats: Sequence[str],
    choice: Choice,
    install: bool,
    progress: Report,
) -> tuple[dict[str, Artifact], Found | None]:
    """Write int8 artifacts into `staging`.

    Args:
        directory: The artifact directory with the float artifacts.
        manifest: Its manifest.
        calibration: Preprocessed pictures, from which the ranges of activations are taken.
        staging: An empty directory.
        formats: Which of `ALL_FORMATS`.
        choice: What is measured first. Layers that ONNX keeps float stay float for Paddle too.
        install: Whether opt may be installed on the way.
        progress: Called with a line for people at every step.

    Returns:
        The new entries of the manifest, and what was found where `choice` asks for something.

    Raises:
        ConversionError: A converter failed, hung, or wrote something else.
        ToolError: opt or a package is missing.
    """
    made: dict[str, Artifact] = {}
    found: Found | None = None
    opt = require_opt(install=install, progress=progress) if "nb" in formats else None
    if "mnn" in formats:
        python = require_python(MNNCONVERT, install=install, progress=progress)
        progress(f"quantising {manifest.name} with MNN on at most {MNN_PICTURES} pictures")
        made[ArtifactKind.MNN_INT8.value] = _quantize_mnn(python, directory, manifest, calibration, staging)
    if "onnx" in formats:
        progress(f"quantising {manifest.name} to ONNX int8 on {calibration.shape[0]} pictures")
        made[ArtifactKind.ONNX_INT8.value], found = _run_worker(
            directory,
            manifest,
            ArtifactKind.ONNX,
            ArtifactKind.ONNX_INT8,
            calibration,
            staging,
            choice,
            progress,
        )
    if opt is not None:
        progress(f"quantising {manifest.name} with Paddle on {calibration.shape[0]} pictures")
        kept = Choice(kept_float=() if found is None else found.recipe.kept_float)
        program, _ = _run_worker(
            directory,
            manifest,
            ArtifactKind.PADDLE,
            ArtifactKind.PADDLE_INT8,
            calibration,
            staging,
            kept,
            progress,
        )
        made[ArtifactKind.PADDLE_INT8.value] = program
        model, params = (staging / file.path for file in program.files)
        output = staging / ArtifactKind.NB_ARM_INT8.file_names[0]
        with lite_worker(opt) as worker:
            header = convert(worker, opt, model, params, {"arm": output}, name=f"int8 {manifest.name}")["arm"]
        made[ArtifactKind.NB_ARM_INT8.value] = describe_artifact(
            staging,
            ArtifactKind.NB_ARM_INT8,
            ("paddle_lite_opt", header.opt_version),
            (program.inputs, program.outputs),
            {"valid_targets": "arm"},
            program,
        )
    return made, found


def _quantize_mnn(
    python: Path, directory: Path, manifest: Manifest, calibration: Calibration, staging: Path
) -> Artifact:
    import numpy

    parent, kind = manifest.artifact(ArtifactKind.MNN), ArtifactKind.MNN_INT8
    assert parent is not None
    inputs = numpy.memmap(calibration.path, dtype="<f4", mode="r", shape=calibration.shape)
    count = min(len(inputs), MNN_PICTURES)
    chosen = inputs[[index * len(inputs) // count for index in range(count)]]
    signature = (parent.inputs, parent.outputs)
    model, output = (directory / parent.main_file).absolute(), (staging / kind.file_names[0]).absolute()
    options = quantize_mnn(python, model, signature, chosen, output, manifest.name)
    return describe_artifact(
        staging,
        kind,
        ("mnnquant", MNNCONVERT.version),
        signature,
        {**options, "calibration_pictures": str(count)},
        parent,
    )


_OPTIONS = {
    ArtifactKind.ONNX_INT8: {
        "format": "QDQ",
        "activations": "uint8",
        "weights": "int8 per channel",
        "ranges": "MinMax",
    },
    ArtifactKind.PADDLE_INT8: {"algo": "hist", "weight_quantize_type": "channel_wise_abs_max"},
}


def _run_worker(
    directory: Path,
    manifest: Manifest,
    source: ArtifactKind,
    kind: ArtifactKind,
    calibration: Calibration,
    staging: Path,
    choice: Choice,
    progress: Report,
) -> tuple[Artifact, Found | None]:
    parent = manifest.artifact(source)
    assert parent is not None
    files = [str((directory / file.path).absolute()) for file in parent.files]
    outputs = tuple(str((staging / name).absolute()) for name in kind.file_names)
    job = QuantizeJob(
        route=kind.format,
        model=files[0],
        params=files[1] if kind is ArtifactKind.PADDLE_INT8 else None,
        input_name=parent.inputs[0].name,
        calibration=str(calibration.path),
        shape=calibration.shape,
        outputs=outputs,
        search=choice.search,
        kept_float=choice.kept_float,
        float_limit=choice.float_limit,
    )
    purpose = f"quantising {manifest.name} to {kind.value}"
    found: Found | None = None
    hint = f"edgekit --verbose quantize {manifest.name} --calibration DIR"
    with Worker[Trial | Found](
        paddle.worker(WORKER),
        Trial | Found,
        failure=ConversionError,
        timeout_s=WORKER_TIMEOUT_S,
        env=_ENVIRONMENT,
    ) as worker:
        for answer in worker.ask(job, purpose, hint=hint):
            if isinstance(answer, Trial):
                progress(describe(answer))
            else:
                found = answer
    missing = [output for output in outputs if not Path(output).is_file() or not Path(output).stat().st_size]
    if missing:
        raise ConversionError(f"{purpose}: {len(missing)} of {len(outputs)} files missing")
    tool = "onnxruntime" if kind is ArtifactKind.ONNX_INT8 else "paddlepaddle"
    kept = choice.kept_float if found is None else found.recipe.kept_float
    options = {
        **_OPTIONS[kind],
        **({} if found is None else _recipe_options(found.recipe)),
        **({"kept_float": ", ".join(kept)} if kept else {}),
        "calibration_pictures": str(calibration.shape[0]),
    }
    version = paddle.worker_version(tool) or "unknown"
    signature = (parent.inputs, parent.outputs)
    return describe_artifact(staging, kind, (tool, version), signature, options, parent), found


def _recipe_options(recipe: Recipe) -> dict[str, str]:
    return {
        "ranges": recipe.ranges.value,
        "weights": f"int8 per channel, {7 if recipe.reduce_range else 8} bits",
        "bias_correction": "yes" if recipe.bias_correction else "no",
    }
