"""Processes that used the CPU between two readings of /proc/PID/stat (proc(5))."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

# USER_HZ is 100 on every Linux that edgekit runs on.
TICKS_PER_S = 100
# A process that used at least this share of one core counts as busy.
BUSY_SHARE = 0.1
# The process with this number adopts orphans, among them edgekit's own runners.
INIT = 1


class Spent(NamedTuple):
    """User and system time of one process, in clock ticks.

    Attributes:
        own: Time of the process's own threads.
        reaped: Time of its ended children, including the ended children of those.
        parent: Process number of the parent.
    """

    own: int
    reaped: int = 0
    parent: int = 0


Ticks = Mapping[tuple[int, str], Spent]


def parse_ticks(text: str) -> dict[tuple[int, str], Spent]:
    """Return the time each process used, by number and name, from concatenated `stat` files."""
    ticks = {}
    for line in text.splitlines():
        # A process name may contain brackets; the last bracket ends it.
        head, _, rest = line.rpartition(")")
        number, _, name = head.partition(" (")
        fields = rest.split()
        times = fields[11:15]
        if number.isdecimal() and len(times) == 4 and "".join((fields[1], *times)).isdecimal():
            user, system, reaped_user, reaped_system = map(int, times)
            ticks[int(number), name] = Spent(user + system, reaped_user + reaped_system, int(fields[1]))
    return ticks


class ProcessWatch:
    """Finds the processes that were busy since the previous reading.

    Args:
        clock: Function that returns a steady time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._before: tuple[float, Ticks] | None = None

    @property
    def has_looked(self) -> bool:
        return self._before is not None

    def look(self, ticks: Ticks, *, own: frozenset[str] = frozenset()) -> tuple[str, ...] | None:
        """Return the sorted names of busy processes; None at the first reading.

        A short process that started and ended between two readings counts towards the parent that reaped it.

        Args:
            ticks: Present result of `parse_ticks`.
            own: Process names to leave out.
        """
        now = self._clock()
        before, self._before = self._before, (now, ticks)
        if before is None:
            return None
        limit = BUSY_SHARE * TICKS_PER_S * (now - before[0])
        # Match by number alone: kernel workers change their names with their work.
        earlier = {number: spent for (number, _), spent in before[1].items()}
        known = _known_of_ended(earlier, {number for number, _ in ticks})
        busy = {
            name
            for (number, name), spent in ticks.items()
            if _used(number, spent, earlier.get(number), known.get(number, 0)) > limit
        }
        return tuple(sorted(busy - own))


def _known_of_ended(earlier: Mapping[int, Spent], present: set[int]) -> dict[int, int]:
    """Return, by parent, the time at the previous reading of its children that have ended since."""
    known: dict[int, int] = {}
    for number, spent in earlier.items():
        if number not in present:
            known[spent.parent] = known.get(spent.parent, 0) + spent.own + spent.reaped
    return known


def _used(number: int, spent: Spent, earlier: Spent | None, known_of_ended: int) -> int:
    """Return the ticks of a process since the previous reading, including its short-lived children."""
    # A new number, or fewer ticks under a known number, means a process that started since.
    if earlier is None or spent.own < earlier.own:
        earlier = Spent(0)
    reaped = 0 if number == INIT else spent.reaped - earlier.reaped - known_of_ended
    return spent.own - earlier.own + max(reaped, 0)
