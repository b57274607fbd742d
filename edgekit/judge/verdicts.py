"""Whether a figure may be believed: rules over one point's raw samples and circumstances.

The limits and where they come from are in docs/validity.md; scripts/experiment_verdicts.py shows that
they catch their faults.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

import msgspec

from edgekit.core.measurement import CoreState, Environment, GpuState, Point, ProcessRun, Status, Verdict
from edgekit.core.parity import Parity
from edgekit.core.processes import TICKS_PER_S
from edgekit.core.stats import SAMPLES_FOR_PERCENTILE, median, percentile, relative_spread
from edgekit.judge.intervals import latency_interval, process_medians

# A core that computes loses this share of its frequency by throttling, not by a governor's rounding.
FREQUENCY_DROP = 0.05
TEMPERATURE_RISE_CELSIUS = 15.0
DRIFT = 0.05
# pyperf's limit for a standard deviation over the mean.
SPREAD_WITHIN = 0.10
# Standard deviation of the medians of processes that ran one after the other: of five on two virtual cores
# with nobody else at work 2.4 and 3.8 %, in the middle of two series.
SPREAD_BETWEEN = 0.05
MODE_DISTANCE = 0.03
MODE_SHARE = 0.10
# Share of the variance that two groups explain: 0.64 for one normal mode, 0.75 for a uniform one.
MODE_EXPLAINED = 0.85
MODE_SAMPLES = 30
STOLEN = 0.02
# NVML's reasons for a lower clock that pass when it cools or gets power; a set limit stays as it is.
GPU_THROTTLING = ("hw_slowdown", "sw_thermal_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown")
INSTRUCTION_SPREAD = 0.01


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """Verdict on a point, and every reason with its remedy, the decisive ones first."""

    verdict: Verdict
    reasons: tuple[str, ...]


def judge(point: Point, *, emulated: bool) -> Judgement | None:
    """The verdict on a point; None where nothing was measured."""
    if not point.processes or point.status is Status.SKIPPED:
        return None
    found: list[tuple[Verdict, str]] = [
        *((Verdict.UNVERIFIED, reason) for reason in _unverified(point)),
        *((Verdict.THROTTLED, reason) for reason in _throttled(point, emulated=emulated)),
        *((Verdict.UNSTABLE, reason) for reason in _unstable(point, emulated=emulated)),
    ]
    if emulated:
        found.append((Verdict.EMULATED, "emulated: instruction counts, not a phone's time"))
    verdict = found[0][0] if found else Verdict.VALID
    return Judgement(verdict=verdict, reasons=tuple(reason for _, reason in found))


def with_verdict(point: Point, *, emulated: bool) -> Point:
    """The point with its verdict and reasons filled in."""
    judged = judge(point, emulated=emulated)
    if judged is None:
        return point
    return msgspec.structs.replace(point, verdict=judged.verdict, reasons=judged.reasons)


def unverified(
    parity: Parity | None, *, asked: int, took: int | None, power_mode: str | None = None
) -> Iterator[str]:
    """Reasons why another thing ran than was asked, in words with the remedy.

    Args:
        parity: Parity of its outputs; None where they were not checked.
        asked: Threads asked for.
        took: Threads that took effect; None where that is not known.
        power_mode: Mode that chose the cores; None where no mode did.
    """
    if parity is None:
        yield "parity was not checked: edgekit toolchain list shows what the reference needs"
    elif not parity.passed:
        yield f"parity with {parity.reference} failed ({parity.reason}): edgekit verify"
    if took is None and asked > 1:
        yield f"{asked} threads asked; how many took effect is not known"
    elif took is not None and took != asked:
        other = "free more --cores" if power_mode is None else f"leave --power-mode {power_mode} out"
        yield f"{asked} threads asked, {took} took effect: ask for {took}, or {other}"


def _unverified(point: Point) -> Iterator[str]:
    if point.mismatch is not None:
        yield f"{point.mismatch}, which --allow-mismatch allowed: edgekit toolchain list"
    yield from unverified(
        point.parity,
        asked=point.requested_threads,
        took=point.effective_threads,
        power_mode=None if point.power_mode is None else point.power_mode.value,
    )


def _throttled(point: Point, *, emulated: bool) -> Iterator[str]:
    around = [one for one in (point.environment_before, point.environment_after) if one is not None]
    at_work = [reading for run in point.processes for reading in run.readings]
    # An emulator's threads run on the host's cores, whose numbers say nothing about the device's.
    cores = [set() if emulated else _cores_of(run, point) for run in point.processes]
    speeds = ((one, own) for run, own in zip(point.processes, cores, strict=True) for one in run.readings)
    drops = _falls(speeds, lambda core: core.frequency_khz, "fell")
    used = set().union(*cores)
    limits = ((one, used) for one in (*around[:1], *at_work, *around[1:]))
    drops += _falls(limits, lambda core: core.max_frequency_khz, "was limited")
    drops += _throttle_counts(around)
    # A core that computes is hotter than one that rests: like is compared with like.
    drops += [*_temperature_rises(at_work), *_temperature_rises(around)]
    drops += [drop for run in point.processes for drop in _gpu_drops(run.gpu_states)]
    if drops:
        yield f"{drops[0]}: let it cool (--cooldown 30), bind fewer threads, take it off its charger"


def _cores_of(run: ProcessRun, point: Point) -> set[int]:
    """The cores that a process computed on; empty where they are not known."""
    return set(run.cores_seen) or set(point.cores)


def _falls(
    readings: Iterable[tuple[Environment, set[int]]], read: Callable[[CoreState], int | None], verb: str
) -> list[str]:
    """Name the cores whose frequency, or its limit, fell below its highest earlier reading.

    Args:
        readings: Each with the cores that are looked at; an empty set stands for all.
        read: Takes the frequency or the limit, kHz, from the state of a core.
        verb: "fell" or "was limited", for the words.
    """
    most: dict[int, int] = {}
    falls = []
    for reading, used in readings:
        for core in reading.cores:
            now = read(core)
            if not now or (used and core.core not in used):
                continue
            most[core.core] = max(now, most.get(core.core, now))
            if now < most[core.core] * (1 - FREQUENCY_DROP):
                falls.append(f"core {core.core} {verb} from {most[core.core] // 1000} to {now // 1000} MHz")
    return falls


def _throttle_counts(readings: Sequence[Environment]) -> list[str]:
    """Cores that the kernel counted as throttled between the first reading and the last."""
    counted = {core.core: core.throttle_count for core in readings[0].cores} if readings else {}
    return [
        f"core {core.core} throttled {core.throttle_count - earlier} times"
        for core in (readings[-1].cores if readings else ())
        if core.throttle_count is not None
        and (earlier := counted.get(core.core)) is not None
        and core.throttle_count > earlier
    ]


def _gpu_drops(states: Sequence[GpuState]) -> list[str]:
    """Reasons that a GPU gave for a lower clock while it computed, and a fall of its clock."""
    found = {reason for state in states for reason in state.throttle_reasons or ()}
    drops = [f"the GPU was slowed down ({reason})" for reason in GPU_THROTTLING if reason in found]
    clocks = [
        state.sm_clock_mhz
        for state in states
        if state.sm_clock_mhz is not None and "gpu_idle" not in (state.throttle_reasons or ())
    ]
    if clocks and clocks[-1] < clocks[0] * (1 - FREQUENCY_DROP):
        drops.append(f"the GPU's clock fell from {clocks[0]} to {clocks[-1]} MHz")
    return drops


def _temperature_rises(readings: Sequence[Environment]) -> list[str]:
    """The first zone that became hotter by the limit than at its first reading."""
    first: dict[str, float] = {}
    for reading in readings:
        for zone, now in reading.temperatures_celsius.items():
            if now - first.setdefault(zone, now) > TEMPERATURE_RISE_CELSIUS:
                return [f"{zone} rose from {first[zone]:.0f} to {now:.0f} °C"]
    return []


def _unstable(point: Point, *, emulated: bool) -> Iterator[str]:
    if point.status is not Status.DONE:
        yield f"{point.status.value} after {len(point.processes)} process(es): edgekit bench --resume FILE"
    if emulated:
        count = point.instruction_count
        if count is not None and count.spread > INSTRUCTION_SPREAD:
            yield f"instruction counts of the inferences differ by {count.spread:.1%}: --warmup 3"
        return
    yield from _too_few(point)
    if any(run.steady is False for run in point.processes):
        yield "never became steady while warming up: end other work, or a longer --warmup"
    elif any(run.steady is None for run in point.processes):
        yield "whether it was warm was not looked at: leave --warmup 0 out"
    yield from _width(point)
    yield from _circumstances(point)
    # At every turn of a large sweep, looking at all samples again would take longer than the inferences.
    if point.status is not Status.INTERRUPTED:
        yield from _shapes(point.processes)
    yield from _between(point)


def _too_few(point: Point) -> Iterator[str]:
    """Whether there are as many inferences as were asked for, and as a p90 needs."""
    total, needed = len(point.samples_ns), SAMPLES_FOR_PERCENTILE[90]
    fewest = min(len(run.samples_ns) for run in point.processes)
    if point.requested_repeats is not None and fewest < point.requested_repeats:
        yield f"{fewest} of the {point.requested_repeats} inferences asked: a longer --max-secs"
    elif total < needed:
        yield f"{total} samples, p90 needs {needed}: --repeats {needed}"


def _width(point: Point) -> Iterator[str]:
    """Whether the interval that was asked for has been reached."""
    if point.requested_ci is None:
        return
    interval = latency_interval(process_medians(point))
    if interval is None or interval.relative_half_width > point.requested_ci:
        width = "none" if interval is None else f"±{interval.relative_half_width:.1%}"
        count = len(point.processes)
        yield (
            f"the interval is {width} after {count} processes, ±{point.requested_ci:.1%} asked: "
            "a longer --max-secs, or end other work"
        )


def _circumstances(point: Point) -> Iterator[str]:
    before, after = point.environment_before, point.environment_after
    if before is not None and after is not None:
        yield from disturbances(before, after)


def disturbances(before: Environment, after: Environment) -> Iterator[str]:
    """Other work on the machine between two readings, in words with the remedy."""
    busy = sorted({*(before.busy_processes or ()), *(after.busy_processes or ())})
    if busy:
        yield f"other processes were busy ({', '.join(busy[:3])}): end them and measure again"
    stolen = _stolen_share(before, after)
    if stolen is not None and stolen > STOLEN:
        yield f"the hypervisor took {stolen:.0%} of this machine's time: measure on dedicated cores"


def _stolen_share(before: Environment, after: Environment) -> float | None:
    """Steal ticks over the ticks that all cores had between the two readings."""
    if before.steal_ticks is None or after.steal_ticks is None or not after.cores:
        return None
    if before.read_at is None or after.read_at is None:
        return None
    span = datetime.fromisoformat(after.read_at) - datetime.fromisoformat(before.read_at)
    available = TICKS_PER_S * span.total_seconds() * len(after.cores)
    return (after.steal_ticks - before.steal_ticks) / available if available > 0 else None


def _shapes(processes: Sequence[ProcessRun]) -> Iterator[str]:
    measured = [run.samples_ns for run in processes if run.samples_ns]
    if not measured:
        return
    drift = median([_drift(samples) for samples in measured])
    if abs(drift) > DRIFT:
        yield f"drifts by {drift:+.1%} within a process: a longer --warmup, or --cooldown"
    spread = median([relative_spread(samples) for samples in measured])
    if spread > SPREAD_WITHIN:
        yield f"samples spread by ±{spread:.0%} within a process: end other work, or bind --cores"
    modes = [found for samples in measured if (found := _modes(samples)) is not None]
    if len(modes) * 2 > len(measured):
        low, high = modes[0]
        yield f"two modes, {low / 1e6:.2f} and {high / 1e6:.2f} ms: bind --cores of one cluster"


def _between(point: Point) -> Iterator[str]:
    """Whether processes agree; not looked at where `--target-ci` asked for an interval over them."""
    medians = process_medians(point)
    if point.requested_ci is not None:
        return
    if len(medians) < 2:
        yield "of one process alone, how much they differ is not known: --processes 5"
        return
    spread = statistics.stdev(medians) / median(medians)
    if spread > SPREAD_BETWEEN:
        yield f"processes differ by ±{spread:.1%}: more --processes, or --target-ci 1%"


def _drift(samples: Sequence[int]) -> float:
    """Median of the last third of the samples over the median of the first third, less one."""
    third = len(samples) // 3
    return median(samples[-third:]) / median(samples[:third]) - 1 if third else 0.0


def _modes(samples: Sequence[int]) -> tuple[float, float] | None:
    """The means of two groups that samples fall into, by Otsu's threshold; None where there is one.

    Otsu 1979: the split that explains most of the variance. The outer 2 % are left out.
    """
    if len(samples) < MODE_SAMPLES:
        return None
    low, high = percentile(samples, 2), percentile(samples, 98)
    kept = sorted(sample for sample in samples if low <= sample <= high)
    count, total = len(kept), float(sum(kept))
    mean = total / count
    variance = sum((sample - mean) ** 2 for sample in kept)
    best, split, running = 0.0, 0, 0.0
    for index in range(1, count):
        running += kept[index - 1]
        between = (running - index * mean) ** 2 * count / (index * (count - index))
        if between > best:
            best, split = between, index
    if not variance or best < MODE_EXPLAINED * variance or not _is_share(split / count):
        return None
    first, second = sum(kept[:split]) / split, sum(kept[split:]) / (count - split)
    return (first, second) if second - first > MODE_DISTANCE * median(kept) else None


def _is_share(share: float) -> bool:
    return MODE_SHARE <= share <= 1 - MODE_SHARE
