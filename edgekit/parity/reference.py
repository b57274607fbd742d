"""The outputs that benchmark points are compared with, and the comparison: float32, seeded inputs.

The source of an imported model gives them, on the engine that reads the source; Paddle Inference computes
them from the Paddle program of an exported model.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.convert.manifest import usable_artifact
from edgekit.core.artifact import ArtifactKind, Manifest, TensorSpec
from edgekit.core.feeds import seeded_feed
from edgekit.core.parity import MAX_RELATIVE_ERROR, Parity, compare
from edgekit.core.spec import Precision
from edgekit.engines.registry import rung_engine
from edgekit.errors import ToolError
from edgekit.parity.alike import warn_if_alike
from edgekit.parity.source import SOURCE, compute_feeds, compute_source, source_engine, source_paths
from edgekit.parity.tensors import FEEDS, by_output, judge_outputs
from edgekit.runners.session import RunnerSession
from edgekit.targets.inputs import seeded_inputs
from edgekit.targets.target import HostTarget, Subject, infer_batches, infer_feeds, load_request
from edgekit.tasks.registry import task_of
from edgekit.tasks.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger("edgekit")

PADDLE = rung_engine(ArtifactKind.PADDLE)
# Two inputs are the fewest that show a constant output; int8 needs more for a share of Top-1 to mean much.
INPUTS = 2
INT8_INPUTS = 10


def input_count(precision: Precision, batch_size: int) -> int:
    """Return the number of inputs on which a point is compared: whole batches."""
    least = INT8_INPUTS if precision is Precision.INT8 else INPUTS
    return -(-least // batch_size) * batch_size


def reference_engine(manifest: Manifest) -> str:
    """Return the engine that computes a model's reference outputs."""
    return PADDLE if manifest.origin is None else source_engine(manifest.origin)


def compare_answers(
    task: Task,
    outputs: NDArray[Any],
    reference: NDArray[Any],
    *,
    precision: Precision,
    reference_name: str,
    tolerance: float | None = None,
) -> Parity:
    """Compare outputs with a reference: their numbers, and the answers that the task makes of them.

    Args:
        task: The model's.
        outputs: One row of numbers an input, float[N,C].
        reference: Rows of the reference, float[N,C].
        precision: Precision that determines the tolerance.
        reference_name: Name of the reference, stored in the result.
        tolerance: Largest relative error; None for the precision's default tolerance.
    """
    if tolerance is None:
        tolerance = MAX_RELATIVE_ERROR[precision]
    (output,) = task.manifest.outputs
    own, wanted = ({output.name: _shaped(each, output)} for each in (outputs, reference))
    return compare(
        outputs,
        reference,
        precision=precision,
        reference_name=reference_name,
        tolerance=tolerance,
        is_sigmoid=output.is_sigmoid,
        agreement=task.agreement(own, wanted, tolerance),
    )


def _shaped(rows: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """Return rows of numbers in the shape of the output; unchanged where they do not fit it."""
    sizes = [size for size in spec.shape[1:] if size is not None]
    fits = len(sizes) == len(spec.shape[1:]) and rows.size == len(rows) * math.prod(sizes)
    return rows.reshape(len(rows), *sizes) if fits else rows


class Reference:
    """Reference outputs of one model, computed in a process of its own when they are asked for, and kept."""

    def __init__(self, target: HostTarget, subject: Subject) -> None:
        self._target = target
        self._subject = subject
        self._task = task_of(subject.manifest)
        self._outputs: NDArray[np.float32] | None = None
        self._by_feed: list[list[NDArray[Any]]] = []
        self._guard = threading.Lock()

    def outputs(self, count: int) -> NDArray[np.float32]:
        """Return the outputs of the first `count` seeded inputs, float32[count, C].

        Raises:
            ToolError: The reference engine is not installed.
            InputError: The model was not imported and has no Paddle artifact, or its source has changed.
            ParityError: The Paddle artifact failed its check.
            RunnerError: The engine failed.
        """
        with self._guard:
            if self._outputs is None or len(self._outputs) < count:
                self._outputs = self._compute(count)
                warn_if_alike(self._subject.manifest, [list(self._outputs)])
            return self._outputs[:count]

    def prepare(self, count: int) -> None:
        """Compute the outputs for `count` inputs, or the feeds of a model of tensors; raises as `outputs`."""
        if self._subject.is_plain:
            self.outputs(count)
        else:
            self._feeds(FEEDS)

    def parity(self, outputs: NDArray[np.float32], precision: Precision) -> Parity:
        """Judge the outputs of the first seeded inputs."""
        wanted = self.outputs(len(outputs))
        name = PADDLE if self._subject.manifest.origin is None else SOURCE
        return compare_answers(self._task, outputs, wanted, precision=precision, reference_name=name)

    def feeds_parity(self, outputs: Sequence[list[NDArray[Any]]], precision: Precision) -> Parity:
        """Judge all outputs of the first seeded feeds of a model of tensors; raises as `outputs`."""
        wanted = self._feeds(len(outputs))
        name = PADDLE if self._subject.manifest.origin is None else SOURCE
        return judge_outputs(self._task, list(outputs), wanted, precision, name)

    def _feeds(self, count: int) -> list[list[NDArray[Any]]]:
        with self._guard:
            if len(self._by_feed) < count:
                self._by_feed = self._compute_feeds(count)
                warn_if_alike(self._subject.manifest, by_output(self._by_feed))
            return self._by_feed[:count]

    def _compute_feeds(self, count: int) -> list[list[NDArray[Any]]]:
        subject, origin = self._subject, self._subject.manifest.origin
        feeds = [seeded_feed(subject.manifest.inputs, number) for number in range(count)]
        if origin is not None:
            return compute_feeds(origin.format, source_paths(origin, subject), feeds)
        with self._paddle() as session:
            return infer_feeds(session, feeds)

    def _compute(self, count: int) -> NDArray[np.float32]:
        subject, origin = self._subject, self._subject.manifest.origin
        if origin is not None:
            batch_size = subject.fixed_batch or 1
            whole = -(-count // batch_size) * batch_size
            return compute_source(origin, subject, seeded_inputs(whole, subject.input_shape), self._target)
        with self._paddle() as session:
            return infer_batches(session, seeded_inputs(count, subject.input_shape), 1)

    @contextlib.contextmanager
    def _paddle(self) -> Iterator[RunnerSession]:
        """Yield a session that has loaded the Paddle artifact."""
        subject = self._subject
        artifact = usable_artifact(subject.manifest, subject.directory, ArtifactKind.PADDLE)
        with self._target.session(PADDLE, f"the reference ({PADDLE}) of {subject.manifest.name}") as session:
            options = self._target.options(PADDLE, Precision.FP32, {})
            session.load(load_request(self._target, subject, artifact, options=options))
            yield session


class References:
    """Reference outputs by model, computed when the first point of a model asks.

    Args:
        host: Machine that computes them.
    """

    def __init__(self, host: HostTarget) -> None:
        self._host = host
        self._known: dict[Path, Reference] = {}
        self._available: dict[str, bool] = {}
        self._guard = threading.Lock()

    def __call__(self, subject: Subject) -> Reference | None:
        """Return the reference of a model; None, with a warning, where its reference engine is missing."""
        engine = reference_engine(subject.manifest)
        with self._guard:
            if engine not in self._available:
                self._available[engine] = self._prepare(engine)
            if not self._available[engine]:
                return None
            if subject.directory not in self._known:
                self._known[subject.directory] = Reference(self._host, subject)
            return self._known[subject.directory]

    def _prepare(self, engine: str) -> bool:
        try:
            self._host.prepare(engine)
        except ToolError as error:
            logger.warning(
                "parity is not checked, points stay unverified: %s (%s)", error.message, error.hint
            )
            return False
        return True
