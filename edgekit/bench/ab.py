"""`bench --ab`: compare two models in one run, and one of them with itself as a control.

Three processes, A, A again and B, are alive at once and take turns in short blocks on the same cores, so that
a disturbance of the machine hits all three. Each trio gives one ratio; several fresh trios give its interval.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from statistics import fmean

import msgspec

from edgekit.bench.cell import check_batch, check_parity, effective_threads
from edgekit.convert.manifest import verify_files
from edgekit.core.artifact import Artifact
from edgekit.core.device import DeviceInfo
from edgekit.core.measurement import ArtifactRef, Environment
from edgekit.core.parity import Parity
from edgekit.core.spec import Precision
from edgekit.core.stats import median, percentile
from edgekit.engines.registry import check_engine_options
from edgekit.errors import UsageError
from edgekit.judge.gate import DEFAULT_THRESHOLD, Change, reconcile
from edgekit.judge.intervals import COMPARED_PERCENTILE, Interval, paired_interval
from edgekit.judge.verdicts import disturbances, unverified
from edgekit.parity.reference import References
from edgekit.runners.protocol import Load, Loaded, Ran, Run
from edgekit.runners.session import RunnerSession
from edgekit.targets.target import Subject, Target, load_request

# Raised as the result file's.
AB_SCHEMA_VERSION = 1
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
    """Options of a comparison of two models with one engine in one configuration.

    Attributes:
        cores: Cores of every trio. None binds each trio to as many cores as it has threads, other cores in
            turn where the machine has more.
        trios: Number of trios; None runs as many as the control needs, within TRIOS.
    """

    engine: str
    precision: Precision = Precision.FP32
    threads: int = 1
    batch_size: int = 1
    cores: tuple[int, ...] | None = None
    options: dict[str, str] = {}
    trios: int | None = None
    threshold: float = DEFAULT_THRESHOLD


class AbSide(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one of the two models.

    Attributes:
        median_ms: Median of the trios' medians, ms.
        effective_threads: Fewest threads that took effect in a trio; None where that is not known.
        parity: Agreement of its outputs with the reference; None where it was not checked.
    """

    model: str
    artifact: ArtifactRef
    median_ms: float
    effective_threads: int | None
    parity: Parity | None


class AbReport(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a comparison: the document of `bench --ab --json`.

    Attributes:
        cores: What each trio was bound to.
        ratio: B over A, of lower quartiles.
        control: A over A, measured beside it: what noise alone does.
        median_ratio: B over A, of medians.
        ratios, controls: One a trio.
        doubts: What speaks against the figures, with the remedy.
    """

    schema_version: int = AB_SCHEMA_VERSION
    a: AbSide
    b: AbSide
    engine: str
    engine_version: str
    engine_options: dict[str, str]
    precision: Precision
    threads: int
    batch_size: int
    cores: tuple[tuple[int, ...] | None, ...]
    ratio: Interval
    control: Interval
    median_ratio: Interval
    ratios: tuple[float, ...]
    controls: tuple[float, ...]
    threshold: float
    change: Change
    reason: str
    environment_before: Environment
    environment_after: Environment
    doubts: tuple[str, ...]


def run_ab(
    target: Target,
    a: Subject,
    b: Subject,
    asked: AbOptions,
    *,
    references: References,
    show: Callable[[str], None],
) -> AbReport:
    """Measure B against A.

    Raises:
        UsageError: An emulated target, a single trio, or an option of another engine.
        EdgekitError: An artifact is missing, or a runner failed.
    """
    if target.info.emulated:
        raise UsageError(
            f"--ab on {target.info.serial}: time on an emulated device means nothing",
            hint="edgekit bench both there and edgekit compare their instruction counts",
        )
    if asked.trios == 1:
        raise UsageError("--ab --processes 1: one trio of processes has no interval", hint="leave it out")
    check_engine_options(asked.options, [asked.engine])
    target.prepare(asked.engine)
    loads = [_load_request(target, subject, asked) for subject in (a, a, b)]
    before = target.environment(asked.engine)
    trios = _trios(target, loads, asked, show)
    after = target.environment(asked.engine)
    sides = [
        _side(target, subject, loads[index], trios, index, asked, references)
        for subject, index in ((a, 0), (b, 2))
    ]
    ratios, controls = tuple(trio.ratio for trio in trios), tuple(trio.control for trio in trios)
    ratio, control = _interval(ratios), _interval(controls)
    medians = _interval([trio.median_ratio for trio in trios])
    change, reason = reconcile(
        decide_ab(ratio, control, asked.threshold), decide_ab(medians, control, asked.threshold)
    )
    return AbReport(
        a=sides[0],
        b=sides[1],
        engine=asked.engine,
        engine_version=trios[0].loaded.engine_version,
        engine_options=trios[0].loaded.options,
        precision=asked.precision,
        threads=asked.threads,
        batch_size=asked.batch_size,
        cores=tuple(trio.cores for trio in trios),
        ratio=ratio,
        control=control,
        median_ratio=medians,
        ratios=ratios,
        controls=controls,
        threshold=asked.threshold,
        change=change,
        reason=reason,
        environment_before=before,
        environment_after=after,
        doubts=(
            *(
                f"{name}: {doubt}"
                for name, side in zip("AB", sides, strict=True)
                for doubt in unverified(side.parity, asked=asked.threads, took=side.effective_threads)
            ),
            *disturbances(before, after),
        ),
    )


class Trio(msgspec.Struct, frozen=True, kw_only=True):
    """Measurements of three processes on the same cores.

    Attributes:
        medians_ns: Medians of A, A again and B, ns.
        ratio: B over both A, of lower quartiles.
        control: A again over A, of lower quartiles.
        threads: Threads that took effect in each of the three; None where that is not known.
    """

    cores: tuple[int, ...] | None
    loaded: Loaded
    medians_ns: tuple[float, ...]
    ratio: float
    control: float
    threads: tuple[int | None, ...]

    @property
    def median_ratio(self) -> float:
        return self.medians_ns[2] / fmean(self.medians_ns[:2])


def _trios(
    target: Target, loads: Sequence[Load], asked: AbOptions, show: Callable[[str], None]
) -> list[Trio]:
    """Measure trios until the control is known well enough, or as many as were asked."""
    places = place_trios(target.info, asked)
    fewest, most = (asked.trios, asked.trios) if asked.trios else TRIOS
    trios: list[Trio] = []
    while len(trios) < most and not (len(trios) >= fewest and _is_known(trios, asked.threshold)):
        cores = places[len(trios) % len(places)]
        bound = [msgspec.structs.replace(load, cores=cores) for load in loads]
        trios.append(_trio(target, bound, asked.engine, ORDERS[len(trios) % len(ORDERS)]))
        show(f"[{len(trios)} of {fewest} to {most}] B over A {trios[-1].ratio - 1:+.1%}")
    return trios


def _side(
    target: Target,
    subject: Subject,
    load: Load,
    trios: Sequence[Trio],
    index: int,
    asked: AbOptions,
    references: References,
) -> AbSide:
    """Collect the figures of one model, and check its outputs in a process of its own."""
    label = f"{asked.engine} on {subject.manifest.name}"
    reference = references(subject)
    parity = None
    if reference is not None:
        with target.session(asked.engine, label) as session:
            session.load(load)
            parity = check_parity(session, subject, asked.precision, asked.batch_size, reference, label=label)
    took = [count for trio in trios if (count := trio.threads[index]) is not None]
    return AbSide(
        model=subject.manifest.name,
        artifact=ArtifactRef.to(_artifact(target, subject, asked), subject.manifest),
        median_ms=median([trio.medians_ns[index] for trio in trios]) / 1e6,
        effective_threads=min(took, default=None),
        parity=parity,
    )


def _interval(ratios: Sequence[float]) -> Interval:
    interval = paired_interval(ratios)
    assert interval is not None, "there are at least two trios"
    return interval


def place_trios(info: DeviceInfo, asked: AbOptions) -> list[tuple[int, ...] | None]:
    """Return the cores that trios are bound to, in turn.

    Processes that are free to move settle on one core each, and cores differ by more than the models may.
    """
    cores = info.big_cores or info.cores
    if asked.cores is not None or len(cores) <= asked.threads:
        return [asked.cores]
    starts = range(0, len(cores) - asked.threads + 1, asked.threads)
    return [tuple(cores[start : start + asked.threads]) for start in starts]


def _is_known(trios: Sequence[Trio], threshold: float) -> bool:
    """Return whether the control is known to half the threshold. To stop by B's ratio would bias it."""
    control = paired_interval([trio.control for trio in trios])
    return control is not None and control.relative_half_width <= threshold / 2


def decide_ab(ratio: Interval, control: Interval, threshold: float) -> tuple[Change, str]:
    """Decide whether B is slower, faster or the same as A, with the reason.

    It is too noisy to say where the control is off by more than half the threshold, or not known to that.
    """
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


def _load_request(target: Target, subject: Subject, asked: AbOptions) -> Load:
    artifact = _artifact(target, subject, asked)
    check_batch(artifact, asked.batch_size)
    verify_files(subject.manifest, subject.directory, [artifact.kind])
    return load_request(
        target,
        subject,
        artifact,
        batch_size=asked.batch_size,
        threads=asked.threads,
        options=target.options(asked.engine, asked.precision, asked.options),
    )


def _artifact(target: Target, subject: Subject, asked: AbOptions) -> Artifact:
    return subject.artifact(target.artifact_kind(asked.engine, asked.precision, asked.options))


def _trio(target: Target, loads: Sequence[Load], engine: str, starts: Sequence[int]) -> Trio:
    """Measure A, A again and B in processes that are started in the given order and take turns."""
    with contextlib.ExitStack() as stack:
        sessions: dict[int, RunnerSession] = {}
        loaded: dict[int, Loaded] = {}
        for index in starts:
            sessions[index] = target.session(engine, f"{engine} on {loads[index].model}")
            loaded[index] = stack.enter_context(sessions[index]).load(loads[index])
            _block(sessions[index], warmup=WARMUP_RUNS)
        samples: list[list[int]] = [[], [], []]
        threads: list[list[int | None]] = [[], [], []]
        for number in range(BLOCKS):
            for index in ORDERS[number % len(ORDERS)]:
                # The first inferences after the others' turn find cold caches: they are thrown away.
                ran = _block(sessions[index], warmup=3)
                samples[index].extend(ran.samples_ns)
                threads[index].append(effective_threads(loaded[index], ran))
    first, again, other = (percentile(times, COMPARED_PERCENTILE) for times in samples)
    return Trio(
        cores=loads[0].cores,
        loaded=loaded[0],
        medians_ns=tuple(map(median, samples)),
        ratio=other / fmean((first, again)),
        control=again / first,
        # A block is too short for a look at every thread; the most that one saw.
        threads=tuple(max((count for count in each if count is not None), default=None) for each in threads),
    )


def _block(session: RunnerSession, *, warmup: int) -> Ran:
    return session.run(Run(warmup=warmup, warmup_ns=0, repeats=BLOCK_RUNS, min_ns=0, max_ns=BLOCK_LIMIT_NS))
