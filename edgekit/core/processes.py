"""Which processes used the processor between two looks at /proc/PID/stat (proc(5))."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

# USER_HZ is 100 on every Linux that edgekit runs on.
TICKS_PER_S = 100
# The share of one core from which a process counts as busy.
BUSY_SHARE = 0.1

Ticks = Mapping[tuple[int, str], int]


def parse_ticks(text: str) -> dict[tuple[int, str], int]:
    """User and system time by number and name, from `stat` files one after the other."""
    ticks = {}
    for line in text.splitlines():
        # A name may hold anything, brackets included; the last one ends it.
        head, _, rest = line.rpartition(")")
        number, _, name = head.partition(" (")
        fields = rest.split()
        if number.isdecimal() and len(fields) > 12 and (fields[11] + fields[12]).isdecimal():
            ticks[int(number), name] = int(fields[11]) + int(fields[12])
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

        Args:
            ticks: What `parse_ticks` says now.
            own: Names that do not count.
        """
        now = self._clock()
        before, self._before = self._before, (now, ticks)
        if before is None:
            return None
        limit = BUSY_SHARE * TICKS_PER_S * (now - before[0])
        # By number alone: the kernel's workers take the name of what they work at. What was not there before,
        # or has less than was there under its number, has started since.
        earlier = {number: spent for (number, _), spent in before[1].items()}
        busy = set()
        for (number, name), spent in ticks.items():
            known = earlier.get(number, 0)
            if (spent - known if spent >= known else spent) > limit:
                busy.add(name)
        return tuple(sorted(busy - own))
