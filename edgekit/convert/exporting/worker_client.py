"""The near side of the export worker: starts it once, speaks to it, and names what it died of."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from pathlib import Path
from types import TracebackType

import msgspec

from edgekit import _process, errors
from edgekit.convert.exporting.jobs import (
    BuildJob,
    Event,
    JobFailed,
    JobFinished,
    OnnxBuilt,
    PaddleBuilt,
    StageStarted,
)
from edgekit.errors import ConversionError, EdgekitError

logger = logging.getLogger("edgekit.process")

# Building, writing and converting the largest network takes 20 s.
EVENT_TIMEOUT_S = 600.0
WORKER = "edgekit.convert.exporting.worker"
_ENVIRONMENT = {
    # Without it Paddle writes PIR programs, which opt cannot read.
    "FLAGS_enable_pir_api": "0",
    "GLOG_minloglevel": "2",
}


class ExportWorker:
    """One worker process for any number of jobs, started by the first; use it as a context."""

    def __init__(self) -> None:
        self._child: _process.LineChild | None = None
        self._scratch = contextlib.ExitStack()
        self._job: BuildJob | None = None
        self._stage = "starting"

    def __enter__(self) -> ExportWorker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # All that it was asked for is on disk by now; Paddle takes a while to end by itself.
        if self._child is not None:
            self._child.kill()
        self._scratch.close()

    def start(self, job: BuildJob) -> None:
        """Give it a job; `next_event` until `JobFinished` follows."""
        if self._child is None:
            scratch = Path(self._scratch.enter_context(tempfile.TemporaryDirectory(prefix="edgekit-export-")))
            self._child = _process.LineChild(
                _process.own_worker(WORKER),
                stderr_path=scratch / "worker.log",
                env=_ENVIRONMENT,
            )
        self._job, self._stage = job, "starting"
        try:
            self._child.write_line(msgspec.json.encode(job).decode())
        except BrokenPipeError as error:
            raise self._died() from error

    def next_event(self) -> PaddleBuilt | OnnxBuilt | JobFinished:
        """Wait for the job's next result.

        Raises:
            EdgekitError: Whatever made the job fail, as in this process.
            ConversionError: The worker died or hung; the message names the stage.
        """
        while True:
            event = self._read()
            if isinstance(event, StageStarted):
                self._stage = event.stage
                continue
            if isinstance(event, JobFailed):
                self._job = None
                self._log()
                kind: type[EdgekitError] = getattr(errors, event.error)
                raise kind(event.message, hint=event.hint)
            if isinstance(event, JobFinished):
                self._job = None
            return event

    def abandon(self) -> None:
        """Give up the running job, and the process with it."""
        if self._child is not None and self._job is not None:
            self._child.kill()
            self._child, self._job = None, None

    def _read(self) -> Event:
        assert self._child is not None and self._job is not None
        try:
            line = self._child.read_line(EVENT_TIMEOUT_S)
        except TimeoutError as error:
            name, stage = self._job.name, self._stage
            self._log()
            self.abandon()
            raise ConversionError(
                f"exporting {name}: the worker was still {stage} after {EVENT_TIMEOUT_S:g} s, stopped",
                hint=f"edgekit --verbose export {name}",
            ) from error
        if line is None:
            raise self._died()
        event: Event = msgspec.json.decode(line, type=Event)
        return event

    def _died(self) -> ConversionError:
        assert self._child is not None and self._job is not None
        name, child = self._job.name, self._child
        exit_code = child.close()
        self._log()
        said = [line for line in child.stderr_text().splitlines() if line.strip()][-3:]
        self._child, self._job = None, None
        return ConversionError(
            f"exporting {name}: the worker died while {self._stage} "
            f"({_process.describe_exit(exit_code)}); it said: {' | '.join(said) or 'nothing'}",
            hint=f"edgekit --verbose export {name} shows all of what it said",
        )

    def _log(self) -> None:
        if self._child is not None and (said := self._child.stderr_text().strip()):
            logger.info("%s", said)
