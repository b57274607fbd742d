"""Measure one cell of a sweep in a fresh runner process, from loading the model to its end."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from edgekit.core.artifact import Artifact
from edgekit.core.bench_options import PowerMode
from edgekit.core.feeds import seeded_feed
from edgekit.core.measurement import (
    CoreState,
    Environment,
    GpuState,
    InstructionCount,
    ProcessRun,
    Startup,
    now,
)
from edgekit.core.parity import Parity
from edgekit.core.spec import Precision
from edgekit.core.stats import median
from edgekit.core.units import NS_PER_S
from edgekit.errors import EdgekitError, UnsupportedError
from edgekit.parity.reference import Reference, input_count
from edgekit.parity.tensors import FEEDS
from edgekit.runners.protocol import ErrorCode, Loaded, Ran, Run
from edgekit.runners.refusal import RefusedError
from edgekit.runners.session import RunnerSession
from edgekit.targets.gpu import watch_gpu
from edgekit.targets.inputs import seeded_inputs
from edgekit.targets.target import Subject, Target, infer_batches, infer_feeds, load_request, split_batches

# Inferences of a process before its memory is read: some engines settle with the second one.
STARTUP_RUNS = 10

# Warm-up goes on until the medians of two windows of inferences in a row agree.
WINDOW_RUNS = 10
WINDOW_NS = 100_000_000
AGREEMENT = 0.02
MAX_WINDOWS = 12

logger = logging.getLogger("edgekit")

# Codes of a runner's refusal at `load` for combinations that cannot be had; nothing broke.
_COMBINATIONS = (ErrorCode.SHAPE, ErrorCode.THREADS, ErrorCode.CORES, ErrorCode.UNSUPPORTED)


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """How long one process is measured.

    Attributes:
        warmup: Fewest warm-up inferences; 0 measures cold.
        warmup_s: Fewest seconds of warm-up.
        until_steady: Go on warming up until windows agree.
        repeats: Fewest timed inferences.
        min_s: Fewest seconds of timed inference.
        max_s: No inference is started after this many seconds of timed inference.
    """

    warmup: int
    warmup_s: float
    until_steady: bool
    repeats: int
    min_s: float
    max_s: float


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One engine on one artifact in one configuration, measured as one point."""

    subject: Subject
    engine: str
    precision: Precision
    threads: int
    batch_size: int
    cores: tuple[int, ...] | None
    power_mode: PowerMode | None
    options: dict[str, str]

    @property
    def label(self) -> str:
        """Name of the cell in errors and progress."""
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        configuration = f"{self.precision.value}, {threads}, batch {self.batch_size}"
        return f"{self.engine} on {self.subject.manifest.name} ({configuration})"


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """Measurements of one process of a cell."""

    run: ProcessRun
    loaded: Loaded
    effective_threads: int | None
    parity: Parity | None
    instruction_count: InstructionCount | None = None


def check_batch(artifact: Artifact, batch_size: int) -> None:
    """Refuse a batch size that an artifact was not made for. Raises UnsupportedError."""
    fixed = artifact.fixed_batch
    if fixed is not None and fixed != batch_size:
        raise UnsupportedError(f"{artifact.main_file} takes batches of {fixed}, not {batch_size}")


def take_turn(
    target: Target, cell: Cell, artifact: Artifact, timing: Timing, reference: Reference | None
) -> Turn:
    """Measure a cell in a fresh process.

    Raises:
        UnsupportedError: The combination cannot be had here.
        RunnerError, DeviceError, DeviceLostError: It failed.
    """
    started_at = now()
    counted = target.counts_instructions
    with _started(target, cell, artifact, counted=counted) as started:
        gpu = started.loaded.gpu
        uuid = None if gpu is None else gpu.uuid
        run, ran = _measure(started.session, timing, mark=counted, gpu=uuid)
        parity = None if reference is None else _check(started.session, cell, reference)
        # Hosts run it themselves, beside the process.
        beside = counted or target.info.emulated or target.info.transport == "local"
        reference_ns = None if beside else started.session.reference_ns()
    return Turn(
        run=msgspec.structs.replace(
            run,
            load_ns=started.loaded.load_ns,
            cold_start_ns=None if counted else started.cold_start_ns(run.first_run_ns),
            started_at=started_at,
            reference_ns=reference_ns,
        ),
        loaded=started.loaded,
        effective_threads=effective_threads(started.loaded, ran),
        parity=parity,
        instruction_count=target.instruction_count() if counted else None,
    )


def measure_startup(target: Target, cell: Cell, artifact: Artifact) -> Startup:
    """Measure cold start and peak memory of a cell in a fresh process of their own.

    Raises:
        UnsupportedError: The combination cannot be had here.
        RunnerError, DeviceError, DeviceLostError: It failed.
    """
    with _started(target, cell, artifact, counted=False) as started:
        ran = started.session.run(Run(warmup=0, warmup_ns=0, repeats=STARTUP_RUNS - 1, min_ns=0))
    cold_start_ns = started.cold_start_ns(ran.first_run_ns)
    assert cold_start_ns is not None, "the first `run` of a session times its first inference"
    return Startup(
        cold_start_ns=cold_start_ns,
        peak_memory_bytes=ran.peak_memory_bytes,
        inferences=ran.warmup_runs + len(ran.samples_ns),
        left_out=target.start_left_out(cell.engine),
    )


@dataclass(frozen=True, kw_only=True)
class _Started:
    """A runner process with its model loaded.

    Attributes:
        ready_ns: Nanoseconds from starting the process, or from the end of the start that is left out, until
            the model was loaded.
    """

    session: RunnerSession
    loaded: Loaded
    ready_ns: int

    def cold_start_ns(self, first_run_ns: int | None) -> int | None:
        return None if first_run_ns is None else self.ready_ns + first_run_ns


@contextlib.contextmanager
def _started(target: Target, cell: Cell, artifact: Artifact, *, counted: bool) -> Iterator[_Started]:
    request = load_request(
        target,
        cell.subject,
        artifact,
        batch_size=cell.batch_size,
        threads=cell.threads,
        cores=cell.cores,
        power_mode=cell.power_mode,
        options=cell.options,
    )
    fresh = target.session(cell.engine, cell.label, counted=counted, remake=cell.subject.remake)
    start_ns = time.perf_counter_ns()
    with fresh as session:
        if target.start_left_out(cell.engine) is not None:
            session.environment()  # any answer: the runner's own start is over then
            start_ns = time.perf_counter_ns()
        try:
            loaded = session.load(request)
        except RefusedError as error:
            if error.code in _COMBINATIONS:
                raise UnsupportedError(error.message, hint=error.hint) from error
            raise
        yield _Started(session=session, loaded=loaded, ready_ns=time.perf_counter_ns() - start_ns)


def _measure(
    session: RunnerSession, timing: Timing, *, mark: bool, gpu: str | None
) -> tuple[ProcessRun, Ran]:
    timed = Run(
        warmup=timing.warmup,
        warmup_ns=_seconds_ns(timing.warmup_s) if timing.warmup else 0,
        repeats=timing.repeats,
        min_ns=_seconds_ns(timing.min_s),
        max_ns=_seconds_ns(timing.max_s),
        mark=mark,
    )
    steady: bool | None = None
    warm_runs, first_run_ns = 0, None
    if timing.until_steady and timing.warmup:
        warm = _warm_up(session, runs=timed.warmup, min_ns=timed.warmup_ns, max_ns=timed.max_ns)
        steady, warm_runs, first_run_ns = warm.steady, warm.runs, warm.first_run_ns
        timed = msgspec.structs.replace(timed, warmup=0, warmup_ns=0)
    before = _reading(session)
    watch: contextlib.AbstractContextManager[list[GpuState]] = (
        contextlib.nullcontext([]) if gpu is None else watch_gpu(gpu)
    )
    with watch as gpu_states:
        ran = session.run(timed)
    after = _reading(session)
    run = ProcessRun(
        samples_ns=ran.samples_ns,
        warmup_runs=warm_runs + ran.warmup_runs,
        first_run_ns=ran.first_run_ns if first_run_ns is None else first_run_ns,
        # Under emulation memory is the emulator's, and cores are those of the machine that emulates.
        peak_memory_bytes=None if mark else ran.peak_memory_bytes,
        cores_seen=() if mark else ran.cores_seen,
        cpu_ns=ran.cpu_ns,
        steady=steady,
        readings=(before, after),
        gpu_states=tuple(gpu_states),
        copy_in_ns=ran.copy_in_ns,
        copy_out_ns=ran.copy_out_ns,
    )
    return run, ran


class _WarmedUp(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a warm-up.

    Attributes:
        runs: Number of warm-up inferences.
        first_run_ns: Nanoseconds of the first inference.
        steady: The last two windows agreed within AGREEMENT.
    """

    runs: int
    first_run_ns: int | None
    steady: bool


def _warm_up(session: RunnerSession, *, runs: int, min_ns: int, max_ns: int) -> _WarmedUp:
    """Infer at least `runs` times and `min_ns`, then until two windows in a row have equal medians.

    Stops without being steady after MAX_WINDOWS windows or `max_ns`.
    """
    window = Run(warmup=runs, warmup_ns=min_ns, repeats=WINDOW_RUNS, min_ns=WINDOW_NS, max_ns=max_ns)
    first = session.run(window)
    done = first.warmup_runs + len(first.samples_ns)
    spent = sum(first.samples_ns)
    before = median(first.samples_ns)
    steady = False
    window = msgspec.structs.replace(window, warmup=0, warmup_ns=0)
    for _ in range(MAX_WINDOWS - 1):
        if spent >= max_ns:
            break
        ran = session.run(window)
        done += ran.warmup_runs + len(ran.samples_ns)
        spent += sum(ran.samples_ns)
        now = median(ran.samples_ns)
        steady = abs(now - before) <= AGREEMENT * before
        before = now
        if steady:
            break
    return _WarmedUp(runs=done, first_run_ns=first.first_run_ns, steady=steady)


def _seconds_ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def _reading(session: RunnerSession) -> Environment:
    """Read the circumstances through the runner and return them as the result file's record."""
    read = session.environment()
    return Environment(
        cores=tuple(CoreState(**msgspec.structs.asdict(core)) for core in read.cores),
        temperatures_celsius=read.temperatures_celsius,
        load_1min=read.load_1min,
        battery_percent=read.battery_percent,
        battery_current_ua=read.battery_current_ua,
        battery_voltage_uv=read.battery_voltage_uv,
        charging=read.charging,
    )


def _check(session: RunnerSession, cell: Cell, reference: Reference) -> Parity | None:
    return check_parity(session, cell.subject, cell.precision, cell.batch_size, reference, label=cell.label)


def check_parity(
    session: RunnerSession,
    subject: Subject,
    precision: Precision,
    batch_size: int,
    reference: Reference,
    *,
    label: str,
) -> Parity | None:
    """Compare the outputs of a runner with the reference's; None where the reference cannot be computed."""
    count = input_count(precision, batch_size)
    manifest = subject.manifest
    if subject.is_plain:
        judge: Callable[[Any, Precision], Parity] = reference.parity
        inputs = seeded_inputs(count, subject.input_shape)
        outputs: Any = infer_batches(session, inputs, batch_size)
    else:
        # A feed of an input whose first size is fixed is a whole batch already.
        is_free = all(spec.shape and spec.shape[0] is None for spec in manifest.inputs)
        together = batch_size if is_free else 1
        whole = -(-FEEDS // together) * together
        feeds = [seeded_feed(manifest.inputs, number) for number in range(whole)]
        outputs = infer_feeds(session, feeds, together)

        def judge(batches: Any, precision: Precision) -> Parity:
            return reference.feeds_parity(split_batches(batches, together), precision)

    try:
        return judge(outputs, precision)
    except EdgekitError as error:
        logger.warning("parity of %s is not checked: %s", label, error.message)
        return None


def effective_threads(loaded: Loaded, ran: Ran) -> int | None:
    """Return the number of threads that the engine reports, or fewer where fewer were seen computing.

    A greater number that was seen is ignored: OpenVINO's calling thread waits beside its workers.
    """
    seen = [count for count in (loaded.effective_threads, ran.active_threads) if count is not None]
    return min(seen, default=None)
