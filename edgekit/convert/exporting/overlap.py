"""Models of one lane: one is converted, checked and written while Paddle's process builds the next."""

from __future__ import annotations

import enum
from collections.abc import Generator, Iterator
from typing import TypeVar

Outcome = TypeVar("Outcome")


class Stop(enum.Enum):
    """Why an export lets the others of its lane go on."""

    WAITS = "it waits for Paddle's process, for its directory, or for its weights"
    BUILT = "Paddle's process is done with it"


Steps = Generator[Stop, None, Outcome]
"""Part of an export; returns its result."""

Export = Generator[Stop | Outcome, None, None]
"""A whole export; yields its outcome last, in one step from `Stop.BUILT`."""


def overlapped(exports: Iterator[Export[Outcome]]) -> Generator[Outcome, None, None]:
    """Yield the outcomes of exports in order. Two of them are under way at most, one in Paddle's process."""
    current: Export[Outcome] | None = None
    last: Export[Outcome] | None = None
    try:
        for current in exports:
            state = next(current)
            if last is not None:
                yield _finish(last)
                last = None
            while state is Stop.WAITS:
                state = next(current)
            if isinstance(state, Stop):
                last = current
            else:
                yield state
        if last is not None:
            yield _finish(last)
    finally:
        for each in (current, last):
            if each is not None:
                each.close()


def _finish(built: Export[Outcome]) -> Outcome:
    outcome = next(built)
    assert not isinstance(outcome, Stop), "a built model waits for nothing"
    return outcome
