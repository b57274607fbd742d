"""The ladder of models of tensors: several inputs or outputs, or other types than float32.

Sources of imported models, and artifacts made from them, are computed on this machine by a process that loads
them with the engine's Python interface. Runners compute exported networks, and everything on devices. Every
output is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit.core.artifact import Artifact, ArtifactKind, Origin, TensorSpec
from edgekit.core.feeds import seeded_feed
from edgekit.core.parity import MAX_RELATIVE_ERROR, NUMBERS, Parity, compare
from edgekit.core.spec import Precision
from edgekit.engines.registry import rung_engine
from edgekit.parity.climb import Climb, Show
from edgekit.parity.inputs import held_back_inputs
from edgekit.parity.ladder import Rung
from edgekit.parity.source import compute_feeds, source_paths
from edgekit.targets.target import Subject, infer_feeds
from edgekit.tasks.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEEDS = 4
# Kinds of artifacts that a process of its own can load, with the engine that computes them there.
_LOADED = (ArtifactKind.ONNX, ArtifactKind.PADDLE, ArtifactKind.NB_X86, ArtifactKind.ONNX_INT8)
_ENGINES = {kind: rung_engine(kind) for kind in _LOADED}

# Arrays by feed, in the order of the model's inputs or outputs.
Feeds = list[list["NDArray[Any]"]]
Outputs = list[list["NDArray[Any]"]]


class TensorClimb(Climb[Outputs]):
    """Ladder of all outputs by feed, each output in its own type.

    Args:
        subject: The model.
        show: Called with each rung when it is done.
        pictures: More inputs of a model with one input, each without the batch.
    """

    def __init__(
        self,
        subject: Subject,
        show: Show,
        pictures: Sequence[NDArray[Any]] = (),
    ) -> None:
        kept = held_back_inputs(subject) if len(subject.manifest.inputs) == 1 else None
        self._held_back = 0 if kept is None else len(kept)
        self.feeds: Feeds = [seeded_feed(subject.manifest.inputs, number) for number in range(FEEDS)]
        self.feeds += [[picture[None]] for picture in (*pictures, *(() if kept is None else kept))]
        super().__init__(subject, show, len(self.feeds))

    def by_feed(self, network: Callable[[NDArray[Any]], list[NDArray[Any]]]) -> Outputs:
        """Return the outputs by feed of a network with one input, which computes all feeds at once."""
        import numpy

        outputs = network(numpy.concatenate([feed[0] for feed in self.feeds]))
        return [[each[number : number + 1] for each in outputs] for number in range(len(self.feeds))]

    def source(self, origin: Origin) -> Outputs:
        paths = source_paths(origin, self._subject)
        return compute_feeds(origin.format, paths, self._typed(self._subject.manifest.inputs))

    def compute(self, rung: Rung, artifact: Artifact) -> Outputs:
        is_exported = self._subject.manifest.origin is None
        if is_exported or _ENGINES.get(rung.kind) != rung.engine or "@" in rung.name:
            with self.runner(rung, artifact) as session:
                return infer_feeds(session, self.feeds)
        paths = [str(self._subject.directory.absolute() / file.path) for file in artifact.files]
        return compute_feeds(rung.kind.format, paths, self._typed(artifact.inputs))

    def _typed(self, inputs: Sequence[TensorSpec]) -> Feeds:
        """Return the feeds in the types that a model or an artifact takes."""
        return [
            [array.astype(spec.dtype) for array, spec in zip(feed, inputs, strict=True)]
            for feed in self.feeds
        ]

    def compare(self, outputs: Outputs, wanted: Outputs, precision: Precision, reference: str) -> Parity:
        part = slice(None)
        if self._held_back:
            # int8 is judged on the kept pictures alone: noise leaves the ranges that were calibrated.
            count = len(outputs) - self._held_back
            part = slice(count, None) if precision is Precision.INT8 else slice(0, count)
        return judge_outputs(self._task, outputs[part], wanted[part], precision, reference)

    def by_output(self, outputs: Outputs) -> list[list[NDArray[Any]]]:
        return by_output(outputs)


def by_output(outputs: Outputs) -> list[list[NDArray[Any]]]:
    """Return for each output its numbers by feed, in one axis."""
    return [[array.reshape(-1) for array in arrays] for arrays in zip(*outputs, strict=True)]


def judge_outputs(
    task: Task, outputs: Outputs, wanted: Outputs, precision: Precision, reference: str
) -> Parity:
    """Return the verdict on the output with the largest error, and on the answers.

    One output that differs between inputs is enough: another may be constant, such as a number of boxes.
    """
    if len(outputs[0]) != len(wanted[0]):
        return Parity(
            reference=reference, inputs=len(wanted), max_relative_error=None, top1_agreement=0.0,
            outputs_differ=True, passed=False,
            reason=f"{len(outputs[0])} outputs instead of {len(wanted[0])}", judged_by=NUMBERS,
        )  # fmt: skip
    parities = [
        compare(
            mine, theirs, precision=precision, reference_name=reference,
            is_sigmoid=spec.is_sigmoid,
        )
        for mine, theirs, spec in zip(
            by_output(outputs), by_output(wanted), task.manifest.outputs, strict=True
        )
    ]  # fmt: skip
    differ = any(parity.outputs_differ for parity in parities)
    limit = MAX_RELATIVE_ERROR[precision]
    for index, parity in enumerate(parities):
        error = parity.max_relative_error
        right = error is not None and (limit is None or error <= limit or task.decides)
        if not right or not differ:
            reason = parity.reason if parity.outputs_differ or not differ else f"relative error {error:.2e}"
            return msgspec.structs.replace(parity, passed=False, reason=f"output {index}: {reason}")
    worst = max(parities, key=lambda parity: parity.max_relative_error or 0.0)
    agreement = task.agreement(_joined(task, outputs), _joined(task, wanted), limit)
    reason = None if agreement is None else agreement.failure(precision, limit)
    if task.decides and agreement is not None:
        worst = msgspec.structs.replace(worst, max_relative_error=1 - agreement.share)
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
