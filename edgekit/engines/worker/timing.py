"""Timed loop: only the engine's call lies between two readings of a steady clock."""

import gc
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from edgekit.engines.worker.process import peak_memory_bytes, task_times

# Python 3.6 has no *_ns clocks; its float seconds still resolve a nanosecond.
clock_ns: Callable[[], int] = getattr(time, "perf_counter_ns", None) or (
    lambda: int(time.perf_counter() * 1e9)
)
cpu_ns: Callable[[], int] = getattr(time, "process_time_ns", None) or (lambda: int(time.process_time() * 1e9))

MARK_SYSCALL = 0xE5E5
# A thread counts as active if it computed for at least this share of the inferences' time.
PARTICIPATION = 0.01
OBSERVABLE_NS = 100000000
# Number of samples that memory is reserved for; a longer run doubles it between two samples.
PREALLOCATED = 1 << 16
# Number of timed copies to and from a GPU after the inferences, and of untimed copies before these.
COPIES = 100
COPIES_WARMUP = 10


def time_call(call: Callable[[], Any]) -> int:
    """Time one inference, ns."""
    start = clock_ns()
    call()
    return clock_ns() - start


def time_calls(call: Callable[[], Any]) -> List[int]:
    """Time a call COPIES times after warming it up; return ns each."""
    warm_up(call, COPIES_WARMUP, 0)
    return [time_call(call) for _ in range(COPIES)]


def warm_up(call: Callable[[], Any], runs: int, min_ns: int) -> int:
    """Infer until both bounds are met; return the number of inferences."""
    done = 0
    begin = clock_ns()
    while done < runs or (min_ns > 0 and clock_ns() - begin < min_ns):
        call()
        done += 1
    return done


def sample(
    call: Callable[[], Any], repeats: int, min_ns: int, max_ns: int, mark: Optional[Callable[[int], Any]]
) -> List[int]:
    """Time inferences: at least `repeats` and `min_ns`; start none once `max_ns` have passed.

    Call `mark(2 * i)` before and `mark(2 * i + 1)` after inference i, outside of the timed interval.
    """
    clock = clock_ns
    samples = [0] * max(repeats, PREALLOCATED)
    count = 0
    spent = 0
    while (count < repeats or spent < min_ns) and spent < max_ns:
        if count == len(samples):
            samples.extend([0] * count)
        if mark is not None:
            mark(2 * count)
        start = clock()
        call()
        end = clock()
        if mark is not None:
            mark(2 * count + 1)
        samples[count] = end - start
        spent += end - start
        count += 1
    del samples[count:]
    return samples


def marker() -> Callable[[int], Any]:
    """Return a system call that does not exist (ENOSYS); a tracer sees it together with its number."""
    import ctypes

    system_call = ctypes.CDLL(None, use_errno=True).syscall
    return lambda number: system_call(MARK_SYSCALL, number)


def spare_collector() -> None:
    """Exempt existing objects from garbage collection, which starts each `measure`."""
    freeze: Optional[Callable[[], None]] = getattr(gc, "freeze", None)  # from Python 3.7 on
    if freeze is not None:
        freeze()


def measure(
    call: Callable[[], Any], repeats: int, min_ns: int, max_ns: int, mark: bool
) -> Tuple[List[int], Dict[str, Any]]:
    """Call `sample` with the garbage collector off, and observe the threads meanwhile."""
    mark_call = marker() if mark else None
    gc.collect()
    gc.disable()
    try:
        before = task_times()
        cpu_start = cpu_ns()
        begin = clock_ns()
        samples = sample(call, repeats, min_ns, max_ns, mark_call)
        wall = clock_ns() - begin
        cpu = cpu_ns() - cpu_start
        after = task_times()
    finally:
        gc.enable()
    busy = [
        core
        for task, (spent, core) in after.items()
        if spent - before.get(task, (0, 0))[0] >= PARTICIPATION * wall
    ]
    # The kernel updates threads' times a few hundred times a second, too coarsely for short runs.
    threads: Optional[int] = len(busy) if wall >= OBSERVABLE_NS else None
    return samples, {
        "cpu_ns": cpu,
        "cores_seen": sorted(set(busy)),
        "active_threads": threads,
        "peak_memory_bytes": peak_memory_bytes(),
    }
