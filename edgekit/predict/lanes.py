"""Pictures in, scores out: lanes that each decode, preprocess and infer a batch on one core.

A lane is a thread here and a runner process for every route; at any moment one of them works, so as many
lanes as there are cores keep all of them busy, and batches need no queue between the stages.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.convert.manifest import require_classifier
from edgekit.core.artifact import Artifact
from edgekit.core.spec import Precision
from edgekit.engines.registry import on_gpu
from edgekit.errors import RunnerError
from edgekit.predict.feed import Feed, Item
from edgekit.runners.protocol import Load, Loaded
from edgekit.runners.session import Killable, RunnerSession
from edgekit.targets.target import HostTarget, Subject, Target, load_request
from edgekit.vision.pictures import Unreadable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Pictures that a core infers at a time where an artifact is no larger than that. Beside another busy core
# ONNX Runtime takes 6 to 8 % less for PPLCNet_x1_0 (12 MB) in fours than in eights, 2 % more for ResNet34
# (87 MB).
AT_ONCE = 4
CACHED_WEIGHTS = 40 << 20


@dataclass(frozen=True, kw_only=True)
class Route:
    """One way to an answer: an engine on one of the model's artifacts, somewhere."""

    target: Target
    engine: str
    precision: Precision
    artifact: Artifact
    options: Mapping[str, str]

    @property
    def name(self) -> str:
        """`onnxruntime int8`."""
        return f"{self.engine} {self.precision.value}"


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A batch that has been through a lane.

    Attributes:
        items: All items of the batch.
        positions: Those of them that have scores, in order.
        unreadable: The others, with their errors.
        scores: Probabilities by route, float32[len(positions), C].
        latency_ns: Time of the inferences by route, as the runners took it.
    """

    items: tuple[Item, ...]
    positions: tuple[int, ...]
    unreadable: tuple[Unreadable, ...]
    scores: tuple[NDArray[np.float32], ...]
    latency_ns: tuple[int, ...]


def plan_route(target: Target, subject: Subject, engine: str, precision: Precision) -> Route:
    """The route of an engine at a precision.

    Raises:
        UsageError, UnsupportedError: There is no such engine, or it does not compute so.
        InputError: The model has no such artifact.
    """
    require_classifier(subject.manifest, "predicting with")
    kind = target.artifact_kind(engine, precision)
    return Route(
        target=target,
        engine=engine,
        precision=precision,
        artifact=subject.artifact(kind, None if isinstance(target, HostTarget) else target.info.serial),
        options=target.options(engine, precision, {}),
    )


def fixed_batch(artifact: Artifact) -> int | None:
    """The only batch size that an artifact takes; None where it takes any."""
    shape = artifact.inputs[0].shape if artifact.inputs else ()
    return shape[0] if shape else None


class Lane(Killable):
    """A feed and the runners that read it; opened on entry, closed on exit.

    Args:
        subject: The model.
        routes: What computes; every batch goes through all of them.
        threads: Of each runner.
        batch_size: Pictures that a batch holds at most.
        core: The core that this lane has to itself, for its runners too; None leaves that to the kernel.
        reduced_decode: As in `Feed`.
    """

    def __init__(
        self,
        subject: Subject,
        routes: Sequence[Route],
        *,
        threads: int,
        batch_size: int,
        core: int | None = None,
        reduced_decode: bool = False,
    ) -> None:
        self._subject = subject
        self._routes = tuple(routes)
        self._batch_size = batch_size
        self._core = core
        self._reduced_decode = reduced_decode
        self._sessions = tuple(
            route.target.session(route.engine, f"{route.name} on {subject.manifest.name}")
            for route in self._routes
        )
        self._at_once = tuple(
            _pictures_at_once(route, batch_size) if session.shares_files and threads == 1 else None
            for route, session in zip(self._routes, self._sessions, strict=True)
        )
        self._requests = tuple(
            self._request(route, threads, at_once or batch_size)
            for route, at_once in zip(self._routes, self._at_once, strict=True)
        )
        self._loading: list[Future[Loaded]] = []
        self._feed: Feed | None = None
        self._ended = False

    def _request(self, route: Route, threads: int, pictures: int) -> Load:
        return load_request(
            route.target,
            self._subject,
            route.artifact,
            batch_size=pictures,
            threads=threads,
            cores=None if self._core is None else (self._core,),
            options=route.options,
        )

    def __enter__(self) -> Lane:
        try:
            self.open()
        except BaseException:
            self.kill()
            raise
        return self

    def open(self) -> None:
        """Start the runners; they load while this process goes on to import and decode."""
        for session, request in zip(self._sessions, self._requests, strict=True):
            session.start()
            self._loading.append(_in_background(session, request))

    @property
    def piece(self) -> int | None:
        """The part of a batch that costs no more than its share; None where every batch costs a whole one."""
        return None if None in self._at_once else self._at_once[0]

    def score(self, items: Sequence[Item]) -> Scored:
        """Take one batch through, on the lane's core where it has one: the calling thread stays there.

        Raises:
            RunnerError, UnsupportedError, DeviceError, DeviceLostError: A runner refused or failed; or its
                output is not finite.
        """
        if self._core is not None:
            os.sched_setaffinity(0, {self._core})
        if self._ended:
            raise RunnerError(
                f"predicting with {self._subject.manifest.name}: its runners have ended",
                hint="make a new object, or predict before it is closed",
            )
        if self._feed is None:
            parameters = self._subject.manifest.preprocess
            self._feed = Feed(parameters, self._batch_size, reduced_decode=self._reduced_decode)
        filled = self._feed.fill(items)
        scores: list[NDArray[np.float32]] = []
        latencies: list[int] = []
        for index in range(len(self._routes)):
            self._loading[index].result()
            if filled.positions:
                rows, latency_ns = self._infer(index, len(filled.positions))
                scores.append(rows)
                latencies.append(latency_ns)
        return Scored(
            items=tuple(items),
            positions=filled.positions,
            unreadable=filled.unreadable,
            scores=tuple(scores),
            latency_ns=tuple(latencies),
        )

    def _infer(self, index: int, count: int) -> tuple[NDArray[np.float32], int]:
        import numpy as np

        from edgekit.vision.topk import softmax

        assert self._feed is not None
        session, at_once = self._sessions[index], self._at_once[index]
        if at_once is None:  # a runner that computes all places, whatever lies in them
            values, inferred = session.infer_file(self._feed.path, self._feed.shape)
        else:
            shape = (-(-count // at_once) * at_once, *self._feed.shape[1:])
            values, inferred = session.infer_file(self._feed.path, shape, skip=0, at_once=at_once)
        rows = values.reshape(len(values), -1)[:count]
        if not np.isfinite(rows).all():
            raise RunnerError(
                f"{session.label}: the output is not finite (NaN or infinity)",
                hint=f"edgekit verify {self._subject.manifest.name}",
            )
        if self._subject.manifest.needs_softmax:
            rows = softmax(rows)
        return rows, inferred.latency_ns

    def close(self) -> None:
        """End the runners in good order."""
        self._end(RunnerSession.close)

    def kill(self) -> None:
        """End the runners at once."""
        self._end(RunnerSession.kill)

    def _end(self, end: Callable[[RunnerSession], object]) -> None:
        self._ended = True
        for session in self._sessions:
            end(session)
        for loading in self._loading:
            with contextlib.suppress(Exception):
                loading.result()
        if self._feed is not None:
            self._feed.close()
            self._feed = None


def _pictures_at_once(route: Route, batch_size: int) -> int | None:
    """How many pictures of a batch a core infers at a time; None is all of them.

    A few at a time keep what passes between layers in the core's cache; weights that do not stay there are
    better read once a batch.
    """
    size_bytes = sum(file.size_bytes for file in route.artifact.files)
    if size_bytes > CACHED_WEIGHTS or fixed_batch(route.artifact) is not None or on_gpu(route.engine):
        return None
    return math.gcd(batch_size, AT_ONCE)


def _in_background(session: RunnerSession, request: Load) -> Future[Loaded]:
    future: Future[Loaded] = Future()

    def load() -> None:
        try:
            future.set_result(session.load(request))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=load, name=f"load {session.label}", daemon=True).start()
    return future


@contextlib.contextmanager
def open_lanes(
    subject: Subject,
    routes: Sequence[Route],
    *,
    workers: int,
    threads: int,
    batch_size: int,
    reduced_decode: bool = False,
) -> Iterator[list[Lane]]:
    """As many lanes as workers, all started at once and ended together.

    A lane and its runner take turns. Left to itself the kernel wakes the one on the core where another lane
    computes while the other's falls idle, so each lane has its core where there are enough of them.
    """
    cores: Sequence[int | None] = sorted(os.sched_getaffinity(0))
    if threads > 1 or not 1 < workers <= len(cores):
        cores = [None] * workers
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                Lane(
                    subject,
                    routes,
                    threads=threads,
                    batch_size=batch_size,
                    core=core,
                    reduced_decode=reduced_decode,
                )
            )
            for core in cores[:workers]
        ]


def batched(items: Iterable[Item], size: int) -> Iterator[Sequence[Item]]:
    """Tuples of up to `size` items, each taken when it is asked for."""
    iterator = iter(items)
    while batch := tuple(itertools.islice(iterator, size)):
        yield batch


def score_batches(lanes: Sequence[Lane], batches: Iterable[Sequence[Item]]) -> Generator[Scored, None, None]:
    """Take batches through lanes, in order; batches are asked for only a little ahead of their use.

    With one lane nothing is done ahead: a batch is decoded when its result is asked for. Several share the
    last batch out among them.
    """
    if len(lanes) == 1:
        for batch in batches:
            yield lanes[0].score(batch)
        return
    free: queue.SimpleQueue[Lane] = queue.SimpleQueue()
    for lane in lanes:
        free.put(lane)

    def score(batch: Sequence[Item]) -> Scored:
        lane = free.get()
        try:
            return lane.score(batch)
        finally:
            free.put(lane)

    pool = ThreadPoolExecutor(len(lanes), thread_name_prefix="lane")
    pending: deque[list[Future[Scored]]] = deque()
    try:
        for batch, last in _with_last(batches):
            size = lanes[0].piece if last else None
            pieces = batched(batch, size) if size else [batch]
            pending.append([pool.submit(score, piece) for piece in pieces])
            if len(pending) > 2 * len(lanes):
                yield _joined(pending.popleft())
        while pending:
            yield _joined(pending.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _with_last(batches: Iterable[Sequence[Item]]) -> Iterator[tuple[Sequence[Item], bool]]:
    """Each batch, and whether it is the last."""
    ahead, behind = itertools.tee(batches)
    next(ahead, None)
    for batch, following in itertools.zip_longest(behind, ahead):
        yield batch, following is None


def _joined(pieces: Sequence[Future[Scored]]) -> Scored:
    """One batch again of what became of its pieces."""
    import numpy as np

    parts = [piece.result() for piece in pieces]
    if len(parts) == 1:
        return parts[0]
    starts = itertools.accumulate((len(part.items) for part in parts[:-1]), initial=0)
    scored = [part for part in parts if part.scores]
    return Scored(
        items=tuple(itertools.chain.from_iterable(part.items for part in parts)),
        positions=tuple(
            start + position for start, part in zip(starts, parts, strict=True) for position in part.positions
        ),
        unreadable=tuple(itertools.chain.from_iterable(part.unreadable for part in parts)),
        scores=tuple(np.concatenate(rows) for rows in zip(*(part.scores for part in scored), strict=True)),
        latency_ns=tuple(map(sum, zip(*(part.latency_ns for part in scored), strict=True))),
    )
