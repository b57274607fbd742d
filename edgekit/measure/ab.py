"""`bench --ab`: two models against each other in one run, with one of them against itself beside it.

Three processes, A, A again and B, are alive at once and take turns in short blocks, so that whatever the
machine does it does to all of them; one such trio gives one ratio, and several fresh trios its interval.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import msgspec

from edgekit.convert.manifest import verify_files
from edgekit.core.spec import Precision
from edgekit.core.stats import median
from edgekit.errors import UsageError
from edgekit.measure.cell import check_batch
from edgekit.measure.compare import DEFAULT_THRESHOLD, Change
from edgekit.measure.intervals import Interval, latency_interval
from edgekit.measure.target import Subject, Target
from edgekit.runners.protocol import Load, Run
from edgekit.runners.session import RunnerSession

TRIOS = 8
BLOCKS = 12
BLOCK_RUNS = 20
WARMUP_RUNS = 20
BLOCK_LIMIT_NS = 30_000_000_000
# Order of the three within a round: each comes first, second and third equally often.
ORDERS = ((0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1), (2, 0, 1), (1, 0, 2))


class AbOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How two models are set against each other; one engine, one configuration."""

    engine: str
    precision: Precision = Precision.FP32
    threads: int = 1
    batch_size: int = 1
    cores: tuple[int, ...] | None = None
    options: dict[str, str] = {}
    trios: int = TRIOS
    threshold: float = DEFAULT_THRESHOLD


class AbReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came out.

    Attributes:
        ratio: B over A.
        control: A over A, measured beside it: what noise alone does.
        ratios, controls: One a trio.
    """

    a: str
    b: str
    a_ms: float
    b_ms: float
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
        UsageError: An emulated target, whose time means nothing.
        EdgekitError: An artifact is missing, or a runner failed.
    """
    if target.info.emulated:
        raise UsageError(
            f"--ab on {target.info.serial}: time on an emulated device means nothing",
            hint="edgekit bench both there and edgekit compare their instruction counts",
        )
    target.prepare(asked.engine)
    loads = [_load(target, subject, asked) for subject in (a, a, b)]
    trios = []
    for number in range(asked.trios):
        trios.append(_trio(target, loads, asked.engine))
        show(f"[{number + 1}/{asked.trios}] B over A {trios[-1][2] / trios[-1][0] - 1:+.1%}")
    ratios = tuple(trio[2] / median(trio[:2]) for trio in trios)
    controls = tuple(trio[1] / trio[0] for trio in trios)
    ratio, control = latency_interval(ratios), latency_interval(controls)
    if ratio is None or control is None:
        raise UsageError("--ab needs at least two trios of processes", hint="--processes 8")
    change, reason = decide_ab(ratio, control, asked.threshold)
    return AbReport(
        a=a.manifest.name,
        b=b.manifest.name,
        a_ms=median([trio[0] for trio in trios]) / 1e6,
        b_ms=median([trio[2] for trio in trios]) / 1e6,
        ratio=ratio,
        control=control,
        ratios=ratios,
        controls=controls,
        threshold=asked.threshold,
        change=change,
        reason=reason,
    )


def decide_ab(ratio: Interval, control: Interval, threshold: float) -> tuple[Change, str]:
    """Nothing is said where A against itself is off, or not known, by more than half the threshold."""
    noise = max(control.high - 1, 1 - control.low)
    if noise > threshold / 2:
        allowed = f"{threshold / 2:.1%} is allowed"
        return Change.TOO_NOISY, f"A against itself is off by up to {noise:.1%}, {allowed}"
    words = f"{ratio.estimate - 1:+.1%}, A against itself {control.estimate - 1:+.1%}"
    if ratio.low > 1 and ratio.estimate > 1 + threshold / 2:
        return Change.SLOWER, words
    if ratio.high < 1 and ratio.estimate < 1 - threshold / 2:
        return Change.FASTER, words
    return Change.SAME, words


def _load(target: Target, subject: Subject, asked: AbOptions) -> Load:
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
        cores=asked.cores,
        input_shape=(asked.batch_size, *subject.input_shape),
        options=target.options(asked.engine, asked.precision, asked.options),
    )


def _trio(target: Target, loads: Sequence[Load], engine: str) -> tuple[float, float, float]:
    """Median latency of A, A and B, ns, of processes that took turns."""
    with contextlib.ExitStack() as stack:
        sessions = []
        for load in loads:
            session = stack.enter_context(target.session(engine, f"{engine} on {load.model}"))
            session.load(load)
            _block(session, warmup=WARMUP_RUNS)
            sessions.append(session)
        samples: list[list[int]] = [[], [], []]
        for number in range(BLOCKS):
            for index in ORDERS[number % len(ORDERS)]:
                # The first inferences after the others' turn find cold caches: they are thrown away.
                samples[index].extend(_block(sessions[index], warmup=3))
    first, again, other = (median(times) for times in samples)
    return first, again, other


def _block(session: RunnerSession, *, warmup: int) -> tuple[int, ...]:
    request = Run(warmup=warmup, warmup_ns=0, repeats=BLOCK_RUNS, min_ns=0, max_ns=BLOCK_LIMIT_NS)
    return session.run(request).samples_ns
