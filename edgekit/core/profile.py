"""Cost of an inference by operator, and each operator's gain from threads."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

import msgspec

from edgekit.core.device import DeviceInfo
from edgekit.core.measurement import Environment
from edgekit.core.stats import median

PROFILE_SCHEMA_VERSION = 1
# An operator scales where threads make it at least this many times cheaper; otherwise it is serial.
GAINS_FROM = 1.1


class Unit(enum.Enum):
    """Unit of a profile's costs."""

    MICROSECONDS = "us"
    INSTRUCTIONS = "instructions"


class Scaling(enum.Enum):
    """Effect of threads on an operator: cheaper by a tenth in every comparison of processes, or not.

    UNCLEAR where processes disagree, or where an operator looks serial while other work kept the cores busy.
    """

    GAINS = "gains"
    SERIAL = "serial"
    UNCLEAR = "unclear"


class OperatorShare(msgspec.Struct, frozen=True, kw_only=True):
    """Cost of all nodes of one operator.

    Attributes:
        operator: Name of the operator in the model's program.
        kernel: Name of the kernel that computed it, where known and where several kernels exist.
        processes: Summed cost of the nodes in one inference, per process, by number of threads.
        costs: Medians of `processes` by number of threads.
        share: Share of the whole cost at the fewest threads, 0 to 1.
        gains: Cost at the fewest threads over the cost at each other number of threads.
        scaling: Effect of threads; None where one number of threads was measured.
    """

    operator: str
    kernel: str | None = None
    nodes: int
    processes: dict[str, tuple[float, ...]]
    costs: dict[str, float]
    share: float
    gains: dict[str, float] = {}
    scaling: Scaling | None

    def spread(self, threads: int) -> float:
        """Return half of the range over the processes, relative to their median."""
        costs, middle = self.processes[str(threads)], self.costs[str(threads)]
        return (max(costs) - min(costs)) / 2 / middle if middle else 0.0


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """Cost of one node of the model.

    Attributes:
        name: Name of the node in the program that ran; its number where it has no name.
        kernel: Name of the kernel that computed it, where known.
        input_shape: Shape of the first input; empty where unknown, as the other shapes are.
        weights_shape: Shape of the second input where that is a parameter of several dimensions.
        output_shape: Shape of the first output.
        costs: Medians over the processes by number of threads.
        share: Share of the whole cost at the fewest threads, 0 to 1.
    """

    name: str
    operator: str
    kernel: str | None = None
    input_shape: tuple[int, ...] = ()
    weights_shape: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()
    costs: dict[str, float]
    share: float = 0.0


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Document of `profile --json`.

    Attributes:
        unit: Unit of the costs. Microseconds are medians over a process's inferences; instructions are of the
            main thread, which waits for the others.
        processes: Number of fresh processes at each number of threads.
        repeats: Number of measured inferences of each process.
        operators: Operators, the most expensive first.
        layers: Nodes in the order of their execution.
        environment_before: This machine's circumstances before; None on a device, whose counts repeat
            exactly.
        environment_after: This machine's circumstances afterwards, with the processes busy in between.
        reasons: Reasons to doubt the figures.
    """

    schema_version: int = PROFILE_SCHEMA_VERSION
    model: str
    target: DeviceInfo
    artifact_sha256: str
    engine: str
    engine_version: str
    precision: str
    unit: Unit
    processes: int
    repeats: int
    threads: tuple[int, ...]
    operators: tuple[OperatorShare, ...]
    layers: tuple[Layer, ...] = ()
    environment_before: Environment | None = None
    environment_after: Environment | None = None
    reasons: tuple[str, ...] = ()

    def whole(self, threads: int) -> float:
        """Return the cost of one inference."""
        return sum(one.costs[str(threads)] for one in self.operators)

    def share_of(self, scaling: Scaling, threads: int) -> float:
        """Return the share of the cost in operators with this scaling."""
        part = sum(one.costs[str(threads)] for one in self.operators if one.scaling is scaling)
        return part / self.whole(threads) if self.whole(threads) else 0.0


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Cost of the nodes of one operator at one number of threads, in each process."""

    nodes: int
    processes: tuple[float, ...]


Kind = tuple[str, str | None]
"""Operator and kernel."""

NOTHING = Cost(nodes=0, processes=(0.0,))


def shares(costs: Mapping[int, Mapping[Kind, Cost]], *, disturbed: bool = False) -> tuple[OperatorShare, ...]:
    """Combine the costs at several numbers of threads into one record an operator.

    Args:
        costs: Costs by number of threads; shares and gains are relative to the first, the fewest.
        disturbed: True where other work kept the cores busy, which slows many threads more than one.
    """
    kinds = dict.fromkeys(kind for by_kind in costs.values() for kind in by_kind)
    base = next(iter(costs.values()))
    whole = sum(median(one.processes) for one in base.values())
    listed = []
    for kind in kinds:
        found = {number: by_kind.get(kind, NOTHING) for number, by_kind in costs.items()}
        medians = {str(number): median(one.processes) for number, one in found.items()}
        first, *others = found.values()
        operator, kernel = kind
        listed.append(
            OperatorShare(
                operator=operator,
                kernel=kernel,
                nodes=max(one.nodes for one in found.values()),
                processes={str(number): one.processes for number, one in found.items()},
                costs=medians,
                share=median(first.processes) / whole if whole else 0.0,
                gains={
                    number: _gain(median(first.processes), cost) for number, cost in list(medians.items())[1:]
                },
                scaling=_scaling(first, others, disturbed=disturbed) if others else None,
            )
        )
    return tuple(sorted(listed, key=lambda one: -one.share))


def layer_shares(runs: Mapping[int, Sequence[Sequence[Layer]]]) -> tuple[Layer, ...]:
    """Combine the layers of several processes at several numbers of threads.

    Args:
        runs: Layers of each process in the order of their execution, with a cost each, by number of threads.
            Shares are of the first number, the fewest.
    """
    first, *_ = next(iter(runs.values()))
    costs: list[dict[str, float]] = [{} for _ in first]
    for number, processes in runs.items():
        for own, layers in zip(costs, zip(*processes, strict=True), strict=True):
            own[str(number)] = median([layer.costs[str(number)] for layer in layers])
    base = str(next(iter(runs)))
    whole = sum(own[base] for own in costs)
    return tuple(
        msgspec.structs.replace(layer, costs=own, share=own[base] / whole if whole else 0.0)
        for layer, own in zip(first, costs, strict=True)
    )


def _gain(before: float, after: float) -> float:
    return before / after if after else 1.0


def _scaling(first: Cost, others: Sequence[Cost], *, disturbed: bool) -> Scaling:
    if any(_gain(min(first.processes), max(one.processes)) >= GAINS_FROM for one in others):
        return Scaling.GAINS
    if disturbed or any(_gain(max(first.processes), min(one.processes)) >= GAINS_FROM for one in others):
        return Scaling.UNCLEAR
    return Scaling.SERIAL
