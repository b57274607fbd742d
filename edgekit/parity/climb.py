"""How a ladder is climbed, whatever the outputs look like: which rung is the reference, which passes."""

from __future__ import annotations

import abc
import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from edgekit.core.artifact import Artifact, Origin
from edgekit.core.parity import Parity
from edgekit.core.spec import Precision
from edgekit.errors import (
    ConversionError,
    EdgekitError,
    MismatchError,
    RunnerError,
    ToolError,
    UnsupportedError,
)
from edgekit.parity.alike import warn_if_alike
from edgekit.parity.ladder import DYGRAPH, Ladder, Rung, RungResult, RungStatus
from edgekit.parity.source import SOURCE, source_engine
from edgekit.runners.session import RunnerSession
from edgekit.targets.target import Subject, load_request
from edgekit.tasks.registry import task_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

Show = Callable[[RungResult], None]
Outputs = TypeVar("Outputs")


class Climb(abc.ABC, Generic[Outputs]):
    """One climb of a model's ladder; a subclass computes outputs of its kind and compares two of them.

    Args:
        subject: The model.
        show: Called with each rung when it is done.
        inputs: Number of inputs that rungs are compared on.
    """

    def __init__(self, subject: Subject, show: Show, inputs: int) -> None:
        self._subject = subject
        self._task = task_of(subject.manifest)
        self._show = show
        self._inputs = inputs
        self._reference: tuple[str, Outputs] | None = None
        self._results: list[RungResult] = []

    @abc.abstractmethod
    def source(self, origin: Origin) -> Outputs:
        """Compute the model that was imported."""

    @abc.abstractmethod
    def compute(self, rung: Rung, artifact: Artifact) -> Outputs:
        """Compute a rung's artifact: on all inputs for the reference, else on those of the precision."""

    @abc.abstractmethod
    def compare(self, outputs: Outputs, wanted: Outputs, precision: Precision, reference: str) -> Parity:
        """Judge outputs of a precision by the reference's; the reference's own are judged by themselves."""

    @abc.abstractmethod
    def by_output(self, outputs: Outputs) -> Sequence[Sequence[NDArray[Any]]]:
        """Return for each of the model's outputs its rows of numbers by input."""

    def climb(self, rungs: Sequence[Rung], network: Callable[[], Outputs] | None) -> None:
        """Climb from the network, the imported model, or the first rung that can be computed.

        Args:
            rungs: Those above the first, bottom up.
            network: Computes the network that was exported; None for an imported model.

        Raises:
            EdgekitError: The imported model cannot be computed, or something broke that is not the rung's.
        """
        origin = self._subject.manifest.origin
        if network is not None:
            self._try(DYGRAPH, "paddle", network, functools.partial(self._judge, precision=Precision.FP32))
        elif origin is not None:
            self._judge(SOURCE, source_engine(origin), self.source(origin), precision=Precision.FP32)
            if self._reference is None:  # nothing else may take the place of an imported model's source
                unknown = UnsupportedError(f"there is no {SOURCE} to compare it with")
                for rung in rungs:
                    self._end(rung.name, rung.engine, RungStatus.SKIPPED, unknown)
                return
        for rung in rungs:
            compute = functools.partial(self.compute, rung, self._subject.artifact(rung.kind))
            self._try(rung.name, rung.engine, compute, functools.partial(self._judge_rung, rung))

    def ladder(self) -> Ladder:
        """Return the rungs climbed so far."""
        return Ladder(
            name=self._subject.manifest.name,
            directory=str(self._subject.directory),
            reference=self._reference[0] if self._reference else "none",
            inputs=self._inputs,
            rungs=tuple(self._results),
        )

    @contextlib.contextmanager
    def runner(self, rung: Rung, artifact: Artifact, batch_size: int = 1) -> Iterator[RunnerSession]:
        """Start a runner of a rung's engine and load the artifact."""
        subject, target = self._subject, rung.target
        target.prepare(rung.engine)
        label = f"{rung.engine} on {subject.manifest.name}"
        with target.session(rung.engine, label, remake=subject.remake) as session:
            options = {**target.options(rung.engine, rung.kind.precision, {}), **rung.options}
            request = load_request(target, subject, artifact, batch_size=batch_size, options=options)
            if not session.shares_files:
                # The store trusts size and time of a file that it checked once; the runner hashes it again.
                session.check(request.model, artifact.files[0].sha256)
            session.load(request)
            yield session

    def _try(
        self,
        name: str,
        engine: str,
        compute: Callable[[], Outputs],
        judge: Callable[[str, str, Outputs], None],
    ) -> None:
        try:
            outputs = compute()
        except (UnsupportedError, ToolError) as error:
            self._end(name, engine, RungStatus.SKIPPED, error)
        except (RunnerError, ConversionError) as error:
            self._end(name, engine, RungStatus.FAILED, error)
        else:
            judge(name, engine, outputs)

    def _judge_rung(self, rung: Rung, name: str, engine: str, outputs: Outputs) -> None:
        """Judge the outputs of a rung by the reference."""
        self._judge(name, engine, outputs, precision=rung.kind.precision)

    def _judge(self, name: str, engine: str, outputs: Outputs, precision: Precision) -> None:
        if self._reference is not None:
            reference, wanted = self._reference
            self._add(name, engine, self.compare(outputs, wanted, precision, reference))
            return
        # Compared with itself, the reference still has to be finite and to depend on its input.
        itself = self.compare(outputs, outputs, precision, name)
        if itself.passed:
            self._reference = (name, outputs)
            self._end(name, engine, RungStatus.REFERENCE, None)
            warn_if_alike(self._subject.manifest, self.by_output(outputs))
        else:
            self._add(name, engine, itself)

    def _add(self, name: str, engine: str, parity: Parity) -> None:
        status = RungStatus.PASSED if parity.passed else RungStatus.FAILED
        self._keep(RungResult(name=name, engine=engine, status=status, parity=parity, reason=parity.reason))

    def _end(self, name: str, engine: str, status: RungStatus, error: EdgekitError | None) -> None:
        reason, hint = (None, None) if error is None else (error.message, error.hint)
        mismatch = isinstance(error, MismatchError)
        self._keep(
            RungResult(name=name, engine=engine, status=status, reason=reason, hint=hint, mismatch=mismatch)
        )

    def _keep(self, result: RungResult) -> None:
        self._results.append(result)
        self._show(result)
