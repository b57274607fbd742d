"""Pipeline of three batches: one is computed, one is ready, one is filled.

Threads prepare inputs directly in the memory that the runner reads.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]

Caller = TypeVar("Caller")

# The runner gets the second batch before it finishes the first, so that it never waits for this process.
UNDER_WAY = 2
BATCHES = UNDER_WAY + 1


@dataclass(frozen=True, kw_only=True)
class Job(Generic[Caller]):
    """One input.

    Attributes:
        write: Writes the input into float32[…] of one input's shape and returns its description for
            `compute`, or raises the input's error.
        wanted: Returns whether the caller still waits for the answer; called before the input is prepared.
        caller: Identifies the caller; returned with the outcome.
    """

    write: Callable[[Rows], object]
    wanted: Callable[[], bool]
    caller: Caller


@dataclass
class _Batch(Generic[Caller]):
    """One of the batches; a place whose input was invalid holds None.

    Attributes:
        number: Index of the batch in the memory.
        written: Descriptions that the jobs' `write` returned, by place.
        writing: Number of places being written now.
        since: Time at which the first input was begun, seconds.
    """

    number: int
    jobs: list[Job[Caller] | None] = field(default_factory=list)
    written: list[Any] = field(default_factory=list)
    writing: int = 0
    since: float = 0.0


class Pipeline(Generic[Caller]):
    """Prepares, batches and computes jobs in threads of its own, from `start` to `close`.

    Args:
        batches: float32[BATCHES,max_batch,…] for the inputs.
        compute: Called with a batch's number and the descriptions of its n inputs, None for an invalid one;
            returns n outcomes, each an output or an exception. Called by as many threads as batches may be in
            progress at once.
        deliver: Called with outcomes, an output or an exception for each caller, by several threads.
        size: Number of inputs to compute together at most, up to max_batch.
        preparers: Number of threads that prepare inputs.
        max_wait_s: Time that a batch is held open for more inputs while it could be computed, seconds.
        name: Prefix of the threads' names.
    """

    def __init__(
        self,
        batches: Rows,
        compute: Callable[[int, Sequence[Any]], Sequence[Any]],
        deliver: Callable[[Sequence[tuple[Caller, Any]]], object],
        *,
        size: int,
        preparers: int,
        max_wait_s: float,
        name: str,
    ) -> None:
        self._memory = batches
        self._compute = compute
        self._deliver = deliver
        self._size = size
        self._max_wait_s = max_wait_s
        lock = threading.Lock()
        self._to_prepare = threading.Condition(lock)
        self._to_compute = threading.Condition(lock)
        self._waiting: deque[Job[Caller]] = deque()
        self._free = list(range(len(batches)))
        self._filling: _Batch[Caller] | None = None
        self._sealed = False
        self._closing = False
        # Daemon threads, because `mlserver start` ends without unloading its models.
        self._threads = [
            threading.Thread(target=target, name=f"{name} {target.__name__}", daemon=True)
            for target in [*[self._prepare_all] * preparers, *[self._compute_all] * UNDER_WAY]
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, jobs: Sequence[Job[Caller]]) -> None:
        """Accept jobs; their outcomes are delivered later, in any order."""
        with self._to_prepare:
            if self._closing:
                raise RuntimeError("the pipeline is closed")
            self._waiting.extend(jobs)
            self._to_prepare.notify(len(jobs))

    def close(self) -> None:
        """Finish all submitted jobs and end the threads."""
        with self._to_prepare:
            self._closing = True
            self._to_prepare.notify_all()
            self._to_compute.notify_all()
        for thread in self._threads:
            thread.join()

    def _prepare_all(self) -> None:
        while (taken := self._take()) is not None:
            batch, place, job = taken
            problem: BaseException | None = None
            try:
                batch.written[place] = job.write(self._memory[batch.number, place])
            except BaseException as error:
                problem = error
                # The place is computed with the others, so nothing of this input or an earlier one stays.
                self._memory[batch.number, place] = 0
            with self._to_compute:
                batch.writing -= 1
                if problem is not None:
                    batch.jobs[place] = None
                self._to_compute.notify()
            if problem is not None:
                self._deliver([(job.caller, problem)])

    def _take(self) -> tuple[_Batch[Caller], int, Job[Caller]] | None:
        """Return the next job and the place reserved for it; None at the end."""
        with self._to_prepare:
            while True:
                while self._waiting and (batch := self._open_batch()) is not None:
                    job = self._waiting.popleft()
                    if not job.wanted():
                        continue
                    batch.since = batch.since if batch.jobs else time.monotonic()
                    batch.jobs.append(job)
                    batch.written.append(None)
                    batch.writing += 1
                    return batch, len(batch.jobs) - 1, job
                if self._closing and not self._waiting:
                    self._to_compute.notify_all()
                    return None
                self._to_prepare.wait()

    def _open_batch(self) -> _Batch[Caller] | None:
        """Return the batch that has room; begin one where there is memory for it."""
        if self._filling is None and self._free:
            self._filling = _Batch(self._free.pop())
        if self._filling is None or self._sealed or len(self._filling.jobs) == self._size:
            return None
        return self._filling

    def _compute_all(self) -> None:
        while (batch := self._next_batch()) is not None:
            jobs = batch.jobs
            while jobs and jobs[-1] is None:
                jobs.pop()
            outcomes: Sequence[Any] = []
            try:
                if jobs:
                    outcomes = list(self._compute(batch.number, batch.written[: len(jobs)]))
            except Exception as error:
                outcomes = [error] * len(jobs)
            with self._to_prepare:
                self._free.append(batch.number)
                self._to_prepare.notify_all()
            answered = zip(jobs, outcomes, strict=True)
            self._deliver([(job.caller, outcome) for job, outcome in answered if job is not None])

    def _next_batch(self) -> _Batch[Caller] | None:
        """Return the batch to compute now, and start filling another; None at the end."""
        with self._to_compute:
            while True:
                batch, left_s = self._filling, None
                if batch is not None and batch.jobs:
                    left_s = self._until_sealed(batch)
                    if left_s <= 0:
                        self._sealed, left_s = True, None
                        if batch.writing == 0:
                            self._filling, self._sealed = None, False
                            self._to_prepare.notify_all()
                            return batch
                elif self._closing and not self._waiting:
                    return None
                self._to_compute.wait(left_s)

    def _until_sealed(self, batch: _Batch[Caller]) -> float:
        """Return how much longer a batch is held open, seconds."""
        if len(batch.jobs) == self._size or (self._closing and not self._waiting):
            return 0.0
        return batch.since + self._max_wait_s - time.monotonic()
