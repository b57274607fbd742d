"""Runner of a served model, replaced where it dies."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec

from edgekit.core.spec import Precision
from edgekit.engines.registry import PREDICT_ENGINE, engines
from edgekit.errors import RunnerError
from edgekit.runners.protocol import Loaded
from edgekit.runners.session import RunnerSession
from edgekit.targets.target import HostTarget, Subject, load_request


class ServedModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a served model; the `parameters.extra` of its `model-settings.json`.

    Attributes:
        engine: Name of the engine.
        threads: Number of threads of the runner.
        max_batch: Maximum number of pictures computed together and in one request.
        max_wait_ms: Time that a picture waits for others while nothing else delays it, ms.
        top_k: Number of classes in an answer, or of boxes; None for five classes, and for all that a
            detector or a multi-label model finds.
        decode_threads: Number of threads that decode and preprocess.
        anyway: True to serve an artifact that failed its check.
    """

    engine: str = PREDICT_ENGINE
    precision: Precision = Precision.FP32
    threads: int = 1
    max_batch: int = 8
    max_wait_ms: float = 0.0
    top_k: int | None = None
    decode_threads: int = 1
    anyway: bool = False


def fixed_batch(subject: Subject, served: ServedModel) -> int | None:
    """Return the only batch that the served artifact takes; None where it takes any."""
    spec = engines().get(served.engine)
    kind = None if spec is None or spec.host is None else spec.host.artifacts.get(served.precision)
    artifact = None if kind is None else subject.manifest.artifact(kind)
    # A request that cannot be served is refused where the model is loaded.
    return subject.fixed_batch if artifact is None else artifact.fixed_batch


class Runner:
    """Process that computes a model; a new one is started where the last was given up.

    Args:
        subject: Model with its artifacts.
        served: Settings of the model.
        batch_size: First size of the inputs that the model is loaded for.

    Attributes:
        loaded: What the runner said when the model was loaded; None before.
    """

    def __init__(self, subject: Subject, served: ServedModel, batch_size: int) -> None:
        self._subject = subject
        self._served = served
        self._batch_size = batch_size
        self._target = HostTarget(huge_pages=True)
        self._session: RunnerSession | None = None
        self._loading: RunnerSession | None = None
        self._shapes: Sequence[tuple[int, ...]] | None = None
        self._opening = threading.Lock()
        self.abandoned = False
        self.loaded: Loaded | None = None

    def session(self) -> RunnerSession:
        """Return the working session.

        Raises:
            EdgekitError: The model cannot be loaded.
            RunnerError: The runner was abandoned.
        """
        if self.abandoned:
            raise RunnerError(f"serving {self._subject.manifest.name}: the service ends")
        with self._opening:
            if self._session is None:
                self._session = self._open()
                self._loading = None
            return self._session

    def give_up(self, session: RunnerSession) -> None:
        """Kill a session, so that the next call of `session` starts another."""
        with self._opening:
            if self._session is session:
                self._session = None
        session.kill()

    def load_for(self, shapes: Sequence[tuple[int, ...]]) -> RunnerSession:
        """Return a session of an engine that is loaded for one size, loaded for these shapes of the inputs.

        Raises:
            EdgekitError: The model cannot be loaded for them; the next call of `session` loads it as before.
        """
        if self._session is not None:
            self.give_up(self._session)
        before, self._shapes = self._shapes, shapes
        try:
            return self.session()
        except BaseException:
            self._shapes = before
            raise

    def abandon(self) -> None:
        """Kill the process and start none again; what it computes fails."""
        self.abandoned = True
        for session in (self._loading, self._session):
            if session is not None:
                session.kill()

    def close(self) -> None:
        """End the process."""
        if self._session is not None:
            self._session.close()
        self._target.close()

    def _open(self) -> RunnerSession:
        served, target = self._served, self._target
        request = load_request(
            target,
            self._subject,
            self._subject.artifact(target.artifact_kind(served.engine, served.precision)),
            batch_size=self._batch_size,
            threads=served.threads,
            options=target.options(served.engine, served.precision, {}),
        )
        if self._shapes is not None:
            inputs = [
                msgspec.structs.replace(tensor, shape=shape)
                for tensor, shape in zip(request.inputs, self._shapes, strict=True)
            ]
            request = msgspec.structs.replace(request, inputs=tuple(inputs))
        session = target.session(served.engine, f"{served.engine} on {self._subject.manifest.name}")
        session.start()
        self._loading = session
        if self.abandoned:
            session.kill()
        try:
            self.loaded = session.load(request)
        except BaseException:
            session.kill()
            raise
        return session
