"""Run a sweep on several devices at the same time, each in a thread and with its own result file."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit.bench.bench import Outcome, bench
from edgekit.bench.sweep import Progress, ShowProgress
from edgekit.core.bench_options import BenchOptions
from edgekit.core.measurement import PointError
from edgekit.errors import EdgekitError, UsageError
from edgekit.parity.reference import References
from edgekit.targets.target import HostTarget, Subject, Target

logger = logging.getLogger("edgekit")

POLL_S = 0.2


class TargetOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a bench on one target; `outcome` is None where the bench could not begin."""

    serial: str
    outcome: Outcome | None = None
    error: PointError | None = None

    @classmethod
    def failed(cls, serial: str, error: EdgekitError) -> TargetOutcome:
        """Return the outcome of a target on which nothing could be measured."""
        failure = PointError(message=error.message, hint=error.hint, exit_code=error.exit_code)
        return cls(serial=serial, error=failure)


def bench_all(
    targets: Sequence[Target],
    subjects: Sequence[Subject],
    options: BenchOptions,
    *,
    show: ShowProgress,
    resume: Path | None = None,
    command: Sequence[str] = (),
    several: bool = False,
) -> list[TargetOutcome]:
    """Measure on every target; what fails on one does not stop the others.

    Ctrl-C ends every sweep after the turn that runs; a second one ends them at once, and what was saved
    after their last turns is what is left. `resume` and `command` are those of `bench`. `several` says that
    several targets were asked for, of which one may be left.

    Raises:
        UsageError: Options that cannot be met by several targets.
        KeyboardInterrupt: The second Ctrl-C.
    """
    if len(targets) == 1 and not several:
        outcome = bench(targets[0], subjects, options, show=show, resume=resume, command=command)
        return [TargetOutcome(serial=targets[0].info.serial, outcome=outcome, error=outcome.error)]
    if options.output is not None:
        raise UsageError(
            "-o with several devices: each has a result file of its own",
            hint="leave -o out; the files are results/TIME-SERIAL.json",
        )
    stop, guard = threading.Event(), threading.Lock()
    references = References(HostTarget())
    slots: list[TargetOutcome | None] = [None] * len(targets)
    steps: list[Progress | None] = [None] * len(targets)

    def work(index: int) -> None:
        target = targets[index]
        serial = target.info.serial

        def show_here(step: Progress) -> None:
            with guard:
                steps[index] = step
                begun = [one for one in steps if one is not None]
                done, total = sum(one.done for one in begun), sum(one.total for one in begun)
                show(msgspec.structs.replace(step, done=done, total=total, label=f"{serial}: {step.label}"))

        try:
            outcome = bench(
                target,
                subjects,
                options,
                show=show_here,
                command=command,
                stop=stop,
                references=references,
            )
            slots[index] = TargetOutcome(serial=serial, outcome=outcome, error=outcome.error)
        except EdgekitError as error:
            slots[index] = TargetOutcome.failed(serial, error)
        except Exception as error:
            logger.exception("a bug in edgekit, on %s", serial)
            failure = PointError(message=f"{type(error).__name__}: {error}", exit_code=1)
            slots[index] = TargetOutcome(serial=serial, error=failure)

    threads = [
        threading.Thread(target=work, args=(index,), name=target.info.serial, daemon=True)
        for index, target in enumerate(targets)
    ]
    for thread in threads:
        thread.start()
    _wait(threads, stop)
    return [slot for slot in slots if slot is not None]


def _wait(threads: Sequence[threading.Thread], stop: threading.Event) -> None:
    while any(thread.is_alive() for thread in threads):
        try:
            for thread in threads:
                thread.join(POLL_S)
        except KeyboardInterrupt:
            if stop.is_set():
                raise
            stop.set()
            logger.warning("ending after the turns that run; Ctrl-C again ends them at once")
