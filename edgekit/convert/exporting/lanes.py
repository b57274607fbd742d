"""Items done side by side, each lane a thread with a worker of its own."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from edgekit._worker import Worker
from edgekit.toolchain.component import Report

Item = TypeVar("Item")
Result = TypeVar("Result")
Answer = TypeVar("Answer")


class _StoppedError(Exception):
    """The command was interrupted; the lane gives up its item."""


def spread(
    items: Sequence[Item],
    lanes: int,
    open_worker: Callable[[], Worker[Answer]],
    do: Callable[[Item, Worker[Answer], Report], Result],
    progress: Report,
    finished: Callable[[Result], None],
) -> list[Result]:
    """Do items, several at once, and return their results in the order of the items.

    One lane is this thread. An interruption of several kills the workers and waits for the lanes.

    Args:
        items: The items; a lane that is free takes the next.
        lanes: How many items are done at once.
        open_worker: Makes the worker of a lane. Its child starts and ends in the lane's thread.
        do: Does one item, and gives its lines for the user to its last argument.
        progress: Called in this thread with these lines.
        finished: Called in this thread with each result as soon as it is there.

    Raises:
        BaseException: An error that `do` raised; all lanes have ended by then.
    """
    if min(lanes, len(items)) > 1:
        return _in_threads(items, min(lanes, len(items)), open_worker, do, progress, finished)
    results = []
    with open_worker() as worker:
        for item in items:
            results.append(do(item, worker, progress))
            finished(results[-1])
    return results


def _in_threads(
    items: Sequence[Item],
    lanes: int,
    open_worker: Callable[[], Worker[Answer]],
    do: Callable[[Item, Worker[Answer], Report], Result],
    progress: Report,
    finished: Callable[[Result], None],
) -> list[Result]:
    waiting: queue.SimpleQueue[tuple[int, Item]] = queue.SimpleQueue()
    for numbered in enumerate(items):
        waiting.put(numbered)
    events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    results: dict[int, Result] = {}
    stop = threading.Event()

    def report(line: str) -> None:
        if stop.is_set():
            raise _StoppedError
        events.put(functools.partial(progress, line))

    def keep(number: int, result: Result) -> None:
        results[number] = result
        finished(result)

    def fail(error: BaseException) -> None:
        raise error

    def work(worker: Worker[Answer]) -> None:
        try:
            with worker:
                while not stop.is_set():
                    try:
                        number, item = waiting.get_nowait()
                    except queue.Empty:
                        return
                    result = do(item, worker, report)
                    events.put(functools.partial(keep, number, result))
        except BaseException as error:
            events.put(functools.partial(fail, error))

    workers = [open_worker() for _ in range(lanes)]
    threads = [threading.Thread(target=work, args=(worker,), name="lane") for worker in workers]
    try:
        for thread in threads:
            thread.start()
        while len(results) < len(items):
            events.get()()
    except BaseException:
        stop.set()
        for worker in workers:
            worker.stop()
        raise
    finally:
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    return [results[number] for number in range(len(items))]
