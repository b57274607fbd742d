"""Warm-up until steady: by windows of inferences whose medians agree."""

from __future__ import annotations

import msgspec

from edgekit.core.stats import median
from edgekit.core.units import NS_PER_S
from edgekit.runners.protocol import Run
from edgekit.runners.session import RunnerSession

WINDOW_RUNS = 10
WINDOW_NS = 100_000_000
AGREEMENT = 0.02
MAX_WINDOWS = 12


class WarmedUp(msgspec.Struct, frozen=True, kw_only=True):
    """How the warm-up went.

    Attributes:
        runs: Inferences thrown away.
        first_run_ns: The first of them.
        steady: The last two windows agreed within AGREEMENT.
    """

    runs: int
    first_run_ns: int | None
    steady: bool


def warm_up(session: RunnerSession, *, runs: int, min_ns: int, max_ns: int) -> WarmedUp:
    """Infer at least `runs` times and `min_ns`, then until two windows in a row have equal medians.

    Gives up being steady after MAX_WINDOWS windows or `max_ns`; the caller records that.
    """
    window = Run(warmup=runs, warmup_ns=min_ns, repeats=WINDOW_RUNS, min_ns=WINDOW_NS, max_ns=max_ns)
    first = session.run(window)
    done = first.warmup_runs + len(first.samples_ns)
    spent = sum(first.samples_ns)
    before = median(first.samples_ns)
    steady = False
    window = msgspec.structs.replace(window, warmup=0, warmup_ns=0)
    for _ in range(MAX_WINDOWS - 1):
        if spent >= max_ns:
            break
        ran = session.run(window)
        done += ran.warmup_runs + len(ran.samples_ns)
        spent += sum(ran.samples_ns)
        now = median(ran.samples_ns)
        steady = abs(now - before) <= AGREEMENT * before
        before = now
        if steady:
            break
    return WarmedUp(runs=done, first_run_ns=first.first_run_ns, steady=steady)


def seconds_ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
