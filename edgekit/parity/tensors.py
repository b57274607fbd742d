"""The ladder of models of tensors: several inputs or outputs, or other types than float32.

A source, and on this machine what was made from it, is computed by a process that loads the model with the
engine's own interface; exported networks and everything on devices by runners. Every output is compared.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit.convert.manifest import remake
from edgekit.core.artifact import Artifact, ArtifactKind, Origin, TensorSpec
from edgekit.core.feeds import seeded_feed
from edgekit.core.parity import MAX_RELATIVE_ERROR, NUMBERS, Parity, compare
from edgekit.core.spec import Precision
from edgekit.engines.registry import rung_engine
from edgekit.errors import EdgekitError, InputError, ToolError, UnsupportedError
from edgekit.parity.inputs import held_back_inputs
from edgekit.parity.ladder import DYGRAPH, Ladder, Rung, RungResult, RungStatus
from edgekit.parity.source import SOURCE, compute_feeds, source_engine
from edgekit.targets.target import Subject, infer_feeds, load_request
from edgekit.tasks.registry import task_of
from edgekit.tasks.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEEDS = 4
# What is loaded in a process of its own, and the engine that this is.
_LOADED = (ArtifactKind.ONNX, ArtifactKind.PADDLE, ArtifactKind.NB_X86, ArtifactKind.ONNX_INT8)
_ENGINES = {kind: rung_engine(kind) for kind in _LOADED}

# Arrays by feed, in the order of the model's inputs or outputs.
Feeds = list[list["NDArray[Any]"]]
Outputs = list[list["NDArray[Any]"]]


def climb_tensors(
    subject: Subject,
    rungs: Sequence[Rung],
    show: Callable[[RungResult], None],
    *,
    network: Callable[[Feeds], Outputs] | None = None,
    pictures: Sequence[NDArray[Any]] = (),
) -> Ladder:
    """Compare every output of every artifact with the source's or the network's, on seeded inputs.

    Args:
        subject: The model.
        rungs: Those above the first, bottom up.
        show: Called with each rung when it is done.
        network: Computes the network that was exported; None for an imported model. Where its weights are not
            at hand, the first artifact that can be computed is what the others are compared with.
        pictures: More inputs of a model with one input, each without the batch.

    Raises:
        InputError: The source is not at hand.
        EdgekitError: The source cannot be computed.
    """
    return _Climb(subject, show, pictures).climb(rungs, network)


class _Climb:
    """The ladder while it is climbed."""

    def __init__(
        self, subject: Subject, show: Callable[[RungResult], None], pictures: Sequence[NDArray[Any]]
    ) -> None:
        self._subject = subject
        self._show = show
        self._task = task_of(subject.manifest)
        self._results: list[RungResult] = []
        self._feeds: Feeds = [seeded_feed(subject.manifest.inputs, number) for number in range(FEEDS)]
        self._feeds += [[picture[None]] for picture in pictures]
        kept = held_back_inputs(subject) if len(subject.manifest.inputs) == 1 else None
        self._held_back = 0 if kept is None else len(kept)
        self._feeds += [] if kept is None else [[picture[None]] for picture in kept]
        self._wanted: tuple[str, Outputs] | None = None
        # An imported model has no reference but its source.
        self._is_void = False

    def climb(self, rungs: Sequence[Rung], network: Callable[[Feeds], Outputs] | None) -> Ladder:
        if network is not None:
            self._rung(DYGRAPH, "paddle", Precision.FP32, lambda: network(self._feeds))
        else:
            origin = self._origin()
            outputs = self._compute(origin.format, origin, self._subject.manifest.inputs)
            self._judge(SOURCE, source_engine(origin), Precision.FP32, outputs)
            self._is_void = self._wanted is None
        for rung in rungs:
            artifact = self._subject.artifact(rung.kind)
            if self._is_void:
                self._skip(rung.name, rung.engine, f"there is no {SOURCE} to compare it with")
            else:
                compute = functools.partial(self._compute, rung.kind.format, artifact, artifact.inputs)
                if network is not None or _ENGINES.get(rung.kind) != rung.engine or "@" in rung.name:
                    compute = functools.partial(self._run, rung, artifact)
                self._rung(rung.name, rung.engine, rung.kind.precision, compute)
        return Ladder(
            name=self._subject.manifest.name,
            directory=str(self._subject.directory),
            reference=self._wanted[0] if self._wanted else SOURCE,
            inputs=len(self._feeds),
            rungs=tuple(self._results),
        )

    def _origin(self) -> Origin:
        manifest = self._subject.manifest
        if manifest.origin is None:
            raise InputError(
                f"verifying {manifest.name}: it has no source to compare with",
                hint="import it again: an older edgekit did not keep the source",
            )
        return manifest.origin

    def _compute(self, format_name: str, owner: Artifact | Origin, inputs: Sequence[TensorSpec]) -> Outputs:
        """Return the outputs by feed, each in the types that an artifact takes."""
        paths = [str(self._subject.directory.absolute() / file.path) for file in owner.files]
        feeds = [
            [array.astype(spec.dtype) for array, spec in zip(feed, inputs, strict=True)]
            for feed in self._feeds
        ]
        return compute_feeds(format_name, paths, feeds)

    def _run(self, rung: Rung, artifact: Artifact) -> Outputs:
        """Return the outputs by feed, computed by the engine's runner."""
        subject, target = self._subject, rung.target
        target.prepare(rung.engine)
        label, again = (
            f"{rung.engine} on {subject.manifest.name}",
            functools.partial(remake, subject.manifest),
        )
        with target.session(rung.engine, label, remake=again) as session:
            options = {**target.options(rung.engine, rung.kind.precision, {}), **rung.options}
            request = load_request(target, subject, artifact, options=options)
            if not session.shares_files:
                # The store trusts size and time of a file that it checked once; the runner hashes it again.
                session.check(request.model, artifact.files[0].sha256)
            session.load(request)
            return infer_feeds(session, self._feeds)

    def _rung(self, name: str, engine: str, precision: Precision, compute: Callable[[], Outputs]) -> None:
        try:
            outputs = compute()
        except EdgekitError as error:
            skips = isinstance(error, (ToolError, UnsupportedError))
            status = RungStatus.SKIPPED if skips else RungStatus.FAILED
            hint = error.hint if skips else None
            self._keep(RungResult(name=name, engine=engine, status=status, reason=error.message, hint=hint))
        else:
            self._judge(name, engine, precision, outputs)

    def _judge(self, name: str, engine: str, precision: Precision, outputs: Outputs) -> None:
        if self._wanted is not None:
            reference, wanted = self._wanted
            self._judged(name, engine, self._parity(outputs, wanted, precision, reference))
            return
        # Compared with itself, the reference still has to be finite and to depend on its input.
        itself = self._parity(outputs, outputs, precision, name)
        if not itself.passed:
            self._judged(name, engine, itself)
            return
        self._wanted = (name, outputs)
        self._keep(RungResult(name=name, engine=engine, status=RungStatus.REFERENCE))

    def _parity(self, outputs: Outputs, wanted: Outputs, precision: Precision, reference: str) -> Parity:
        part = slice(None)
        if self._held_back:
            # int8 is judged on the kept pictures alone: noise leaves the ranges that were calibrated.
            count = len(outputs) - self._held_back
            part = slice(count, None) if precision is Precision.INT8 else slice(0, count)
        return judge_outputs(self._task, outputs[part], wanted[part], precision, reference)

    def _skip(self, name: str, engine: str, reason: str) -> None:
        self._keep(RungResult(name=name, engine=engine, status=RungStatus.SKIPPED, reason=reason))

    def _judged(self, name: str, engine: str, parity: Parity) -> None:
        status = RungStatus.PASSED if parity.passed else RungStatus.FAILED
        self._keep(RungResult(name=name, engine=engine, status=status, parity=parity, reason=parity.reason))

    def _keep(self, result: RungResult) -> None:
        self._results.append(result)
        self._show(result)


def _rows(arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    return [array.astype(float).reshape(-1) for array in arrays]


def judge_outputs(
    task: Task, outputs: Outputs, wanted: Outputs, precision: Precision, reference: str
) -> Parity:
    """Return the verdict on the output that comes off worst, and on the answers.

    One output that differs between inputs is enough: another may well be constant, as a number of boxes.
    """
    if len(outputs[0]) != len(wanted[0]):
        return Parity(
            reference=reference, inputs=len(wanted), max_relative_error=None, top1_agreement=0.0,
            outputs_differ=True, passed=False,
            reason=f"{len(outputs[0])} outputs instead of {len(wanted[0])}", judged_by=NUMBERS,
        )  # fmt: skip
    parities = [
        compare(
            _rows(mine), _rows(theirs), precision=precision, reference_name=reference,
            is_sigmoid=spec.is_sigmoid,
        )
        for mine, theirs, spec in zip(
            zip(*outputs, strict=True), zip(*wanted, strict=True), task.manifest.outputs,
            strict=True,
        )
    ]  # fmt: skip
    differ = any(parity.outputs_differ for parity in parities)
    limit = MAX_RELATIVE_ERROR[precision]
    for index, parity in enumerate(parities):
        error = parity.max_relative_error
        right = error is not None and (limit is None or error <= limit)
        if not right or not differ:
            reason = parity.reason if parity.outputs_differ or not differ else f"relative error {error:.2e}"
            return msgspec.structs.replace(parity, passed=False, reason=f"output {index}: {reason}")
    worst = max(parities, key=lambda parity: parity.max_relative_error or 0.0)
    agreement = task.agreement(_joined(task, outputs), _joined(task, wanted), limit)
    reason = None if agreement is None else agreement.failure(precision, limit)
    return msgspec.structs.replace(
        worst, passed=reason is None, reason=reason, outputs_differ=True,
        top1_agreement=1.0 if agreement is None else agreement.share,
        judged_by=NUMBERS if agreement is None else agreement.judged_by,
    )  # fmt: skip


def _joined(task: Task, outputs: Outputs) -> dict[str, NDArray[Any]]:
    """Return each output of all feeds as a batch, by name."""
    import numpy

    names = [spec.name for spec in task.manifest.outputs]
    return {
        name: numpy.concatenate([numpy.atleast_1d(array) for array in arrays])
        for name, arrays in zip(names, zip(*outputs, strict=True), strict=True)
    }
