"""`bench --ab`: two models against each other in one run, with one of them against itself beside it.

Three processes, A, A again and B, are alive at once and take turns in short blocks on the same cores, so that
whatever the machine does it does to all of them; one such trio gives one ratio, and fresh trios its interval.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import msgspec

from edgekit.convert.manifest import verify_files
from edgekit.core.device import DeviceInfo
from edgekit.core.spec import Precision
from edgekit.core.stats import mean, median, percentile
from edgekit.errors import UsageError
from edgekit.measure.cell import check_batch
from edgekit.measure.compare import DEFAULT_THRESHOLD, Change
from edgekit.measure.intervals import COMPARED_PERCENTILE, Interval, paired_interval
from edgekit.measure.target import Subject, Target
from edgekit.runners.protocol import Load, Run
from edgekit.runners.session import RunnerSession

# Fresh trios until the control is known well enough: fewest and most.
TRIOS = (8, 24)
BLOCKS = 12
BLOCK_RUNS = 20
WARMUP_RUNS = 20
BLOCK_LIMIT_NS = 30_000_000_000
# Orders of the three, in which they are started and take turns: each comes first, second and third equally
# often. The one that was started first is slower by up to a per cent.
ORDERS = ((0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1), (2, 0, 1), (1, 0, 2))


class AbOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How two models are set against each other; one engine, one configuration.

    Attributes:
        cores: None binds each trio to as many cores as it has threads, in turn, where there are more of them.
        trios: Exactly so many; None for as many as the control needs, within TRIOS.
    """

    engine: str
    precision: Precision = Precision.FP32
    threads: int = 1
    batch_size: int = 1
    cores: tuple[int, ...] | None = None
    options: dict[str, str] = {}
    trios: int | None = None
    threshold: float = DEFAULT_THRESHOLD


class AbReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came out.

    Attributes:
        a_ms, b_ms: Medians.
        cores: What each trio was bound to.
        ratio: B over A.
        control: A over A, measured beside it: what noise alone does.
        ratios, controls: One a trio.
    """

    a: str
    b: str
    a_ms: float
    b_ms: float
    cores: tuple[tuple[int, ...] | None, ...]
    ratio: Interval
    control: Interval
    ratios: tuple[float, ...]
    controls: tuple[float, ...]
    threshold: float
    change: Change
    reason: str


def run_ab(
    target: Target, a: Subject, b: Subject, asked: AbOptions, *, show: Callable[[str], None]
) -> AbReport:
    """Measure B against A.

    Raises:
        UsageError: An emulated target, whose time means nothing, or a single trio.
        EdgekitError: An artifact is missing, or a runner failed.
    """
    if target.info.emulated:
        raise UsageError(
            f"--ab on {target.info.serial}: time on an emulated device means nothing",
            hint="edgekit bench both there and edgekit compare their instruction counts",
        )
    if asked.trios == 1:
        raise UsageError("--ab --processes 1: one trio of processes has no interval", hint="leave it out")
    target.prepare(asked.engine)
    loads = [load_request(target, subject, asked) for subject in (a, a, b)]
    places = place_trios(target.info, asked)
    fewest, most = (asked.trios, asked.trios) if asked.trios else TRIOS
    trios: list[Trio] = []
    while len(trios) < most and not (len(trios) >= fewest and _is_known(trios, asked.threshold)):
        cores = places[len(trios) % len(places)]
        bound = [msgspec.structs.replace(load, cores=cores) for load in loads]
        trios.append(_trio(target, bound, asked.engine, ORDERS[len(trios) % len(ORDERS)]))
        show(f"[{len(trios)} of {fewest} to {most}] B over A {trios[-1].ratio - 1:+.1%}")
    ratio = paired_interval([trio.ratio for trio in trios])
    control = paired_interval([trio.control for trio in trios])
    assert ratio is not None
    assert control is not None
    change, reason = decide_ab(ratio, control, asked.threshold)
    return AbReport(
        a=a.manifest.name,
        b=b.manifest.name,
        a_ms=median([trio.a_ns for trio in trios]) / 1e6,
        b_ms=median([trio.b_ns for trio in trios]) / 1e6,
        cores=tuple(places[index % len(places)] for index in range(len(trios))),
        ratio=ratio,
        control=control,
        ratios=tuple(trio.ratio for trio in trios),
        controls=tuple(trio.control for trio in trios),
        threshold=asked.threshold,
        change=change,
        reason=reason,
    )


class Trio(msgspec.Struct, frozen=True, kw_only=True):
    """What three processes gave: medians of A and B in ns, B over both A, and A over A."""

    a_ns: float
    b_ns: float
    ratio: float
    control: float


def place_trios(info: DeviceInfo, asked: AbOptions) -> list[tuple[int, ...] | None]:
    """The cores of each trio in turn.

    Processes that are free to move settle on a core each, and cores differ by more than what is looked for.
    """
    cores = info.big_cores or info.cores
    if asked.cores is not None or len(cores) <= asked.threads:
        return [asked.cores]
    starts = range(0, len(cores) - asked.threads + 1, asked.threads)
    return [tuple(cores[start : start + asked.threads]) for start in starts]


def _is_known(trios: Sequence[Trio], threshold: float) -> bool:
    """Whether A against itself is known to half the threshold. B is not looked at: that would be peeking."""
    control = paired_interval([trio.control for trio in trios])
    return control is not None and control.relative_half_width <= threshold / 2


def decide_ab(ratio: Interval, control: Interval, threshold: float) -> tuple[Change, str]:
    """Nothing is said where A against itself is off by more than half the threshold, or not known to that."""
    allowed = f"{threshold / 2:.1%} is allowed"
    if abs(control.estimate - 1) > threshold / 2:
        return Change.TOO_NOISY, f"A against itself is off by {control.estimate - 1:+.1%}, {allowed}"
    if control.relative_half_width > threshold / 2:
        return Change.TOO_NOISY, (
            f"A against itself is known to ±{control.relative_half_width:.1%}, {allowed}: more --processes"
        )
    words = f"{ratio.estimate - 1:+.1%}, A against itself {control.estimate - 1:+.1%}"
    if ratio.low > 1 and ratio.estimate > 1 + threshold / 2:
        return Change.SLOWER, words
    if ratio.high < 1 and ratio.estimate < 1 - threshold / 2:
        return Change.FASTER, words
    if ratio.is_within(threshold):
        return Change.SAME, words
    return Change.TOO_NOISY, f"B against A is known to ±{ratio.relative_half_width:.1%}: more --processes"


def load_request(target: Target, subject: Subject, asked: AbOptions) -> Load:
    kind = target.artifact_kind(asked.engine, asked.precision)
    artifact = subject.artifact(kind)
    check_batch(artifact, asked.batch_size)
    verify_files(subject.manifest, subject.directory, [kind])
    placed = target.place(subject, artifact)
    return Load(
        model=placed.model,
        params=placed.params,
        sha256=artifact.files[0].sha256,
        threads=asked.threads,
        input_shape=(asked.batch_size, *subject.input_shape),
        options=target.options(asked.engine, asked.precision, asked.options),
    )


def _trio(target: Target, loads: Sequence[Load], engine: str, starts: Sequence[int]) -> Trio:
    """A, A and B in processes that are started in the order given and take turns."""
    with contextlib.ExitStack() as stack:
        sessions: dict[int, RunnerSession] = {}
        for index in starts:
            sessions[index] = target.session(engine, f"{engine} on {loads[index].model}")
            stack.enter_context(sessions[index]).load(loads[index])
            _block(sessions[index], warmup=WARMUP_RUNS)
        samples: list[list[int]] = [[], [], []]
        for number in range(BLOCKS):
            for index in ORDERS[number % len(ORDERS)]:
                # The first inferences after the others' turn find cold caches: they are thrown away.
                samples[index].extend(_block(sessions[index], warmup=3))
    first, again, other = (percentile(times, COMPARED_PERCENTILE) for times in samples)
    return Trio(
        a_ns=median([*samples[0], *samples[1]]),
        b_ns=median(samples[2]),
        ratio=other / mean((first, again)),
        control=again / first,
    )


def _block(session: RunnerSession, *, warmup: int) -> tuple[int, ...]:
    request = Run(warmup=warmup, warmup_ns=0, repeats=BLOCK_RUNS, min_ns=0, max_ns=BLOCK_LIMIT_NS)
    return session.run(request).samples_ns
