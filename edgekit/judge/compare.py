"""Comparison of two results: slower and faster points, noise, and other differences between the files."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Sequence

import msgspec

from edgekit.core.device import DeviceInfo
from edgekit.core.measurement import Point, Result, Status, Verdict
from edgekit.errors import UsageError
from edgekit.judge.intervals import (
    Interval,
    chance_of_more,
    compared_latencies,
    process_medians,
    ratio_interval,
)

DEFAULT_THRESHOLD = 0.03
# Comparisons of equal results in which any point is called slower; as many again call one faster.
FALSE_ALARMS = 0.05
# Raised with every change of the fields, like the result file's.
COMPARISON_SCHEMA_VERSION = 2
ANYWAY = "--anyway compares them all the same"

Key = tuple[str, str, str, int, int]
KEY_NAMES = ("model", "engine", "precision", "threads", "batch")


class Change(enum.Enum):
    """Verdict on one point of a comparison."""

    SLOWER = "slower"
    FASTER = "faster"
    SAME = "same"
    TOO_NOISY = "too noisy to tell"


class Chances(msgspec.Struct, frozen=True, kw_only=True):
    """P-values of one point."""

    slower: float
    faster: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One point of two results.

    Attributes:
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


def compare_results(old: Result, new: Result, *, threshold: float, anyway: bool = False) -> ComparisonReport:
    """Compare two results and name the points without a counterpart. Arguments and errors: see `compare`."""
    return ComparisonReport(
        old=old.run_id,
        new=new.run_id,
        threshold=threshold,
        points=tuple(compare(old, new, threshold=threshold, anyway=anyway)),
        not_compared=tuple(left_out(old, new, anyway=anyway)),
        failed=tuple(broken(old, new)),
    )


def compare(old: Result, new: Result, *, threshold: float, anyway: bool = False) -> list[Comparison]:
    """Every point that both results have.

    Args:
        old: The earlier result.
        new: The later result.
        threshold: The slowdown that counts, e.g. 0.03.
        anyway: Compare points in their order although model, engine or device differ.

    Points without a counterpart are left out; `left_out` names them.

    Raises:
        UsageError: Another device or GPU, or no point in common.
    """
    pairs = list(_pairs(old, new, anyway=anyway))
    if not anyway:
        _check_device(old, new)
        for pair in pairs:
            _check_gpu(*pair)
    around = tuple(_between_results(old, new))
    if old.target.emulated or new.target.emulated:
        return [_compare_counts(*pair, threshold, around) for pair in pairs]
    machines = [_machine_ratio(*pair) for pair in pairs]
    chances = family_chances(
        [_chances(*pair, machine) for pair, machine in zip(pairs, machines, strict=True)]
    )
    return [
        _compare_times(*pair, machine, chance, threshold, around)
        for pair, machine, chance in zip(pairs, machines, chances, strict=True)
    ]


def _chances(old: Point, new: Point, machine: Interval | None) -> Chances | None:
    """P-values of a slowdown and of a gain beyond the machine's own; None with fewer than two processes."""
    sides = [[value for value in compared_latencies(point) if value > 0] for point in (old, new)]
    if min(map(len, sides)) < 2:
        return None
    drift = _drift(machine)
    slower = chance_of_more(sides[0], sides[1], max(1.0, drift))
    faster = chance_of_more(sides[1], sides[0], max(1.0, 1 / drift))
    return Chances(slower=slower, faster=faster)


def family_chances(chances: Sequence[Chances | None]) -> list[Chances | None]:
    """Holm's p-values over all points, slowdowns and gains each a family of their own."""
    known = [one for one in chances if one is not None]
    slower, faster = holm([one.slower for one in known]), holm([one.faster for one in known])
    made = iter([Chances(slower=a, faster=b) for a, b in zip(slower, faster, strict=True)])
    return [None if one is None else next(made) for one in chances]


def holm(chances: Sequence[float]) -> list[float]:
    """P-values adjusted for their number, so that a limit on them bounds the chance of any false one.

    S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6
    (1979). It assumes nothing of how the points depend on each other.
    """
    adjusted, highest = [1.0] * len(chances), 0.0
    for rank, index in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        highest = max(highest, min(1.0, (len(chances) - rank) * chances[index]))
        adjusted[index] = highest
    return adjusted


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


def _key(point: Point) -> Key:
    return point.model, point.engine, point.precision.value, point.requested_threads, point.batch_size


def _settings(point: Point) -> dict[str, str]:
    """Settings by which points of one key are told apart; they may differ between two files."""
    settings = {f"engine option {name}": value for name, value in point.engine_options.items()}
    settings["power mode"] = "" if point.power_mode is None else point.power_mode.value
    settings["requested cores"] = point.requested_cores or ""
    return settings


def _pairs(old: Result, new: Result, *, anyway: bool) -> Iterator[tuple[Point, Point]]:
    olds, news = [_measured(result.points) for result in (old, new)]
    if not olds or not news:
        raise UsageError("comparing two results: one of them has no finished point")
    common = list(_common(olds, news))
    if common:
        yield from common
    elif anyway:
        yield from zip(olds, news, strict=False)
    else:
        pairs = zip(KEY_NAMES, _key(olds[0]), _key(news[0]), strict=True)
        differing = ", ".join(f"{name} {a or '-'} and {b or '-'}" for name, a, b in pairs if a != b)
        raise UsageError(
            f"comparing two results: no point in common ({differing})",
            hint=ANYWAY,
        )


def _common(olds: Sequence[Point], news: Sequence[Point]) -> Iterator[tuple[Point, Point]]:
    """Pair points of one key: those of equal settings first, the others in their order."""
    for key in dict.fromkeys(_key(point) for point in news):
        sides = [[point for point in points if _key(point) == key] for points in (olds, news)]
        for point in list(sides[1]):
            same = next((one for one in sides[0] if _settings(one) == _settings(point)), None)
            if same is not None:
                sides[0].remove(same)
                sides[1].remove(point)
                yield same, point
        yield from zip(*sides, strict=False)


def left_out(old: Result, new: Result, *, anyway: bool = False) -> list[str]:
    """The points of either side that `compare` says nothing of, and why, for people."""
    paired = {id(point) for pair in _pairs(old, new, anyway=anyway) for point in pair}
    return [
        f"{point.model}, {_configuration(point)}: {name} "
        + ("has it alone" if point.status is Status.DONE else f"has it {point.status.value}")
        for name, result in (("OLD", old), ("NEW", new))
        for point in result.points
        if id(point) not in paired
    ]


def broken(old: Result, new: Result) -> list[str]:
    """The points that failed in the new result and were measured in the old one, for people."""
    measured = {_key(point) for point in _measured(old.points)}
    return [
        f"{point.model}, {_configuration(point)}"
        for point in new.points
        if point.status is Status.FAILED and _key(point) in measured
    ]


def _measured(points: Sequence[Point]) -> list[Point]:
    return [point for point in points if point.status is Status.DONE]


def _configuration(point: Point) -> str:
    return (
        f"{point.engine} {point.precision.value}, {point.requested_threads} thread(s), bs{point.batch_size}"
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
        configuration=_configuration(new),
        old_ms=None,
        new_ms=None,
        ratio=ratio,
        chance=None,
        instruction_ratio=exact,
        machine_ratio=_machine_ratio(old, new),
        change=change,
        reason=reason,
        differences=(*_between_points(old, new), *around),
    )


def _compare_times(
    old: Point,
    new: Point,
    machine: Interval | None,
    chances: Chances | None,
    threshold: float,
    around: tuple[str, ...],
) -> Comparison:
    ratio = ratio_interval(compared_latencies(old), compared_latencies(new))
    medians = ratio_interval(process_medians(old), process_medians(new))
    change, reason = reconcile(
        decide(ratio, machine, threshold, chances), decide(medians, machine, threshold)
    )
    chance = None
    if ratio is not None and chances is not None:
        chance = chances.slower if ratio.estimate > 1 else chances.faster
    return Comparison(
        model=new.model,
        configuration=_configuration(new),
        old_ms=None if old.latency_ns is None else old.latency_ns / 1e6,
        new_ms=None if new.latency_ns is None else new.latency_ns / 1e6,
        ratio=ratio,
        chance=chance,
        instruction_ratio=_instruction_ratio(old, new),
        machine_ratio=machine,
        change=change,
        reason=reason,
        differences=(*_between_points(old, new), *around),
    )


def _drift(machine: Interval | None) -> float:
    """The machine's own change; 1 where the fixed workload's interval cannot tell it from none."""
    return 1.0 if machine is None or machine.low <= 1 <= machine.high else machine.estimate


def decide(
    ratio: Interval | None, machine: Interval | None, threshold: float, chances: Chances | None = None
) -> tuple[Change, str]:
    """Slower or faster only where the interval and, with the machine's drift taken out, the ratio say so.

    Args:
        ratio: New over old.
        machine: New over old of the fixed workload.
        threshold: The change that counts.
        chances: Holm's p-values over all points; None where the point is judged alone.

    Returns:
        The change, and why in words.
    """
    if ratio is None:
        return Change.TOO_NOISY, "fewer than two processes on a side: --processes 5"
    drift = _drift(machine)
    slower = _judge_up(ratio, drift, threshold)
    faster = _judge_up(_inverse(ratio), 1 / drift, threshold)
    known = chances or Chances(slower=0.0, faster=0.0)
    for told, change, chance in (
        (slower, Change.SLOWER, known.slower),
        (faster, Change.FASTER, known.faster),
    ):
        if told is not Change.SLOWER:
            continue
        if chance <= FALSE_ALARMS:
            return change, f"{ratio.estimate - 1:+.1%}"
        return Change.TOO_NOISY, (
            f"{ratio.estimate - 1:+.1%}, which one of so many points shows by chance "
            f"(p = {chance:.2f}): more --processes"
        )
    if Change.TOO_NOISY not in (slower, faster):
        return Change.SAME, f"{ratio.estimate - 1:+.1%}, within {threshold:.1%}"
    if abs(drift - 1) > threshold / 2:
        return Change.TOO_NOISY, f"the machine itself changed by {drift - 1:+.1%}"
    return Change.TOO_NOISY, f"the interval is ±{ratio.relative_half_width:.1%}: more --processes"


def reconcile(quartiles: tuple[Change, str], medians: tuple[Change, str]) -> tuple[Change, str]:
    """Verdict of the lower quartiles, unless only the medians, which people read, show a change.

    A point that is slower in most inferences and not in the fastest quarter is not noisy, but may be slowed
    down by other work that came and went.
    """
    told = {Change.SLOWER, Change.FASTER}
    if medians[0] not in told or quartiles[0] in (medians[0], Change.TOO_NOISY):
        return quartiles
    return Change.TOO_NOISY, f"the lower quartile changed by {quartiles[1]}; the median by {medians[1]}"


def _inverse(ratio: Interval) -> Interval:
    return Interval(estimate=1 / ratio.estimate, low=1 / ratio.high, high=1 / ratio.low)


def _judge_up(ratio: Interval, drift: float, threshold: float) -> Change:
    """SLOWER, SAME or TOO_NOISY, looking upwards only."""
    # The model's own share: whichever of the raw and the corrected ratio says less.
    low = min(ratio.low, ratio.low / drift)
    estimate = min(ratio.estimate, ratio.estimate / drift)
    if low > 1 and estimate > 1 + threshold:
        return Change.SLOWER
    high = max(ratio.high, ratio.high / drift)
    return Change.SAME if high <= 1 + threshold else Change.TOO_NOISY


def _machine_ratio(old: Point, new: Point) -> Interval | None:
    sides = [
        [run.reference_ns for run in point.processes if run.reference_ns is not None] for point in (old, new)
    ]
    return ratio_interval(*sides)


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
    for name, point in (("old", old), ("new", new)):
        if point.verdict not in (None, Verdict.VALID, Verdict.EMULATED):
            yield f"{name} is {point.verdict.value}: {point.reasons[0] if point.reasons else '-'}"
    for name, before, after in zip(KEY_NAMES, _key(old), _key(new), strict=True):
        if before != after:
            yield f"{name} {before} -> {after}"
    settings = _settings(old), _settings(new)
    for name in sorted({*settings[0], *settings[1]}):
        pair = [one.get(name) or "-" for one in settings]
        if pair[0] != pair[1]:
            yield f"{name} {pair[0]} -> {pair[1]}"
    for name in ("engine_version", "effective_threads", "cores"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield f"{name.replace('_', ' ')} {_shown(before)} -> {_shown(after)}"
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
        ("serial", old.target.serial, new.target.serial),
        ("SoC", old.target.soc, new.target.soc),
        ("cores", len(old.target.cores), len(new.target.cores)),
        ("emulated", old.target.emulated, new.target.emulated),
        ("system", old.target.os, new.target.os),
        ("kernel", old.target.kernel, new.target.kernel),
        ("microcode", old.target.microcode, new.target.microcode),
        *_libraries(old.target, new.target),
    ):
        if before != after:
            yield f"{name} {_shown(before)} -> {_shown(after)}"
    features = set(old.target.features), set(new.target.features)
    if features[0] != features[1]:
        changes = [f"-{name}" for name in sorted(features[0] - features[1])]
        changes += [f"+{name}" for name in sorted(features[1] - features[0])]
        yield f"CPU features {' '.join(changes)}"


def _shown(value: object) -> str:
    return "-" if value is None else str(value)


def _libraries(old: DeviceInfo, new: DeviceInfo) -> Iterator[tuple[str, str | None, str | None]]:
    for name in sorted({*old.libraries, *new.libraries}):
        yield name, old.libraries.get(name), new.libraries.get(name)
