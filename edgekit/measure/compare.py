"""Two results against each other: what is slower, what is noise, and what else differs between them."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Sequence

import msgspec

from edgekit.core.measurement import Point, Result, Status
from edgekit.core.stats import median
from edgekit.errors import UsageError
from edgekit.measure.intervals import Interval, process_medians, ratio_interval

DEFAULT_THRESHOLD = 0.03

Key = tuple[str, str, str, int, int, str, str]
KEY_NAMES = ("model", "engine", "precision", "threads", "batch", "power mode", "cores")


class Change(enum.Enum):
    """What became of a figure."""

    SLOWER = "slower"
    FASTER = "faster"
    SAME = "same"
    TOO_NOISY = "too noisy to tell"


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One point of two results.

    Attributes:
        ratio: New latency over old, with its interval over processes; on emulated targets the ratio of
            exact instruction counts.
        machine_ratio: New over old of the fixed workload that ran beside both; 1 where the machine is the
            same. None where a side has none.
        differences: What else changed between the two.
    """

    model: str
    configuration: str
    old_ms: float | None
    new_ms: float | None
    ratio: Interval | None
    instruction_ratio: float | None
    machine_ratio: float | None
    change: Change
    reason: str
    differences: tuple[str, ...]


def compare(old: Result, new: Result, *, threshold: float, anyway: bool = False) -> list[Comparison]:
    """Every point that both results have.

    Args:
        old: What it was.
        new: What it is.
        threshold: The slowdown that counts, e.g. 0.03.
        anyway: Compare points in their order although model, engine or device differ.

    Raises:
        UsageError: Another device, or no point in common.
    """
    if not anyway:
        _check_device(old, new)
    pairs = list(_pairs(old, new, anyway=anyway))
    around = tuple(_between_results(old, new))
    emulated = old.target.emulated or new.target.emulated
    return [_compare(*pair, threshold, around, emulated=emulated) for pair in pairs]


def _check_device(old: Result, new: Result) -> None:
    a, b = old.target, new.target
    first = (a.soc, a.transport == "local", a.emulated, a.cores)
    if first != (b.soc, b.transport == "local", b.emulated, b.cores):
        raise UsageError(
            f"comparing {a.soc or a.serial} ({len(a.cores)} cores) with {b.soc or b.serial} "
            f"({len(b.cores)} cores): another device",
            hint="--anyway compares them all the same",
        )


def _key(point: Point) -> Key:
    options = ",".join(f"{name}={value}" for name, value in sorted(point.engine_options.items()))
    return (
        point.model,
        f"{point.engine} {options}".strip(),
        point.precision.value,
        point.requested_threads,
        point.batch_size,
        "" if point.power_mode is None else point.power_mode.value,
        point.requested_cores or "",
    )


def _pairs(old: Result, new: Result, *, anyway: bool) -> Iterator[tuple[Point, Point]]:
    olds, news = [_measured(result.points) for result in (old, new)]
    if not olds or not news:
        raise UsageError("comparing two results: one of them has no finished point")
    known = {_key(point): point for point in olds}
    common = [(known[_key(point)], point) for point in news if _key(point) in known]
    if common:
        yield from common
    elif anyway:
        yield from zip(olds, news, strict=False)
    else:
        pairs = zip(KEY_NAMES, _key(olds[0]), _key(news[0]), strict=True)
        differing = ", ".join(f"{name} {a or '-'} and {b or '-'}" for name, a, b in pairs if a != b)
        raise UsageError(
            f"comparing two results: no point in common ({differing})",
            hint="--anyway compares them all the same",
        )


def _measured(points: Sequence[Point]) -> list[Point]:
    return [point for point in points if point.status is Status.DONE]


def _compare(
    old: Point, new: Point, threshold: float, around: tuple[str, ...], *, emulated: bool
) -> Comparison:
    machine, exact = _machine_ratio(old, new), _instruction_ratio(old, new)
    if emulated:
        ratio = None if exact is None else Interval(estimate=exact, low=exact, high=exact)
    else:
        ratio = ratio_interval(process_medians(old), process_medians(new))
    change, reason = decide(ratio, None if emulated else machine, threshold)
    return Comparison(
        model=new.model,
        configuration=f"{new.engine} {new.precision.value}, {new.requested_threads} thread(s), "
        f"bs{new.batch_size}",
        old_ms=None if emulated or old.latency_ns is None else old.latency_ns / 1e6,
        new_ms=None if emulated or new.latency_ns is None else new.latency_ns / 1e6,
        ratio=ratio,
        instruction_ratio=exact,
        machine_ratio=machine,
        change=change,
        reason=reason,
        differences=(*_between_points(old, new), *around),
    )


def decide(ratio: Interval | None, machine: float | None, threshold: float) -> tuple[Change, str]:
    """Slower or faster only where the interval and, with the machine's drift taken out, the ratio say so.

    Returns:
        The change, and why in words.
    """
    if ratio is None:
        return Change.TOO_NOISY, "fewer than two processes on a side: --processes 5"
    slower = _judge_up(ratio, machine, threshold)
    faster = _judge_up(_inverse(ratio), None if machine is None else 1 / machine, threshold)
    if slower is Change.SLOWER:
        return Change.SLOWER, f"{ratio.estimate - 1:+.1%}"
    if faster is Change.SLOWER:
        return Change.FASTER, f"{ratio.estimate - 1:+.1%}"
    if Change.TOO_NOISY not in (slower, faster):
        return Change.SAME, f"{ratio.estimate - 1:+.1%}, within {threshold:.0%}"
    if machine is not None and abs(machine - 1) > threshold / 2:
        return Change.TOO_NOISY, f"the machine itself changed by {machine - 1:+.1%}"
    return Change.TOO_NOISY, f"the interval is ±{ratio.relative_half_width:.1%}: more --processes"


def _inverse(ratio: Interval) -> Interval:
    return Interval(estimate=1 / ratio.estimate, low=1 / ratio.high, high=1 / ratio.low)


def _judge_up(ratio: Interval, machine: float | None, threshold: float) -> Change:
    """SLOWER, SAME or TOO_NOISY, looking upwards only."""
    drift = 1.0 if machine is None else machine
    # The model's own share: whichever of the raw and the corrected ratio says less.
    low = min(ratio.low, ratio.low / drift)
    estimate = min(ratio.estimate, ratio.estimate / drift)
    if low > 1 and estimate > 1 + threshold:
        return Change.SLOWER
    high = max(ratio.high, ratio.high / drift)
    return Change.SAME if high <= 1 + threshold else Change.TOO_NOISY


def _machine_ratio(old: Point, new: Point) -> float | None:
    sides = [
        [run.reference_ns for run in point.processes if run.reference_ns is not None] for point in (old, new)
    ]
    return median(sides[1]) / median(sides[0]) if all(sides) else None


def _instruction_ratio(old: Point, new: Point) -> float | None:
    if old.instruction_count is None or new.instruction_count is None:
        return None
    return new.instruction_count.main_thread / old.instruction_count.main_thread


def _between_points(old: Point, new: Point) -> Iterator[str]:
    if old.artifact is not None and new.artifact is not None:
        if old.artifact.sha256 != new.artifact.sha256:
            yield f"artifact {old.artifact.sha256[:12]} -> {new.artifact.sha256[:12]}"
        if old.artifact.converter_version != new.artifact.converter_version:
            versions = (old.artifact.converter_version, new.artifact.converter_version)
            yield f"{new.artifact.converter} {versions[0]} -> {versions[1]}"
    for name in ("engine_version", "effective_threads", "cores"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield f"{name.replace('_', ' ')} {before} -> {after}"
    a, b = old.environment_before, new.environment_before
    if a is None or b is None:
        return
    governors = [sorted({core.governor for core in one.cores if core.governor}) for one in (a, b)]
    if governors[0] != governors[1]:
        yield f"governor {','.join(governors[0]) or '-'} -> {','.join(governors[1]) or '-'}"
    if (
        a.load_1min is not None
        and b.load_1min is not None
        and not math.isclose(a.load_1min, b.load_1min, abs_tol=0.5)
    ):
        yield f"load {a.load_1min:.1f} -> {b.load_1min:.1f}"


def _between_results(old: Result, new: Result) -> Iterator[str]:
    for name, before, after in (
        ("edgekit", old.edgekit_version, new.edgekit_version),
        ("system", old.target.os, new.target.os),
        ("kernel", old.target.kernel, new.target.kernel),
    ):
        if before != after:
            yield f"{name} {before} -> {after}"
