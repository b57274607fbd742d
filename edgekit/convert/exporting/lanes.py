"""Items done side by side, each lane a thread with workers of its own."""

from __future__ import annotations

import contextlib
import functools
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from types import TracebackType
from typing import Protocol, TypeVar

from edgekit.toolchain.component import Report


class Stoppable(Protocol):
    """A worker, or several, whose processes end with the context."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def stop(self) -> None:
        """Kill the processes from another thread."""


Item = TypeVar("Item")
Result = TypeVar("Result")
Workers = TypeVar("Workers", bound=Stoppable)
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

    One lane is this thread. An interruption of several kills the workers and waits for the lanes.

    Args:
        items: The items; a lane that is free takes the next.
        lanes: How many items are done at once.
        open_workers: Makes the workers of a lane. Their children start and end in the lane's thread.
        do: Does the items of one lane, which it takes one by one, and yields their results in this order; it
            gives lines for the user to its last argument.
        progress: Called in this thread with these lines.
        finished: Called in this thread with each result as soon as it is there.

    Raises:
        BaseException: An error that `do` raised; all lanes have ended by then.
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

    opened = [open_workers() for _ in range(lanes)]
    threads = [threading.Thread(target=work, args=(workers,), name="lane") for workers in opened]
    try:
        for thread in threads:
            thread.start()
        while len(results) < len(items):
            events.get()()
    except BaseException:
        stop.set()
        for workers in opened:
            workers.stop()
        raise
    finally:
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    return [results[number] for number in range(len(items))]
