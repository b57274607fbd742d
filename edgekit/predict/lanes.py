"""Outputs for pictures, computed in lanes that each decode, preprocess and infer a batch on one core.

A lane is one thread of this process and one runner process for each route, of which one works at any moment.
As many lanes as cores therefore keep all cores busy, and batches need no queue between the stages.
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

from edgekit.core.artifact import Artifact
from edgekit.core.spec import Precision
from edgekit.engines.registry import on_gpu
from edgekit.errors import EdgekitError, RunnerError
from edgekit.predict.feed import Feed, Item
from edgekit.runners.protocol import Load, Loaded
from edgekit.runners.session import Killable, RunnerSession
from edgekit.targets.target import HostTarget, Subject, Target, load_request
from edgekit.tasks.registry import task_of
from edgekit.tasks.task import Outputs, Shown
from edgekit.vision.pictures import Unreadable

# Number of pictures that a core infers at a time, for artifacts up to this size. Beside another busy core
# ONNX
# Runtime takes 6 to 8 % less time for PPLCNet_x1_0 (12 MB) in fours than in eights, and 2 % more for ResNet34
# (87 MB).
AT_ONCE = 4
CACHED_WEIGHTS = 40 << 20


@dataclass(frozen=True, kw_only=True)
class Route:
    """One engine on one of the model's artifacts, on one machine."""

    target: Target
    engine: str
    precision: Precision
    artifact: Artifact
    options: Mapping[str, str]

    @property
    def name(self) -> str:
        """Name of the route, e.g. `onnxruntime int8`."""
        return f"{self.engine} {self.precision.value}"


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A batch that a lane has processed.

    Attributes:
        items: All items of the batch.
        positions: Positions of the items that have outputs, in order.
        unreadable: The other items, with their errors.
        pictures: Names and sizes of the items that have outputs, in order.
        outputs: Outputs by route, each by name for the pictures in order; empty without pictures.
        latency_ns: Time of the inferences by route, ns, as the runners measured it.
    """

    items: tuple[Item, ...]
    positions: tuple[int, ...]
    unreadable: tuple[Unreadable, ...]
    pictures: tuple[Shown, ...]
    outputs: tuple[Outputs, ...]
    latency_ns: tuple[int, ...]

    def rows(self) -> Iterator[int | EdgekitError]:
        """Yield for each item the row of its outputs, or the error for which it has none."""
        rows = {position: row for row, position in enumerate(self.positions)}
        errors = iter(self.unreadable)
        for position in range(len(self.items)):
            yield rows[position] if position in rows else next(errors).error


def plan_route(target: Target, subject: Subject, engine: str, precision: Precision) -> Route:
    """Return the route of an engine at a precision.

    Raises:
        UsageError, UnsupportedError: The engine does not exist, or does not compute in this precision.
        InputError: The model lacks the artifact.
    """
    kind = target.artifact_kind(engine, precision)
    return Route(
        target=target,
        engine=engine,
        precision=precision,
        artifact=subject.artifact(kind, None if isinstance(target, HostTarget) else target.info.serial),
        options=target.options(engine, precision, {}),
    )


class Lane(Killable):
    """Feed and the runners that read it; opens on entry, closes on exit.

    Args:
        subject: Model with its artifacts.
        routes: Routes that compute every batch.
        threads: Number of threads of each runner.
        batch_size: Maximum number of pictures a batch.
        core: Core reserved for the lane and its runners; None leaves the choice to the kernel.
        reduced_decode: Decode large JPEGs at a fraction of their size (`edgekit.vision.decode`).
        thumbnails: Long side of the pictures' small copies, pixels; None makes none.
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
        thumbnails: int | None = None,
    ) -> None:
        self._subject = subject
        self._task = task_of(subject.manifest)
        self._routes = tuple(routes)
        self._batch_size = batch_size
        self._core = core
        self._reduced_decode = reduced_decode
        self._thumbnails = thumbnails
        name = subject.manifest.name
        self._sessions = tuple(
            route.target.session(route.engine, f"{route.name} on {name}", remake=subject.remake)
            for route in self._routes
        )
        one_input = len(subject.manifest.inputs) == 1
        self._at_once = tuple(
            _pictures_at_once(route, batch_size)
            if session.shares_files and threads == 1 and self._task.divides and one_input
            else None
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
        """Start the runners; they load while this process continues to import and decode."""
        for session, request in zip(self._sessions, self._requests, strict=True):
            session.start()
            self._loading.append(_in_background(session, request))

    @property
    def piece(self) -> int | None:
        """Rows of a batch that can be inferred separately at proportional cost; None if not."""
        return None if None in self._at_once else self._at_once[0]

    def score(self, items: Sequence[Item]) -> Scored:
        """Compute the outputs of one batch; binds the calling thread to the lane's core where there is one.

        Raises:
            RunnerError, UnsupportedError, DeviceError, DeviceLostError: A runner refused or failed, or its
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
            self._feed = Feed(
                parameters,
                self._batch_size,
                inputs=self._subject.manifest.inputs,
                task=self._task,
                reduced_decode=self._reduced_decode,
                thumbnails=self._thumbnails,
            )
        filled = self._feed.fill(items)
        outputs: list[Outputs] = []
        latencies: list[int] = []
        for index in range(len(self._routes)):
            self._loading[index].result()
            if filled.positions:
                computed, latency_ns = self._infer(index, len(filled.positions))
                outputs.append(computed)
                latencies.append(latency_ns)
        return Scored(
            items=tuple(items),
            positions=filled.positions,
            unreadable=filled.unreadable,
            pictures=filled.pictures,
            outputs=tuple(outputs),
            latency_ns=tuple(latencies),
        )

    def _infer(self, index: int, count: int) -> tuple[Outputs, int]:
        import numpy as np

        assert self._feed is not None
        session, at_once = self._sessions[index], self._at_once[index]
        if at_once is None:  # this runner computes all places, whatever they contain
            values, inferred = session.infer_file(self._feed.path, self._feed.shapes)
        else:
            shape = (-(-count // at_once) * at_once, *self._feed.shape[1:])
            values, inferred = session.infer_file(self._feed.path, [shape], skip=0, at_once=at_once)
        names = [output.name for output in self._subject.manifest.outputs]
        outputs = self._task.cut(dict(zip(names, values, strict=True)), count)
        if not all(np.isfinite(output).all() for output in outputs.values()):
            raise RunnerError(
                f"{session.label}: the output is not finite (NaN or infinity)",
                hint=f"edgekit verify {self._subject.word}",
            )
        return outputs, inferred.latency_ns

    def close(self) -> None:
        """End the runners in good order."""
        self._end(RunnerSession.close)

    def kill(self) -> None:
        """Kill the runners at once."""
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
    """Return how many pictures of a batch a core infers at a time; None for all.

    Few pictures at a time keep the values between layers in the core's cache; weights too large for the cache
    are better read once a batch.
    """
    size_bytes = sum(file.size_bytes for file in route.artifact.files)
    if size_bytes > CACHED_WEIGHTS or route.artifact.fixed_batch is not None or on_gpu(route.engine):
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
    thumbnails: int | None = None,
) -> Iterator[list[Lane]]:
    """Yield one lane a worker; all start at once and end together.

    A lane and its runner take turns. Without binding, the kernel may wake one of them on the busy core of
    another lane while its own core idles, so each lane has a core of its own where there are enough.
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
                    thumbnails=thumbnails,
                )
            )
            for core in cores[:workers]
        ]


def batched(items: Iterable[Item], size: int) -> Iterator[Sequence[Item]]:
    """Yield tuples of up to `size` items; take each item only when its batch is asked for."""
    iterator = iter(items)
    while batch := tuple(itertools.islice(iterator, size)):
        yield batch


def score_batches(lanes: Sequence[Lane], batches: Iterable[Sequence[Item]]) -> Generator[Scored, None, None]:
    """Yield the results of batches in order; batches are taken only a little ahead of their use.

    With one lane a batch is decoded when its result is asked for. Several lanes divide the last batch among
    themselves.
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
    """Yield each batch, and whether it is the last."""
    ahead, behind = itertools.tee(batches)
    next(ahead, None)
    for batch, following in itertools.zip_longest(behind, ahead):
        yield batch, following is None


def _joined(pieces: Sequence[Future[Scored]]) -> Scored:
    """Join the results of a batch's pieces into one result."""
    import numpy as np

    parts = [piece.result() for piece in pieces]
    if len(parts) == 1:
        return parts[0]
    starts = itertools.accumulate((len(part.items) for part in parts[:-1]), initial=0)
    computed = [part for part in parts if part.outputs]
    return Scored(
        items=tuple(itertools.chain.from_iterable(part.items for part in parts)),
        positions=tuple(
            start + position for start, part in zip(starts, parts, strict=True) for position in part.positions
        ),
        unreadable=tuple(itertools.chain.from_iterable(part.unreadable for part in parts)),
        pictures=tuple(itertools.chain.from_iterable(part.pictures for part in parts)),
        outputs=tuple(
            {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
            for pieces in zip(*(part.outputs for part in computed), strict=True)
        ),
        latency_ns=tuple(map(sum, zip(*(part.latency_ns for part in computed), strict=True))),
    )
