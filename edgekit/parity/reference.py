"""The outputs that benchmark points are compared with: Paddle Inference, float32, seeded inputs."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.core.artifact import ArtifactKind
from edgekit.core.parity import Parity, compare
from edgekit.core.spec import Precision
from edgekit.engines.registry import rung_engine
from edgekit.errors import ToolError
from edgekit.runners.session import RunnerSession
from edgekit.targets.inputs import seeded_inputs
from edgekit.targets.target import HostTarget, Subject, load_request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger("edgekit")

REFERENCE_ENGINE = rung_engine(ArtifactKind.PADDLE)
# Two inputs are the fewest that show a constant output; int8 needs more for a share of Top-1 to mean much.
INPUTS = 2
INT8_INPUTS = 10


def input_count(precision: Precision, batch_size: int) -> int:
    """How many inputs a point is compared on: whole batches."""
    least = INT8_INPUTS if precision is Precision.INT8 else INPUTS
    return -(-least // batch_size) * batch_size


def infer_batches(
    session: RunnerSession, inputs: NDArray[np.float32], batch_size: int
) -> NDArray[np.float32]:
    """Outputs of all inputs, `batch_size` at a time: float32[N, C]."""
    import numpy

    parts = [
        session.infer(inputs[start : start + batch_size])[0] for start in range(0, len(inputs), batch_size)
    ]
    return numpy.concatenate([part.reshape(len(part), -1) for part in parts])


class Reference:
    """Reference outputs of one model, computed once in a process of its own, more when more are asked."""

    def __init__(self, target: HostTarget, subject: Subject) -> None:
        self._target = target
        self._subject = subject
        self._outputs: NDArray[np.float32] | None = None
        self._guard = threading.Lock()

    def outputs(self, count: int) -> NDArray[np.float32]:
        """Outputs of the first `count` seeded inputs, float32[count, C].

        Raises:
            ToolError: Paddle is not installed.
            InputError: The model has no Paddle artifact.
            RunnerError: Paddle Inference failed.
        """
        with self._guard:
            if self._outputs is None or len(self._outputs) < count:
                self._outputs = self._compute(count)
            return self._outputs[:count]

    def parity(self, outputs: NDArray[np.float32], precision: Precision) -> Parity:
        """Judge the outputs of the first seeded inputs."""
        wanted = self.outputs(len(outputs))
        return compare(
            outputs.tolist(), wanted.tolist(), precision=precision, reference_name=REFERENCE_ENGINE
        )

    def _compute(self, count: int) -> NDArray[np.float32]:
        subject = self._subject
        artifact = subject.artifact(ArtifactKind.PADDLE)
        label = f"the reference ({REFERENCE_ENGINE}) of {subject.manifest.name}"
        with self._target.session(REFERENCE_ENGINE, label) as session:
            options = self._target.options(REFERENCE_ENGINE, Precision.FP32, {})
            session.load(load_request(self._target, subject, artifact, options=options))
            return infer_batches(session, seeded_inputs(count, subject.input_shape), 1)


class References:
    """Reference outputs by model, computed when the first point of a model asks.

    Args:
        host: Where they are computed.
    """

    def __init__(self, host: HostTarget) -> None:
        self._host = host
        self._known: dict[Path, Reference] = {}
        self._available: bool | None = None
        self._guard = threading.Lock()

    def __call__(self, subject: Subject) -> Reference | None:
        with self._guard:
            if self._available is None:
                self._available = self._prepare()
            if not self._available:
                return None
            if subject.directory not in self._known:
                self._known[subject.directory] = Reference(self._host, subject)
            return self._known[subject.directory]

    def _prepare(self) -> bool:
        try:
            self._host.prepare(REFERENCE_ENGINE)
        except ToolError as error:
            logger.warning(
                "parity is not checked, points stay unverified: %s (%s)", error.message, error.hint
            )
            return False
        return True
