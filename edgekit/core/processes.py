"""Which processes used the processor between two looks at /proc/PID/stat (proc(5))."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

# USER_HZ is 100 on every Linux that edgekit runs on.
TICKS_PER_S = 100
# The share of one core from which a process counts as busy.
BUSY_SHARE = 0.1
# Takes over whoever's parent has ended, edgekit's own runners among them.
INIT = 1


class Spent(NamedTuple):
    """User and system time of one process, in clock ticks.

    Attributes:
        own: Its threads'.
        reaped: Of its children that have ended, theirs included.
        parent: The number of its parent.
    """

    own: int
    reaped: int = 0
    parent: int = 0


Ticks = Mapping[tuple[int, str], Spent]


def parse_ticks(text: str) -> dict[tuple[int, str], Spent]:
    """What processes spent, by number and name, from `stat` files one after the other."""
    ticks = {}
    for line in text.splitlines():
        # A name may hold anything, brackets included; the last one ends it.
        head, _, rest = line.rpartition(")")
        number, _, name = head.partition(" (")
        fields = rest.split()
        times = fields[11:15]
        if number.isdecimal() and len(times) == 4 and "".join((fields[1], *times)).isdecimal():
            user, system, reaped_user, reaped_system = map(int, times)
            ticks[int(number), name] = Spent(user + system, reaped_user + reaped_system, int(fields[1]))
    return ticks


class ProcessWatch:
    """Names of the processes that were busy since the look before.

    Args:
        clock: Seconds, steady.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._before: tuple[float, Ticks] | None = None

    @property
    def has_looked(self) -> bool:
        return self._before is not None

    def look(self, ticks: Ticks, *, own: frozenset[str] = frozenset()) -> tuple[str, ...] | None:
        """Busy names, sorted; None at the first look.

        Short processes that came and went between two looks count as their parent's, which reaped them.

        Args:
            ticks: What `parse_ticks` says now.
            own: Names that do not count.
        """
        now = self._clock()
        before, self._before = self._before, (now, ticks)
        if before is None:
            return None
        limit = BUSY_SHARE * TICKS_PER_S * (now - before[0])
        # By number alone: the kernel's workers take the name of what they work at.
        earlier = {number: spent for (number, _), spent in before[1].items()}
        known = _known_of_ended(earlier, {number for number, _ in ticks})
        busy = {
            name
            for (number, name), spent in ticks.items()
            if _used(number, spent, earlier.get(number), known.get(number, 0)) > limit
        }
        return tuple(sorted(busy - own))


def _known_of_ended(earlier: Mapping[int, Spent], present: set[int]) -> dict[int, int]:
    """By parent, what its children that have ended since had spent at the look before."""
    known: dict[int, int] = {}
    for number, spent in earlier.items():
        if number not in present:
            known[spent.parent] = known.get(spent.parent, 0) + spent.own + spent.reaped
    return known


def _used(number: int, spent: Spent, earlier: Spent | None, known_of_ended: int) -> int:
    """Ticks of a process since the look before, with what short children of it took."""
    # What was not there before, or has less than was there under its number, has started since.
    if earlier is None or spent.own < earlier.own:
        earlier = Spent(0)
    reaped = 0 if number == INIT else spent.reaped - earlier.reaped - known_of_ended
    return spent.own - earlier.own + max(reaped, 0)
