"""Turn the options of `bench` into a sweep on a target and write its result file."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from edgekit import __version__
from edgekit.bench.cell import Cell, Timing
from edgekit.bench.journal import Journal
from edgekit.bench.results import default_path, load_result
from edgekit.bench.sweep import ShowProgress, Sweep, logger
from edgekit.core.bench_options import BenchOptions
from edgekit.core.device import DeviceInfo
from edgekit.core.measurement import Point, PointError, Result, Status, now
from edgekit.engines.registry import bench_engine, check_engine_options
from edgekit.errors import DeviceLostError, UnsupportedError, UsageError
from edgekit.parity.reference import Reference, References
from edgekit.targets.target import HostTarget, Subject, Target


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a bench on one target.

    Attributes:
        path: The result file; None where nothing ran, which leaves no file.
        interrupted: Ctrl-C ended it.
        error: The first failure, or that nothing ran, with the exit code; None where all is well.
    """

    result: Result
    path: Path | None
    interrupted: bool = False
    error: PointError | None = None


def bench(
    target: Target,
    subjects: Sequence[Subject],
    options: BenchOptions,
    *,
    show: ShowProgress,
    resume: Path | None = None,
    command: Sequence[str] = (),
    stop: threading.Event | None = None,
    references: Callable[[Subject], Reference | None] | None = None,
) -> Outcome:
    """Measure models on a target; every turn is kept as it ends.

    Ctrl-C is not raised: it ends the sweep, and the outcome says so.

    Args:
        target: Where.
        subjects: The models.
        options: The options of the bench.
        show: Told before and after every turn.
        resume: A result file that was measured with these options: its finished processes are kept, the
            rest is measured, and the file is written again.
        command: The command line, stored with the result for people.
        stop: Set by another thread, it ends the sweep as Ctrl-C does.
        references: Returns a model's reference, or None where its outputs are not to be compared; shared
            between targets that are measured at the same time.

    Raises:
        UsageError: Options that exclude each other or name nothing.
        ToolError, DeviceError: An engine cannot be started there at all; nothing was measured.
        OutputError: The result file cannot be written.
    """
    if not subjects:
        raise UsageError("nothing to measure: no model is exported", hint="edgekit export PPLCNet_x0_25")
    if _is_host(target.info) and not options.engines:
        options = msgspec.structs.replace(options, engines=(bench_engine(),))
    options = options.with_defaults(host=_is_host(target.info), emulated=target.info.emulated)
    if not options.engines:
        options = msgspec.structs.replace(options, engines=(target.default_engine,))
    check_engine_options(options.engine_options, options.engines)
    if options.target_ci is not None and target.info.emulated:
        raise UsageError(
            f"--target-ci on {target.info.serial}: instructions are counted there, without interval",
            hint="leave it out",
        )
    for engine in options.engines:
        target.prepare(engine)
    cells = plan(target, subjects, options)
    if options.start_below_celsius is not None:
        _require_temperature(target, options.engines[0])
    path, document = _document(target.info, options, resume, command)
    sweep = Sweep(
        target,
        cells,
        requested_cores=options.cores,
        timing=timing_for(target.info, options),
        processes=options.processes or 1,
        cooldown_s=options.cooldown_s,
        start_below_celsius=options.start_below_celsius,
        target_ci=options.target_ci,
        references=references or References(target if isinstance(target, HostTarget) else HostTarget()),
        earlier=document.points,
        stop=stop,
        show=show,
    )
    document = msgspec.structs.replace(document, points=tuple(sweep.points))
    journal = Journal(path, document)
    interrupted = False
    try:
        sweep.run(journal.add)
    except KeyboardInterrupt:
        interrupted = True
    except DeviceLostError as error:
        logger.warning("the sweep ended early: %s", error.message)
    ended_at = now()
    written = journal.close(ended_at)
    result = msgspec.structs.replace(document, points=tuple(sweep.points), ended_at=ended_at)
    return Outcome(
        result=result,
        path=path if written or resume is not None else None,
        interrupted=interrupted,
        error=first_error(result.points),
    )


def _require_temperature(target: Target, engine: str) -> None:
    if target.environment(engine).body_celsius is None:
        raise UsageError(
            f"--start-below on {target.info.serial}: it shows no temperature",
            hint="leave it out, and rest with --cooldown SECONDS",
        )


def _is_host(info: DeviceInfo) -> bool:
    return info.transport == "local"


def _document(
    info: DeviceInfo, options: BenchOptions, resume: Path | None, command: Sequence[str]
) -> tuple[Path, Result]:
    """Return the path of the result file and the document that the sweep starts from.

    The document has the points of an earlier run where that is resumed, else none.
    """
    if resume is not None:
        earlier = load_result(resume)
        why = earlier.target.differs_from(info)
        if why is not None:
            raise UsageError(
                f"resuming {resume}: {info.serial} is not the machine that it was measured on: {why}",
                hint=f"edgekit bench --resume {resume}  on that machine"
                if _is_host(info)
                else f"attach that device, then edgekit bench --resume {resume} --device SERIAL",
            )
        return resume, msgspec.structs.replace(earlier, ended_at=None, target=info)
    started = datetime.now(timezone.utc)
    path = default_path(started, info.serial) if options.output is None else Path(options.output)
    devices = () if _is_host(info) else (info.serial,)
    return path, Result(
        run_id=f"{started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}",
        started_at=started.isoformat(timespec="milliseconds"),
        ended_at=None,
        edgekit_version=__version__,
        command=tuple(command),
        options=msgspec.structs.replace(options, devices=devices),
        target=info,
        points=(),
    )


def plan(target: Target, subjects: Sequence[Subject], options: BenchOptions) -> list[Cell]:
    """Return every combination that was asked, model by model, in the order of the command line."""
    if options.power_modes and _is_host(target.info):
        raise UsageError("--power-mode: hosts have none", hint="bind threads with --cores 0,1")
    cores = resolve_cores(target.info, options.cores)
    return [
        Cell(
            subject=subject,
            engine=engine,
            precision=precision,
            threads=threads,
            batch_size=batch_size,
            cores=cores,
            power_mode=power_mode,
            options=target.options(engine, precision, options.engine_options),
        )
        for subject in subjects
        for engine in options.engines
        for power_mode in options.power_modes or (None,)
        for precision in options.precisions
        for threads in options.threads
        for batch_size in options.batch_sizes
    ]


def resolve_cores(info: DeviceInfo, asked: str | None) -> tuple[int, ...] | None:
    """Turn `--cores` into core numbers of a machine; None where it was not given. Raises UsageError."""
    if asked is None:
        return None
    named = {"big": info.big_cores, "little": info.little_cores, "all": info.cores}
    if asked in named:
        if not named[asked]:
            raise UsageError(f"--cores {asked}: {info.serial} does not tell its clusters", hint="--cores 0,1")
        return named[asked]
    try:
        numbers = tuple(sorted({int(part) for part in asked.split(",")}))
    except ValueError:
        numbers = ()
    if not numbers:
        raise UsageError(f"--cores {asked}: not a list of cores", hint="--cores 0,1 or big, little, all")
    unknown = sorted(set(numbers) - set(info.cores)) if info.cores else []
    if unknown:
        raise UsageError(
            f"--cores {asked}: {info.serial} has no core {unknown[0]}",
            hint=f"its cores are {','.join(map(str, info.cores))}",
        )
    return numbers


def timing_for(info: DeviceInfo, options: BenchOptions) -> Timing:
    """Decide how long each process is measured on a target. Raises UsageError."""
    options = options.with_defaults(host=_is_host(info), emulated=info.emulated)
    assert options.warmup is not None and options.repeats is not None, "every target has a default"
    assert options.min_s is not None and options.max_s is not None, "every target has a default"
    if options.max_s < options.min_s:
        raise UsageError(
            f"--max-secs {options.max_s:g} is less than --min-secs {options.min_s:g}",
            hint=f"--min-secs {options.max_s:g}",
        )
    # On the emulated device an inference takes a second: enough runs to see that it repeats.
    return Timing(
        warmup=options.warmup,
        warmup_s=0.0 if info.emulated else 0.5,
        until_steady=not info.emulated,
        repeats=options.repeats,
        min_s=options.min_s,
        max_s=options.max_s,
    )


def first_error(points: Sequence[Point]) -> PointError | None:
    """Return the first failure of points, or that all were skipped; None where all is well."""
    failed = [point.error for point in points if point.status is Status.FAILED]
    if failed:
        return failed[0]
    skipped = [point.error for point in points if point.status is Status.SKIPPED]
    if skipped and len(skipped) == len(points) and skipped[0] is not None:
        return msgspec.structs.replace(
            skipped[0],
            message=f"nothing ran: every combination was skipped; {skipped[0].message}",
            exit_code=UnsupportedError.exit_code,
        )
    return None
