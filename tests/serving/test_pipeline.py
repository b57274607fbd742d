"""The pipeline with threads as they are, and a computation that says what it was given."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from edgekit.serving.pipeline import BATCHES, Job, Pipeline

MAX_BATCH = 4


class Service:
    """Jobs are numbers, answers their doubles; outcomes by number, and the sizes of the batches."""

    def __init__(self, *, compute_s: float = 0.0, size: int = MAX_BATCH, max_wait_s: float = 0.0) -> None:
        self.outcomes: dict[int, np.ndarray | BaseException] = {}
        self.sizes: list[int] = []
        self.before_compute: Callable[[], object] = lambda: time.sleep(compute_s)
        self.memory = np.zeros((BATCHES, MAX_BATCH, 1), np.float32)
        self.pipeline = Pipeline[int](
            self.memory, self._compute, self._deliver, size=size, preparers=2, max_wait_s=max_wait_s,
            name="test",
        )  # fmt: skip
        self.pipeline.start()

    def _compute(self, batch: int, written: Sequence[int | None]) -> list[np.ndarray | BaseException]:
        count = len(written)
        self.sizes.append(count)
        given = self.memory[batch, :count].copy()
        self.before_compute()
        # Nobody may write where a batch is being computed.
        assert np.array_equal(given, self.memory[batch, :count])
        # An invalid input has left zeros.
        assert [number or 0 for number in written] == given[:, 0].tolist()
        if (given == 13).any():
            raise ValueError("thirteen")
        return [OverflowError("1017") if row == 1017 else row * 2 for row in given]

    def _deliver(self, outcomes: Sequence[tuple[int, np.ndarray | BaseException]]) -> None:
        for number, outcome in outcomes:
            assert number not in self.outcomes or number in (-1, 3)
            self.outcomes[number] = outcome


def job(number: int, *, wanted: Callable[[], bool] = lambda: True) -> Job[int]:
    def write(out: np.ndarray) -> int:
        if number < 0:
            raise KeyError(number)
        out[...] = number
        return number

    return Job(write=write, wanted=wanted, caller=number)


def test_everything_is_answered_with_its_own_answer_and_bad_inputs_harm_nobody_else() -> None:
    service = Service(compute_s=0.001)
    numbers = [index if index % 7 else -index - 1 for index in range(14, 200)]

    def submit(part: list[int]) -> None:
        for number in part:
            service.pipeline.submit([job(number)])

    callers = [threading.Thread(target=submit, args=(numbers[start::8],)) for start in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    service.pipeline.close()
    assert sorted(service.outcomes) == sorted(numbers)
    for number, outcome in service.outcomes.items():
        if number < 0:
            assert isinstance(outcome, KeyError)
        else:
            assert isinstance(outcome, np.ndarray) and outcome.tolist() == [2 * number]
    assert max(service.sizes) <= MAX_BATCH


def test_what_waits_while_others_are_computed_is_computed_together() -> None:
    service = Service(size=3)
    begun, go_on = threading.Event(), threading.Event()
    service.before_compute = lambda: (begun.set(), go_on.wait(30))
    service.pipeline.submit([job(100)])
    assert begun.wait(30)
    service.pipeline.submit([job(number) for number in range(9)])
    go_on.set()
    service.pipeline.close()
    assert len(service.outcomes) == 10
    assert max(service.sizes) == 3  # not the memory's four


def test_an_idle_runner_waits_for_a_fuller_batch_as_long_as_it_is_told() -> None:
    service = Service(max_wait_s=30)
    started = time.monotonic()
    for number in range(MAX_BATCH):
        service.pipeline.submit([job(number)])
    service.pipeline.close()
    assert service.sizes == [MAX_BATCH]
    assert time.monotonic() - started < 20


def test_a_failed_computation_fails_its_batch_only() -> None:
    service = Service(size=1)
    service.pipeline.submit([job(12), job(13), job(14)])
    service.pipeline.close()
    assert isinstance(service.outcomes.pop(13), ValueError)
    assert {number: float(outcome[0]) for number, outcome in service.outcomes.items()} == {12: 24, 14: 28}


def test_nothing_is_prepared_for_those_who_went_away() -> None:
    service = Service()
    service.pipeline.submit([job(1, wanted=lambda: False), job(2)])
    service.pipeline.close()
    assert list(service.outcomes) == [2]


def test_a_closed_pipeline_takes_nothing() -> None:
    service = Service()
    service.pipeline.close()
    with pytest.raises(RuntimeError, match="closed"):
        service.pipeline.submit([job(1)])


def test_an_output_that_is_an_error_fails_alone_and_leaves_nothing_behind() -> None:
    service = Service(size=MAX_BATCH, max_wait_s=30)
    seen: list[list[float]] = []
    service.before_compute = lambda: seen.append(service.memory[:, :, 0].max(axis=0).tolist())
    service.pipeline.submit([job(number) for number in (1017, 21, 23, 22)])
    deadline = time.monotonic() + 10
    while len(service.outcomes) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    # The memory of the first batch may be used again: a broken picture in its places leaves them empty.
    for _ in range(BATCHES):
        service.pipeline.submit([job(-1), job(-1), job(-1), job(3)])
    service.pipeline.close()
    assert service.outcomes[21].tolist() == [42] and service.outcomes[22].tolist() == [44]
    assert isinstance(service.outcomes[1017], OverflowError)
    assert seen[-1][:3] == [0, 0, 0]
