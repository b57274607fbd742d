"""The ladder of a model with one input and one output, both float32: rows of numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from edgekit.core.artifact import Artifact, Origin
from edgekit.core.parity import Parity
from edgekit.core.spec import ModelSpec, Precision
from edgekit.parity.climb import Climb, Show
from edgekit.parity.inputs import LadderInputs
from edgekit.parity.ladder import SAMPLES, Rung
from edgekit.parity.reference import compare_answers
from edgekit.parity.source import compute_source
from edgekit.targets.target import HostTarget, Subject, infer_batches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class RowClimb(Climb["NDArray[np.float32]"]):
    """Ladder of outputs float32[N, C], one row an input.

    Args:
        subject: The model.
        show: Called with each rung when it is done.
        inputs: Inputs of the ladder; a rung computes those for its precision.
    """

    def __init__(self, subject: Subject, show: Show, inputs: LadderInputs) -> None:
        super().__init__(subject, show, len(inputs.every))
        self.inputs = inputs
        self._outputs: dict[str, NDArray[np.float32]] = {}

    def first_output(
        self, network: Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]
    ) -> NDArray[np.float32]:
        """Return the rows of a network that computes all inputs at once."""
        outputs = network(self.inputs.every)[0]
        return outputs.reshape(len(outputs), -1)

    def source(self, origin: Origin) -> NDArray[np.float32]:
        return compute_source(origin, self._subject, self.inputs.every, HostTarget(install=False))

    def compute(self, rung: Rung, artifact: Artifact) -> NDArray[np.float32]:
        # The first rung that computes is what all others are compared with, on every input.
        part = slice(None) if self._reference is None else self.inputs.of(rung.kind.precision)
        batch_size = artifact.fixed_batch or 1
        with self.runner(rung, artifact, batch_size) as session:
            self._outputs[rung.name] = infer_batches(session, self.inputs.every[part], batch_size)
        return self._outputs[rung.name]

    def compare(
        self, outputs: NDArray[np.float32], wanted: NDArray[np.float32], precision: Precision, reference: str
    ) -> Parity:
        if outputs is not wanted:
            wanted = wanted[self.inputs.of(precision)]
        return compare_answers(self._task, outputs, wanted, precision=precision, reference_name=reference)

    def by_output(self, outputs: NDArray[np.float32]) -> Sequence[Sequence[NDArray[Any]]]:
        return [list(outputs)]

    def _judge_rung(self, rung: Rung, name: str, engine: str, outputs: NDArray[np.float32]) -> None:
        """Judge a rung by the rung below: on all inputs by class, on pictures by the tolerance too.

        Noise drives activations beyond the ranges that pictures calibrated, where rounding is magnified.
        """
        below = self._outputs.get(rung.below or "")
        if rung.below is None or below is None:
            super()._judge_rung(rung, name, engine, outputs)
            return
        precision = rung.kind.precision
        noise = max(0, self.inputs.seeded - (self.inputs.of(precision).start or 0))
        parity = compare_answers(self._task, outputs, below, precision=precision, reference_name=rung.below)
        if parity.passed and len(outputs) > noise:
            parity = compare_answers(
                self._task, outputs[noise:], below[noise:], precision=precision, reference_name=rung.below,
                tolerance=rung.tolerance,
            )  # fmt: skip
        self._add(name, engine, parity)

    def samples(self, spec: ModelSpec) -> None:
        """Compare the reference's answers on the card's pictures with the classes that the pictures show."""
        wanted = [sample.class_id for sample in spec.samples if sample.class_id is not None]
        if not wanted or self._reference is None:
            return
        engine, outputs = self._reference
        shown = outputs[: len(outputs) - self.inputs.held_back]
        found = [int(row.argmax()) for row in shown[-len(wanted) :]]
        agreeing = sum(a == b for a, b in zip(found, wanted, strict=True))
        reason = None if agreeing == len(wanted) else f"pictures show the classes {wanted}, answered {found}"
        parity = Parity(
            reference="labels",
            inputs=len(wanted),
            max_relative_error=None,
            top1_agreement=agreeing / len(wanted),
            outputs_differ=len(set(found)) > 1 or len(wanted) == 1,
            passed=reason is None,
            reason=reason,
        )
        self._add(SAMPLES, engine, parity)
