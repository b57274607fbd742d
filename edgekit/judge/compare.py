"""Comparison of two results: slower and faster points, noise, and other differences between the files."""

from __future__ import annotations

import msgspec

from edgekit.core.device import DeviceInfo
from edgekit.core.measurement import Point, Result
from edgekit.core.stats import median
from edgekit.errors import UsageError
from edgekit.judge.differences import between_points, between_results
from edgekit.judge.gate import Chances, Change, chances, decide, family_chances, reconcile
from edgekit.judge.intervals import Interval, compared_latencies, process_medians, ratio_interval
from edgekit.judge.pairs import ANYWAY, broken, configuration_of, left_out, pair_points

# Raised with every change of the fields, like the result file's.
COMPARISON_SCHEMA_VERSION = 3


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One point of two results.

    Attributes:
        old_ms, new_ms: Median over the processes of each one's lower quartile, ms; the ratio is of these.
        ratio: New latency over old, with its interval over processes; on emulated targets the ratio of
            exact instruction counts.
        chance: Holm's p-value of the slowdown, or of the gain where the ratio is below 1, over all points of
            the comparison; None without an interval and on emulated targets.
        machine_ratio: New over old of the fixed workload that ran beside both, with its interval over
            processes. None where a side has none.
        differences: Other changes between the two points and their files, in words.
    """

    model: str
    configuration: str
    old_ms: float | None
    new_ms: float | None
    ratio: Interval | None
    chance: float | None
    instruction_ratio: float | None
    machine_ratio: Interval | None
    change: Change
    reason: str
    differences: tuple[str, ...]


class ComparisonReport(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `compare --json`.

    Attributes:
        old, new: The runs' ids.
        not_compared: Points of either side without a counterpart, and why.
        failed: Points of the new result that failed where the old one measured them.
    """

    schema_version: int = COMPARISON_SCHEMA_VERSION
    old: str
    new: str
    threshold: float
    points: tuple[Comparison, ...]
    not_compared: tuple[str, ...]
    failed: tuple[str, ...]


def compare(old: Result, new: Result, *, threshold: float, anyway: bool = False) -> ComparisonReport:
    """Compare the points that two results have in common, and name the others.

    Args:
        old: The earlier result.
        new: The later result.
        threshold: The slowdown that counts, e.g. 0.03.
        anyway: Compare points in their order although model, engine or device differ.

    Raises:
        UsageError: Another device or GPU, or no point in common.
    """
    pairs = pair_points(old, new, anyway=anyway)
    if not anyway:
        _check_device(old, new)
        for pair in pairs:
            _check_gpu(*pair)
    around = tuple(between_results(old, new))
    if old.target.emulated or new.target.emulated:
        points = [_compare_counts(*pair, threshold, around) for pair in pairs]
    else:
        machines = [_machine_ratio(*pair) for pair in pairs]
        family = family_chances(
            [chances(*pair, machine) for pair, machine in zip(pairs, machines, strict=True)]
        )
        points = [
            _compare_times(*pair, machine, chance, threshold, around)
            for pair, machine, chance in zip(pairs, machines, family, strict=True)
        ]
    return ComparisonReport(
        old=old.run_id,
        new=new.run_id,
        threshold=threshold,
        points=tuple(points),
        not_compared=left_out(old, new, pairs),
        failed=broken(old, new),
    )


def _check_device(old: Result, new: Result) -> None:
    a, b = old.target, new.target
    if _machine(a) != _machine(b):
        raise UsageError(
            f"comparing {a.soc or a.serial} ({len(a.cores)} cores) with {b.soc or b.serial} "
            f"({len(b.cores)} cores): another device",
            hint=ANYWAY,
        )


def _machine(info: DeviceInfo) -> tuple[object, ...]:
    """Identity of a machine. The name of a host (its `model`) and the serial of a phone are no part of it."""
    local = info.transport == "local"
    clusters = tuple((cluster.cores, cluster.part) for cluster in info.clusters)
    return info.soc, info.abi, local, info.emulated, clusters, None if local else info.model


def _check_gpu(old: Point, new: Point) -> None:
    names = [None if point.gpu is None else point.gpu.name for point in (old, new)]
    if names[0] != names[1]:
        raise UsageError(
            f"comparing {new.model} on {names[0]} with {names[1]}: another GPU",
            hint=ANYWAY,
        )


def _compare_counts(old: Point, new: Point, threshold: float, around: tuple[str, ...]) -> Comparison:
    """By exact instruction counts, on emulated devices."""
    exact = _instruction_ratio(old, new)
    ratio = None if exact is None else Interval(estimate=exact, low=exact, high=exact)
    change, reason = Change.TOO_NOISY, "no exact instruction counts on a side"
    if ratio is not None:
        change, reason = decide(ratio, None, threshold)
    return Comparison(
        model=new.model,
        configuration=configuration_of(new),
        old_ms=None,
        new_ms=None,
        ratio=ratio,
        chance=None,
        instruction_ratio=exact,
        machine_ratio=_machine_ratio(old, new),
        change=change,
        reason=reason,
        differences=(*between_points(old, new), *around),
    )


def _compare_times(
    old: Point,
    new: Point,
    machine: Interval | None,
    known: Chances | None,
    threshold: float,
    around: tuple[str, ...],
) -> Comparison:
    ratio = ratio_interval(compared_latencies(old), compared_latencies(new))
    medians = ratio_interval(process_medians(old), process_medians(new))
    change, reason = reconcile(decide(ratio, machine, threshold, known), decide(medians, machine, threshold))
    chance = None
    if ratio is not None and known is not None:
        chance = known.slower if ratio.estimate > 1 else known.faster
    return Comparison(
        model=new.model,
        configuration=configuration_of(new),
        old_ms=_compared_ms(old),
        new_ms=_compared_ms(new),
        ratio=ratio,
        chance=chance,
        instruction_ratio=_instruction_ratio(old, new),
        machine_ratio=machine,
        change=change,
        reason=reason,
        differences=(*between_points(old, new), *around),
    )


def _compared_ms(point: Point) -> float | None:
    values = compared_latencies(point)
    return median(values) / 1e6 if values else None


def _machine_ratio(old: Point, new: Point) -> Interval | None:
    sides = [
        [run.reference_ns for run in point.processes if run.reference_ns is not None] for point in (old, new)
    ]
    return ratio_interval(*sides)


def _instruction_ratio(old: Point, new: Point) -> float | None:
    if old.instruction_count is None or new.instruction_count is None:
        return None
    return new.instruction_count.main_thread / old.instruction_count.main_thread
