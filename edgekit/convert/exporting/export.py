"""Export: build a network's Paddle, ONNX and Paddle Lite files and write the manifest that names them."""

from __future__ import annotations

import contextlib
import enum
import logging
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgekit import __version__
from edgekit._files import output_error
from edgekit.convert.checking import Check, keep_what_holds, tell_of_dropped
from edgekit.convert.entries import describe_artifact, describe_children, describe_nb
from edgekit.convert.exporting.jobs import BuildJob, OnnxBuilt, PaddleBuilt
from edgekit.convert.exporting.lanes import spread
from edgekit.convert.exporting.overlap import Export, Steps, Stop, overlapped
from edgekit.convert.exporting.plan import ExportRequest, Plan, has_weights, make_plan, why_outdated
from edgekit.convert.exporting.workers import ExportWorkers
from edgekit.convert.formats.lite import TARGETS, Ended, begin, check_loadable, headers_of
from edgekit.convert.formats.nb import NbHeader
from edgekit.convert.formats.onnx import OPSET_VERSION
from edgekit.convert.formats.onnx_children import Child, make_children
from edgekit.convert.manifest import first_fault, load_manifest, stage_manifest
from edgekit.convert.staging import commit, exclusive, staging_directory
from edgekit.core.artifact import (
    LABELS_NAME,
    MANIFEST_NAME,
    Artifact,
    ArtifactKind,
    Manifest,
)
from edgekit.core.parity import rung_artifact
from edgekit.core.spec import ModelSpec
from edgekit.errors import ConversionError, EdgekitError, InputError, OutputError
from edgekit.tasks.registry import find_task
from edgekit.tasks.task import written_rule
from edgekit.toolchain.component import Report
from edgekit.vision.labels import load_labels

logger = logging.getLogger("edgekit")

PROBE_BYTES = 1 << 20


class Status(enum.Enum):
    """How an export ended."""

    EXPORTED = "exported"
    UNCHANGED = "unchanged"
    FAILED = "failed"


class ExportOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one request.

    Attributes:
        name: Name of the exported model.
        directory: The artifact directory.
        status: How it ended.
        manifest: The directory's manifest; None where the export failed.
        error: Why it failed.
    """

    name: str
    directory: Path
    status: Status
    manifest: Manifest | None = None
    error: EdgekitError | None = None

    @property
    def changed(self) -> bool:
        return self.status is Status.EXPORTED


CheckOf = Callable[[ExportRequest, Report], Check]


def export(
    requests: Sequence[ExportRequest],
    *,
    check: CheckOf | None = None,
    jobs: int = 1,
    progress: Report,
    finished: Callable[[ExportOutcome], None] | None = None,
) -> list[ExportOutcome]:
    """Export models one after another, or several side by side; a failure does not keep the others from it.

    Every directory ends in its old state or in the new one. Where nothing has changed nothing is done.
    Artifacts that fail their check, and those made from them, are not written.

    Args:
        requests: The models.
        check: Gives what compares a request's artifacts with its network, and tells its lines to the second
            argument; None leaves them unchecked. With several jobs it is called in other threads.
        jobs: How many models are made at once, each by a worker of its own.
        progress: Called with a line for the user about each step.
        finished: Called with each outcome as soon as it is there.

    Returns:
        One outcome a request, in order.
    """
    planning = threading.Lock()

    def steps(request: ExportRequest, workers: ExportWorkers, report: Report) -> Export[ExportOutcome]:
        try:
            if not (has_weights(request) and planning.acquire(blocking=False)):
                yield Stop.WAITS  # for a download of this lane or of another, maybe for minutes
                planning.acquire()
            try:  # what is missing is fetched once
                plan = make_plan(request, report)
            finally:
                planning.release()
            outcome = yield from _export_one(request, plan, workers, check, report)
        except EdgekitError as error:
            name, directory = request.model_name, request.directory
            outcome = ExportOutcome(name=name, directory=directory, status=Status.FAILED, error=error)
        yield outcome

    def in_turn(
        asked: Iterator[ExportRequest], workers: ExportWorkers, report: Report
    ) -> Generator[ExportOutcome, None, None]:
        return overlapped(steps(request, workers, report) for request in asked)

    return spread(requests, jobs, ExportWorkers, in_turn, progress, finished or (lambda _outcome: None))


def _export_one(
    request: ExportRequest, plan: Plan, workers: ExportWorkers, check: CheckOf | None, progress: Report
) -> Steps[ExportOutcome]:
    directory = request.directory
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(exclusive(directory, timeout_s=0))
        except OutputError:
            # It may be in use. The last model's directory is left first: of two commands with the same models
            # in another order each would wait for the other.
            yield Stop.WAITS
            held.enter_context(exclusive(directory))
        previous = _previous_manifest(directory, request.force)
        reason = "asked to" if request.force else why_outdated(plan, previous, directory)
        if reason is None and check is not None and not (previous is not None and previous.parity):
            reason = "not checked yet"
        if reason is None:
            return ExportOutcome(
                name=request.model_name, directory=directory, status=Status.UNCHANGED, manifest=previous
            )
        progress(f"exporting {request.model_name} to {directory} ({reason})")
        for line in plan.notes:
            logger.warning("%s: %s", request.model_name, line)
        with staging_directory(directory) as staging:
            manifest = yield from _make(
                request, plan, workers, staging, check and check(request, progress), previous
            )
            commit(staging, directory)
        tell_of_dropped(previous, manifest, directory, progress)
    return ExportOutcome(
        name=request.model_name, directory=directory, status=Status.EXPORTED, manifest=manifest
    )


def _previous_manifest(directory: Path, force: bool) -> Manifest | None:
    """Read the directory's manifest; None where there is none or it is damaged.

    Raises:
        InputError: A newer edgekit wrote it, and `force` is not given.
    """
    if not (directory / MANIFEST_NAME).exists():
        return None
    try:
        return load_manifest(directory)
    except InputError as error:
        if "schema version" in error.message and not force:
            raise
        logger.warning("%s; making it again", error.message)
        return None


def _make(
    request: ExportRequest,
    plan: Plan,
    workers: ExportWorkers,
    staging: Path,
    check: Check | None,
    previous: Manifest | None,
) -> Steps[Manifest]:
    """Fill the staging directory with artifacts, labels and manifest."""
    try:
        built, artifacts = yield from _build(request, plan, workers, staging)
        labels = _labels(request, plan, built.num_classes)
        manifest = Manifest(
            edgekit_version=__version__,
            name=request.model_name,
            model=request.spec.name,
            source=built.source,
            source_sha256=built.source_sha256,
            task=plan.spec.task,
            num_classes=built.num_classes,
            output_activation=plan.activation,
            preprocess=plan.spec.preprocess,
            postprocess=_postprocess(plan.spec),
            labels=None if labels is None else LABELS_NAME,
            inputs=built.inputs,
            outputs=built.outputs,
            artifacts=artifacts,
            notes=plan.notes,
            recipe=plan.recipe,
            command=request.command,
        )
        manifest = keep_what_holds(manifest, staging, check, request)
        if previous is not None:
            manifest = _with_earlier(manifest, previous, request.directory)
        stage_manifest(manifest, labels, staging)
        return manifest
    except OSError as error:
        raise output_error(request.directory, error) from error
    except OutputError:
        raise
    except EdgekitError as error:
        full = _full_disk(staging)
        if full is not None:
            raise output_error(request.directory, full) from error
        raise


def _postprocess(spec: ModelSpec) -> dict[str, Any]:
    """Return the card's post-processing with its defaults written out. Raises InputError."""
    rule = find_task(spec.task).read_rule(spec.postprocess, f"the card of {spec.name}")
    return written_rule(rule)


def _full_disk(staging: Path) -> OSError | None:
    """Write a megabyte to find whether the disk is full: converters do not say that it is."""
    probe = staging / "probe"
    try:
        with probe.open("wb") as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
        probe.unlink()
    except OSError as error:
        return error
    return None


def _build(
    request: ExportRequest, plan: Plan, workers: ExportWorkers, staging: Path
) -> Steps[tuple[PaddleBuilt, dict[str, Artifact]]]:
    """Let Paddle's process write Paddle and ONNX; opt runs beside it once Paddle's files are there."""
    job = BuildJob(
        name=request.model_name,
        spec=request.spec,
        input_shape=plan.spec.input_shape,
        weights=request.weights,
        num_classes=request.num_classes,
        activation=plan.activation,
        directory=str(staging.absolute()),
        with_onnx=ArtifactKind.ONNX in plan.kinds,
    )
    name = request.model_name
    model, params, _ = (staging / file for file in ArtifactKind.PADDLE.file_names)
    outputs = {target: staging / TARGETS[target].file_names[0] for target in plan.nb_targets}
    onnx: OnnxBuilt | None = None
    with contextlib.ExitStack() as running:
        paddle = workers.paddle.ask(job, request.doing, hint=f"edgekit --verbose export {name}")
        answers = running.enter_context(contextlib.closing(paddle))
        if plan.opt is not None:
            workers.lite(plan.opt)  # ready when the Paddle model is
        yield Stop.WAITS
        built = next(answers)
        assert isinstance(built, PaddleBuilt)
        runs: Iterable[Ended] = ()
        if plan.opt is not None:
            opt = begin(workers.lite(plan.opt), plan.opt, model, params, outputs, name=name)
            runs = running.enter_context(contextlib.closing(opt))
        try:
            for answer in answers:
                assert isinstance(answer, OnnxBuilt)
                onnx = answer
        except ConversionError as error:
            raise ConversionError(error.message, hint=request.without_format("onnx")) from error
        yield Stop.BUILT
        headers = _read_headers(request, plan, workers, runs, outputs)
    children: Sequence[Child] = ()
    if onnx is not None:
        path, signature = staging / ArtifactKind.ONNX.file_names[0], (onnx.inputs, onnx.outputs)
        children = make_children(plan.converters, path, signature, staging, name, request.without_format)
    return built, _describe(built, onnx, headers, children, staging)


def _read_headers(
    request: ExportRequest,
    plan: Plan,
    workers: ExportWorkers,
    runs: Iterable[Ended],
    outputs: dict[str, Path],
) -> dict[str, NbHeader]:
    """Wait for opt's runs, and load what this host can load."""
    if plan.opt is None:
        return {}
    try:
        headers = headers_of(runs, plan.opt, outputs, request.model_name)
    except ConversionError as error:
        raise ConversionError(error.message, hint=request.without_format("nb")) from error
    if "x86" in headers:
        check_loadable(workers.lite(plan.opt), plan.opt, outputs["x86"], request.model_name)
    return headers


def _describe(
    built: PaddleBuilt,
    onnx: OnnxBuilt | None,
    headers: dict[str, NbHeader],
    children: Sequence[Child],
    staging: Path,
) -> dict[str, Artifact]:
    """Entries of the manifest for the files in the staging directory, by kind."""

    signature, legacy = (built.inputs, built.outputs), {"format": "legacy"}
    tool = ("paddlepaddle", built.tool_version)
    paddle = describe_artifact(staging, ArtifactKind.PADDLE, tool, signature, legacy, None)
    artifacts = {ArtifactKind.PADDLE.value: paddle}
    if onnx is not None:
        tool, signature = ("paddle2onnx", onnx.tool_version), (onnx.inputs, onnx.outputs)
        opset = {"opset_version": str(OPSET_VERSION)}
        kind = ArtifactKind.ONNX
        artifacts[kind.value] = describe_artifact(staging, kind, tool, signature, opset, paddle)
        artifacts |= describe_children(staging, children, artifacts[kind.value])
    return artifacts | describe_nb(staging, headers, paddle)


def _with_earlier(manifest: Manifest, previous: Manifest, directory: Path) -> Manifest:
    """Add an earlier export's artifacts that are still right, and the parity of equal ones."""
    artifacts = {**manifest.artifacts, **_still_valid(previous, directory, manifest)}
    same = {
        key for key, artifact in artifacts.items()
        if key in previous.artifacts and previous.artifacts[key].sha256 == artifact.sha256
    }  # fmt: skip
    known = {rung: parity for rung, parity in previous.parity.items() if rung_artifact(rung) in same}
    return msgspec.structs.replace(
        manifest,
        artifacts={kind.value: artifacts[kind.value] for kind in ArtifactKind if kind.value in artifacts},
        parity={**known, **manifest.parity},
    )


def _still_valid(previous: Manifest, directory: Path, made: Manifest) -> dict[str, Artifact]:
    """Artifacts of an earlier export whose parents, grandparents and so on have not changed.

    Artifacts with a damaged file, and of a kind that has just failed its check, are left out.
    """
    valid: dict[str, Artifact] = {}
    ancestors = {artifact.sha256 for artifact in made.artifacts.values()}
    waiting = {
        key: artifact
        for key, artifact in previous.artifacts.items()
        if key not in made.artifacts and made.failure(artifact.kind) is None
    }
    while True:
        children = [key for key, artifact in waiting.items() if artifact.parent_sha256 in ancestors]
        if not children:
            return valid
        for key in children:
            artifact = waiting.pop(key)
            if first_fault(artifact, directory) is None:
                valid[key] = artifact
                ancestors.add(artifact.sha256)


def _labels(request: ExportRequest, plan: Plan, num_classes: int) -> tuple[str, ...] | None:
    """The user's labels; else the card's, if the network has as many classes as the card says."""
    if plan.labels is not None:
        request.check_labels(plan.labels, num_classes)
        return plan.labels
    return load_labels(plan.spec.labels, num_classes) if num_classes == plan.spec.num_classes else None
