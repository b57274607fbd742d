"""Run a sweep: the cells of one model take turns in rounds, and every finished turn is kept."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec

from edgekit.bench.cell import Cell, Timing, Turn, check_batch, measure_startup, take_turn
from edgekit.convert.manifest import verify_files
from edgekit.core.artifact import Artifact
from edgekit.core.measurement import ArtifactRef, Environment, Point, PointError, ProcessRun, Status
from edgekit.core.parity import Parity
from edgekit.core.units import format_count, format_ms
from edgekit.engines.registry import on_gpu
from edgekit.errors import DeviceError, DeviceLostError, EdgekitError, UnsupportedError
from edgekit.judge.intervals import latency_interval, process_medians
from edgekit.judge.verdicts import with_verdict
from edgekit.parity.reference import Reference, input_count
from edgekit.targets.target import Subject, Target

# A phone out of the sun loses several degrees in this time.
COOLING_S = 900.0
COOLING_POLL_S = 2.0

logger = logging.getLogger("edgekit")


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a sweep as it is shown; it has a figure once a turn has ended.

    Attributes:
        latency_ns: Latency of the point so far, ns; None on an emulated device.
        instructions: Instructions of one inference on an emulated device.
    """

    done: int
    total: int
    label: str
    latency_ns: float | None = None
    instructions: int | None = None


ShowProgress = Callable[[Progress], None]
Keep = Callable[[int, Point, ProcessRun | None], None]
"""Called with a point's number, the point, and the process that it has just gained."""


class Sweep:
    """A sweep and its points while they are measured.

    A point that waits for turns counts as `interrupted`, so that whatever was kept is true however the
    process ends.

    Args:
        target: Where everything runs.
        cells: The cells to measure; those of one model must be neighbours.
        requested_cores: `--cores` as it was asked.
        timing: How long a process is measured.
        processes: Fresh processes a cell.
        cooldown_s: Pause before each turn.
        start_below_celsius: Temperature below which a turn may start; None for any. All turns together wait
            `COOLING_S` at most.
        references: Called with a model; its reference, or None where there is none to compare with.
        earlier: Points of an earlier run of the same command; their finished processes are kept.
        stop: Set by another thread, it ends the sweep before the next turn.
        target_ci: Relative half-width of the interval over processes: more processes run until it is
            reached, or until a point's processes have taken `timing.max_s` altogether, those of an earlier
            run included.
        show: Called before and after every turn.
    """

    def __init__(
        self,
        target: Target,
        cells: Sequence[Cell],
        *,
        requested_cores: str | None,
        timing: Timing,
        processes: int,
        cooldown_s: float,
        references: Callable[[Subject], Reference | None],
        show: ShowProgress,
        start_below_celsius: float | None = None,
        earlier: Sequence[Point] = (),
        stop: threading.Event | None = None,
        target_ci: float | None = None,
    ) -> None:
        self._target = target
        self._earlier = {_identity(point): point for point in earlier}
        self._stop = stop
        self._cells = tuple(cells)
        self._timing = timing
        self._processes = processes
        self._cooldown_s = cooldown_s
        self._start_below_celsius = start_below_celsius
        self._cooling_s = 0.0
        self._references = references
        self._show = show
        self._artifacts: dict[int, Artifact] = {}
        self._turns_done = 0
        # After the turn that has just ended; None where something else has run since.
        self._environment: Environment | None = None
        self._target_ci = target_ci
        self._keep: Keep | None = None
        self.points = [_waiting(cell, requested_cores, timing, target_ci) for cell in self._cells]
        for index in range(len(self._cells)):
            self._plan(index)

    def run(self, keep: Keep) -> None:
        """Measure everything; every turn is kept as soon as it has ended.

        Args:
            keep: Called with every point that a turn has changed.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            DeviceLostError: The target went away; the point that it hit has failed.
            OutputError: A turn cannot be kept.
        """
        self._keep = keep
        for group in self._models():
            for index in group:
                self._start(index)
            for turn in range(self._processes):
                for index in group:
                    point = self.points[index]
                    self._check_stop()
                    if point.status is Status.INTERRUPTED and len(point.processes) <= turn:
                        self._turn(index)
                    else:
                        self._turns_done += 1
            self._narrow(group)

    def _narrow(self, group: Sequence[int]) -> None:
        """Run more processes, in turn, for the points whose interval is still too wide."""
        while self._target_ci is not None:
            waiting = [index for index in group if self.points[index].status is Status.INTERRUPTED]
            if not waiting:
                return
            for index in waiting:
                self._check_stop()
                self._turn(index)

    def _is_enough(self, point: Point) -> bool:
        """Return whether a point has all its processes and, with `--target-ci`, a narrow enough interval."""
        if len(point.processes) < self._processes:
            return False
        if self._target_ci is None or point.spent_s >= self._timing.max_s:
            return True
        interval = latency_interval(process_medians(point))
        return interval is not None and interval.relative_half_width <= self._target_ci

    def _models(self) -> list[list[int]]:
        groups: dict[str, list[int]] = {}
        for index, cell in enumerate(self._cells):
            groups.setdefault(str(cell.subject.directory), []).append(index)
        return list(groups.values())

    def _plan(self, index: int) -> None:
        """Choose the artifact of a point; end points whose combination cannot run here."""
        cell = self._cells[index]
        try:
            kind = self._target.artifact_kind(cell.engine, cell.precision, cell.options)
            limit = self._target.max_threads(cell.engine)
            if limit is not None and cell.threads > limit:
                raise UnsupportedError(f"{cell.label}: {cell.engine} runs {limit} thread(s) here")
            if kind.value not in cell.subject.manifest.artifacts:
                self._target.check_artifact(kind)
            artifact = cell.subject.artifact(kind, self._target.info.serial)
            check_batch(artifact, cell.batch_size)
            verify_files(cell.subject.manifest, cell.subject.directory, [kind])
        except EdgekitError as error:
            # Every point of an artifact that is missing says the same.
            said = {point.error.message for point in self.points if point.error is not None}
            self._end(index, error, say=error.message not in said)
            return
        self._artifacts[index] = artifact
        self._replace(index, artifact=ArtifactRef.to(artifact, cell.subject.manifest))
        self._take_up(index)

    def _take_up(self, index: int) -> None:
        """Take over the processes that an earlier run measured for a point, if it ran the same artifact."""
        point, earlier = self.points[index], self._earlier.get(_identity(self.points[index]))
        if earlier is None or not earlier.processes:
            return
        if earlier.artifact is None or earlier.artifact.sha256 != self._artifacts[index].sha256:
            logger.warning("%s: measured anew, its artifact has changed", self._cells[index].label)
            return
        enough = len(earlier.processes) >= self._processes
        done = enough and (earlier.status is Status.DONE or self._is_enough(earlier))
        self.points[index] = msgspec.structs.replace(
            earlier, artifact=point.artifact, status=Status.DONE if done else Status.INTERRUPTED, error=None
        )

    def _start(self, index: int) -> None:
        """Prepare a point for its turns: place its artifact, compute its reference, measure its cold start.

        Emulated devices have no cold start: it would be the emulator's.
        """
        cell, point = self._cells[index], self.points[index]
        if point.status is not Status.INTERRUPTED:
            return
        self._check_stop()
        with self._kept(index):
            placed = self._target.place(cell.subject, self._artifacts[index])
            if placed.mismatch is not None:
                self._replace(index, mismatch=placed.mismatch)
            reference = self._references(cell.subject)
            if reference is not None:
                # Where it cannot be had, each turn says so.
                with contextlib.suppress(EdgekitError):
                    reference.prepare(input_count(cell.precision, cell.batch_size))
            if point.startup or self._target.info.emulated:
                return
            self._environment = None
            self._wait_until_cool(index, self._total())
            label = f"{cell.label}, cold start"
            self._show(Progress(done=self._turns_done, total=self._total(), label=label))
            startup = measure_startup(self._target, cell, self._artifacts[index])
            # Reading them shows that it is still the same machine: nothing of another one is kept.
            before = self._environment_before(cell.engine)
            self._replace(index, startup=startup, environment_before=before)

    @contextlib.contextmanager
    def _kept(self, index: int) -> Iterator[None]:
        """Keep the block's changes of a point; an error ends the point, a lost target the sweep too."""
        assert self._keep is not None, "the sweep runs"
        before = self.points[index]
        try:
            yield
        except EdgekitError as error:
            lost = self._lost(index, error)
            self._end(index, lost or error)
            self._keep(index, self.points[index], None)
            if lost is error:
                raise
            if lost is not None:
                raise lost from error
            return
        point = self.points[index]
        if point is not before:
            gained = len(point.processes) > len(before.processes)
            self._keep(index, point, point.processes[-1] if gained else None)

    def _lost(self, index: int, error: EdgekitError) -> DeviceLostError | None:
        """Return the error of a target that is gone or was swapped; None where a turn failed otherwise."""
        if isinstance(error, DeviceLostError):
            return error
        if self._target.info.transport != "local":
            try:
                self._target.environment(self._cells[index].engine)
            except DeviceLostError as lost:
                return lost
            except EdgekitError:
                pass
        return None

    def _check_stop(self) -> None:
        if self._stop is not None and self._stop.is_set():
            raise KeyboardInterrupt

    def _rest(self, seconds: float) -> None:
        """Let the target rest; raise KeyboardInterrupt as soon as the sweep is to stop."""
        if self._stop is None:
            time.sleep(seconds)
        elif self._stop.wait(seconds):
            raise KeyboardInterrupt

    def _turn(self, index: int) -> None:
        cell, point = self._cells[index], self.points[index]
        total = self._total()
        self._show(Progress(done=self._turns_done, total=total, label=cell.label))
        if self._cooldown_s:
            self._rest(self._cooldown_s)
        with self._kept(index):
            self._wait_until_cool(index, total)
            started = time.monotonic()
            if point.environment_before is None:
                self._replace(index, environment_before=self._environment_before(cell.engine))
            self._environment = None
            reference = self._references(cell.subject)
            turn = take_turn(self._target, cell, self._artifacts[index], self._timing, reference)
            self._add(index, turn, time.monotonic() - started, self._target.environment(cell.engine))
        self._turns_done += 1
        self._show(self._ended(index, total))

    def _wait_until_cool(self, index: int, total: int) -> None:
        """Wait until the target is below the temperature that a turn may start at.

        Raises:
            DeviceError: It stays too hot, or shows no temperature any more.
        """
        limit, cell = self._start_below_celsius, self._cells[index]
        if limit is None:
            return
        began, before = time.monotonic(), self._cooling_s
        self._environment = None
        while True:
            degrees = self._target.environment(cell.engine).body_celsius
            if degrees is not None and degrees < limit:
                return
            serial = self._target.info.serial
            if degrees is None or self._cooling_s >= COOLING_S:
                shown = "no temperature" if degrees is None else f"{degrees:.1f} °C"
                raise DeviceError(
                    f"waiting until {serial} is below {limit:g} °C: it shows {shown} "
                    f"after {self._cooling_s:.0f} s",
                    hint="let it cool, or allow more with --start-below",
                )
            waits = f"{cell.label}: {degrees:.1f} °C, waits for {limit:g} °C"
            self._show(Progress(done=self._turns_done, total=total, label=waits))
            self._rest(COOLING_POLL_S)
            self._cooling_s = before + time.monotonic() - began

    def _total(self) -> int:
        return max(len(self._cells) * self._processes, self._turns_done + 1)

    def _environment_before(self, engine: str) -> Environment:
        """Return the circumstances after the turn that has just ended; without such a turn read them."""
        last = self._environment
        if last is None or self._cooldown_s or (on_gpu(engine) and last.gpus is None):
            return self._target.environment(engine)
        # Who was busy then was busy beside another point.
        return msgspec.structs.replace(last, busy_processes=None)

    def _ended(self, index: int, total: int) -> Progress:
        point, count = self.points[index], self.points[index].instruction_count
        return Progress(
            done=self._turns_done,
            total=total,
            label=self._cells[index].label,
            latency_ns=None if self._target.info.emulated else point.latency_ns,
            instructions=None if count is None else count.main_thread,
        )

    def _add(self, index: int, turn: Turn, spent_s: float, environment: Environment) -> None:
        point = self.points[index]
        self._environment = environment
        reference_ns = turn.run.reference_ns or environment.reference_ns
        run = msgspec.structs.replace(turn.run, reference_ns=reference_ns)
        point = msgspec.structs.replace(
            point, processes=(*point.processes, run), spent_s=point.spent_s + spent_s
        )
        self._replace(
            index,
            status=Status.DONE if self._is_enough(point) else Status.INTERRUPTED,
            processes=point.processes,
            spent_s=point.spent_s,
            engine_version=turn.loaded.engine_version,
            engine_options=turn.loaded.options,
            layer_precisions=turn.loaded.layer_precisions,
            cores=turn.loaded.cores,
            effective_threads=_fewest(point.effective_threads, turn.effective_threads),
            gpu=turn.loaded.gpu,
            environment_after=_with_busy(environment, point.environment_after),
            parity=_worse(point.parity, turn.parity),
            instruction_count=turn.instruction_count or point.instruction_count,
        )
        self.points[index] = with_verdict(self.points[index], emulated=self._target.info.emulated)

    def _end(self, index: int, error: EdgekitError, *, say: bool = True) -> None:
        """Mark a point as failed or skipped; the processes that it has stay."""
        skipped = isinstance(error, UnsupportedError)
        if say:
            logger.warning("%s: %s", "skipped" if skipped else "failed", error.message)
        self._replace(
            index,
            status=Status.SKIPPED if skipped else Status.FAILED,
            error=PointError(message=error.message, hint=error.hint, exit_code=error.exit_code),
        )

    def _replace(self, index: int, **changes: object) -> None:
        self.points[index] = msgspec.structs.replace(self.points[index], **changes)


def _waiting(cell: Cell, requested_cores: str | None, timing: Timing, target_ci: float | None) -> Point:
    return Point(
        model=cell.subject.manifest.name,
        artifact=None,
        engine=cell.engine,
        engine_options=cell.options,
        precision=cell.precision,
        requested_threads=cell.threads,
        batch_size=cell.batch_size,
        requested_cores=requested_cores,
        power_mode=cell.power_mode,
        warmup=timing.warmup,
        requested_repeats=timing.repeats,
        requested_ci=target_ci,
        status=Status.INTERRUPTED,
    )


def _identity(point: Point) -> tuple[object, ...]:
    """Return the fields by which a point of a resumed sweep is found in the earlier result."""
    return (
        point.model,
        point.engine,
        point.precision,
        point.requested_threads,
        point.batch_size,
        point.power_mode,
        point.requested_cores,
    )


def _fewest(before: int | None, now: int | None) -> int | None:
    return min((count for count in (before, now) if count is not None), default=None)


def _with_busy(now: Environment, before: Environment | None) -> Environment:
    """Add the processes that were busy in earlier turns of a point to a reading."""
    if before is None or not before.busy_processes:
        return now
    busy = {*before.busy_processes, *(now.busy_processes or ())}
    return msgspec.structs.replace(now, busy_processes=tuple(sorted(busy)))


def _worse(before: Parity | None, now: Parity | None) -> Parity | None:
    """Return the worse of two parities: a point is stored with that of its worst process."""
    if before is None or now is None:
        return now if before is None else before
    return max(before, now, key=lambda parity: (not parity.passed, parity.max_relative_error or 0.0))


def describe(progress: Progress, *, counted: bool = True) -> str:
    """Format a step as one line with its number; unless `counted`, with the figure in front instead."""
    figure = "" if progress.latency_ns is None else f"{format_ms(progress.latency_ns)} ms"
    if progress.instructions is not None:
        figure = f"{format_count(progress.instructions)} instructions"
    if not counted:
        return f"{figure}  {progress.label}" if figure else progress.label
    number = f"[{progress.done}/{progress.total}] {progress.label}"
    return f"{number}: {figure}" if figure else number
