"""Items done side by side, each lane a thread with workers of its own."""

from __future__ import annotations

import contextlib
import functools
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TypeVar

from edgekit import _process
from edgekit.toolchain.component import Report

# Seconds that interrupted lanes have to clean up; one in a download, or waiting for a lock, is left to end
# with this process.
STOP_S = 5.0

Item = TypeVar("Item")
Result = TypeVar("Result")
Workers = TypeVar("Workers", bound=contextlib.AbstractContextManager[object])
Do = Callable[[Iterator[Item], Workers, Report], Generator[Result, None, None]]


class _StoppedError(Exception):
    """The command was interrupted; the lane gives up its item."""


def spread(
    items: Sequence[Item],
    lanes: int,
    open_workers: Callable[[], Workers],
    do: Do[Item, Workers, Result],
    progress: Report,
    finished: Callable[[Result], None],
) -> list[Result]:
    """Do items, several at once, and return their results in the order of the items.

    One lane is this thread. An interruption of several kills the processes that they wait for.

    Args:
        items: The items; a lane that is free takes the next.
        lanes: How many items are done at once.
        open_workers: Makes the workers of a lane. Their processes start in the lane's thread, and end with
            the context.
        do: Does the items of one lane, which it takes one by one, and yields their results in this order; it
            gives lines for the user to its last argument.
        progress: Called in this thread with these lines.
        finished: Called in this thread with each result as soon as it is there.

    Raises:
        BaseException: An error that `do` raised.
    """
    if min(lanes, len(items)) > 1:
        return _in_threads(items, min(lanes, len(items)), open_workers, do, progress, finished)
    results = []
    with (workers := open_workers()), contextlib.closing(do(iter(items), workers, progress)) as done:
        for result in done:
            results.append(result)
            finished(result)
    return results


def _in_threads(
    items: Sequence[Item],
    lanes: int,
    open_workers: Callable[[], Workers],
    do: Do[Item, Workers, Result],
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

    def take(taken: queue.SimpleQueue[int]) -> Iterator[Item]:
        with contextlib.suppress(queue.Empty):
            while not stop.is_set():
                number, item = waiting.get_nowait()
                taken.put(number)
                yield item

    def work(workers: Workers) -> None:
        taken: queue.SimpleQueue[int] = queue.SimpleQueue()
        try:
            with workers, contextlib.closing(do(take(taken), workers, report)) as done:
                for result in done:
                    events.put(functools.partial(keep, taken.get(), result))
        except BaseException as error:
            events.put(functools.partial(fail, error))

    threads = [
        threading.Thread(target=work, args=(open_workers(),), name="lane", daemon=True) for _ in range(lanes)
    ]
    try:
        for thread in threads:
            thread.start()
        while len(results) < len(items):
            events.get()()
    except BaseException:
        stop.set()
        _end(threads)
        raise
    for thread in threads:
        thread.join()
    return [results[number] for number in range(len(items))]


def _end(threads: Sequence[threading.Thread]) -> None:
    """Kill the processes that threads wait for until the threads have ended, for `STOP_S` at most."""
    deadline = time.monotonic() + STOP_S
    while (alive := [each for each in threads if each.is_alive()]) and time.monotonic() < deadline:
        # Again and again: a lane may be about to start another.
        _process.kill_children({each.ident for each in alive})
        alive[0].join(0.1)
