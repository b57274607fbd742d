"""Where the cost of an inference goes, operator by operator, and what each gains from threads."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec

# An operator gains from threads where it becomes at least this many times as cheap; the rest is serial.
GAINS_FROM = 1.1


class Unit(enum.Enum):
    """What a profile's costs are in."""

    MICROSECONDS = "us"
    INSTRUCTIONS = "instructions"


class OperatorShare(msgspec.Struct, frozen=True, kw_only=True):
    """All nodes of one kind.

    Attributes:
        operator: As the model's program calls it.
        kernel: What computed it, where that is known and several can.
        costs: Of one inference, all these nodes together, by number of threads.
        share: Of all costs at the fewest threads.
        gains: How many times the cost at the fewest threads is the cost at each other number.
        serial: No number of threads made it cheaper by a tenth; None where one number was measured.
    """

    operator: str
    kernel: str | None = None
    nodes: int
    costs: dict[str, float]
    share: float
    gains: dict[str, float] = {}
    serial: bool | None


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `profile --json`.

    Attributes:
        target: Serial of the device; None for this machine.
        unit: Microseconds are medians over the inferences; instructions are those of the main thread, which
            the others wait for.
        repeats: Inferences that were measured at each number of threads.
        operators: The costliest first.
    """

    model: str
    target: str | None = None
    engine: str
    engine_version: str
    precision: str
    unit: Unit
    repeats: int
    threads: tuple[int, ...]
    operators: tuple[OperatorShare, ...]

    def whole(self, threads: int) -> float:
        """The cost of one inference."""
        return sum(one.costs[str(threads)] for one in self.operators)

    def serial_share(self, threads: int) -> float | None:
        """The share of what gains nothing from threads; None where one number of threads was measured."""
        if len(self.threads) == 1:
            return None
        serial = sum(one.costs[str(threads)] for one in self.operators if one.serial)
        return serial / self.whole(threads) if self.whole(threads) else 0.0


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What the nodes of one kind cost at one number of threads."""

    nodes: int
    cost: float


Kind = tuple[str, str | None]
"""Operator and kernel."""


def shares(costs: Mapping[int, Mapping[Kind, Cost]]) -> tuple[OperatorShare, ...]:
    """Put the costs at several numbers of threads side by side.

    Args:
        costs: By number of threads; the first, the fewest, is the base of shares and gains.
    """
    base = next(iter(costs.values()))
    whole = sum(one.cost for one in base.values())
    kinds = dict.fromkeys(kind for by_kind in costs.values() for kind in by_kind)
    listed = []
    for kind in kinds:
        found = {number: by_kind[kind] for number, by_kind in costs.items() if kind in by_kind}
        by_threads = {str(number): found[number].cost if number in found else 0.0 for number in costs}
        first, *others = by_threads.values()
        gains = {number: first / cost if cost else 1.0 for number, cost in list(by_threads.items())[1:]}
        operator, kernel = kind
        listed.append(
            OperatorShare(
                operator=operator,
                kernel=kernel,
                nodes=next(iter(found.values())).nodes,
                costs=by_threads,
                share=first / whole if whole else 0.0,
                gains=gains,
                serial=max(gains.values()) < GAINS_FROM if others else None,
            )
        )
    return tuple(sorted(listed, key=lambda one: -one.share))
