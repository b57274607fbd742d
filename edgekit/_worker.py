"""Workers: children of edgekit that do typed jobs and give typed answers, each a line of JSON.

A worker is a separate process because frameworks take long to import, read flags at import, leave state
behind and may abort on a bad model. The parent uses `Worker`, the child calls `serve`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

import msgspec

from edgekit import _process, errors
from edgekit._files import temporary_place
from edgekit.errors import EdgekitError, OutputError

Job = TypeVar("Job")
Answer = TypeVar("Answer")

SHOWN_LINES = 3
SHOWN_CHARACTERS = 400
# PR_SET_PDEATHSIG of prctl(2).
_PR_SET_PDEATHSIG = 1
_SPACE_HINT = "free space there and make it writable, or write elsewhere"
_FULL_BYTES = 1 << 16


class Fault(msgspec.Struct, frozen=True, kw_only=True, tag="fault"):
    """An EdgekitError in transit between processes.

    Attributes:
        kind: Name of the error's class in `edgekit.errors`.
    """

    kind: str
    message: str
    hint: str | None = None

    @classmethod
    def of(cls, error: EdgekitError) -> Fault:
        # Rooms have subclasses of their own, which the other process need not have imported.
        kind = next(each.__name__ for each in type(error).__mro__ if each.__module__ == errors.__name__)
        return cls(kind=kind, message=error.message, hint=error.hint)

    def error(self) -> EdgekitError:
        """Return the error as an instance of `kind`."""
        kind: type[EdgekitError] = getattr(errors, self.kind)
        return kind(self.message, hint=self.hint)


class Stage(msgspec.Struct, frozen=True, kw_only=True, tag="stage"):
    """Step that a worker is about to do.

    Attributes:
        doing: Phrase for messages about a death or a hang, e.g. `converting to ONNX`.
        if_it_dies: Error to raise where the worker dies in this step; None for an error that names the step.
    """

    doing: str
    if_it_dies: Fault | None = None


class _Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The job is done; no answer follows."""


class _Request(msgspec.Struct, frozen=True, kw_only=True):
    """A job, and the name that the child's errors use for it."""

    purpose: str
    failure: str
    hint: str
    job: msgspec.Raw


class Worker(Generic[Answer]):
    """One child for any number of jobs in sequence, started by the first job; use it as a context manager.

    Args:
        program: Module that the child runs and that calls `serve`; or a command line whose program speaks the
            same lines.
        answers: Type of the answers, a tagged Struct or a union of such; None for a worker without answers.
        failure: Class of the errors for a death, a hang, and exceptions other than EdgekitError.
        timeout_s: Seconds of silence after which the worker is killed.
        env: Environment variables of the child.
    """

    def __init__(
        self,
        program: str | Sequence[str | Path],
        answers: Any,
        *,
        failure: type[EdgekitError],
        timeout_s: float,
        env: Mapping[str, str | None] | None = None,
    ) -> None:
        self._argv = _process.own_python(program) if isinstance(program, str) else program
        self._failure, self._timeout_s, self._env = failure, timeout_s, env
        self._decoder = msgspec.json.Decoder(Stage | Fault | _Finished | answers)
        self._child: _process.LineChild | None = None
        self._logged = 0

    def __enter__(self) -> Worker[Answer]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Process id of the running child."""
        return None if self._child is None else self._child.pid

    def ask(self, job: msgspec.Struct, purpose: str, *, hint: str) -> Generator[Answer, None, None]:
        """Give the worker a job at once; iterate for its answers, or close the iterator to abandon the job.

        Args:
            job: Job of the type that the child serves.
            purpose: Start of error messages: action and object, e.g. `exporting PPLCNet_x1_0`.
            hint: Hint of errors that the child did not raise itself.

        Raises:
            EdgekitError: The error that the child raised, or one of class `failure`.
        """
        request = _Request(
            purpose=purpose,
            failure=self._failure.__name__,
            hint=hint,
            job=msgspec.Raw(msgspec.json.encode(job)),
        )
        child = self.start()
        with contextlib.suppress(BrokenPipeError):  # `_answers` finds it dead
            child.write_line(msgspec.json.encode(request).decode())
        answers = self._answers(child, request)
        next(answers)  # from here on closing them abandons the job
        return answers

    def start(self) -> _process.LineChild:
        """Start the child before its first job, so that it is ready by then."""
        if self._child is None:
            self._child = _process.LineChild(self._argv, env=self._env)
            self._logged = 0
        return self._child

    def _answers(self, child: _process.LineChild, request: _Request) -> Generator[Any, None, None]:
        """Yield None at once, and then the answers."""
        stage = Stage(doing="starting")
        whole = False
        try:
            yield None
            while True:
                try:
                    line = child.read_line(self._timeout_s)
                except TimeoutError as error:
                    raise self._failure(
                        f"{request.purpose}: the worker was still {stage.doing} after {self._timeout_s:g} s, "
                        "stopped",
                        hint=request.hint,
                    ) from error
                if line is None:
                    raise self._death(child, stage, request)
                said = self._decoder.decode(line)
                whole = isinstance(said, (Fault, _Finished))
                if isinstance(said, Fault):
                    raise said.error()
                if whole:
                    return
                if isinstance(said, Stage):
                    stage = said
                else:
                    yield said
        finally:
            log = child.stderr_text()
            if new := log[self._logged :].strip():
                _process.logger.info("%s", new)
            self._logged = len(log)
            if not whole:
                self.close()

    def _death(self, child: _process.LineChild, stage: Stage, request: _Request) -> EdgekitError:
        ended = _process.describe_exit(child.close())
        self._child = None
        full = _full_place(msgspec.json.decode(request.job))
        if full is not None:
            return OutputError(
                f"{request.purpose}: no space left on the file system of {full}", hint=_SPACE_HINT
            )
        if stage.if_it_dies is not None:
            return stage.if_it_dies.error()
        last = [line for line in child.stderr_text().splitlines() if line.strip()][-SHOWN_LINES:]
        return self._failure(
            f"{request.purpose}: the worker died while {stage.doing} ({ended}); "
            f"it said: {' | '.join(last)[-SHOWN_CHARACTERS:] or 'nothing'}",
            hint=request.hint,
        )

    def close(self) -> None:
        """Kill the child; the next job starts another."""
        # All results are on disk by now; frameworks take a while to end by themselves.
        if self._child is not None:
            self._child.kill()
            self._child = None


def call(worker: Worker[Answer], job: msgspec.Struct, purpose: str, *, hint: str) -> list[Answer]:
    """Return all answers of a worker to its only job. Raises the errors of `Worker.ask`."""
    with worker:
        return list(worker.ask(job, purpose, hint=hint))


def end_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def serve(work: Callable[[Job], Iterator[Any]], jobs: Any) -> NoReturn:
    """Do jobs until stdin ends; the child calls this.

    Args:
        work: Function that does a job and yields its answers, and a `Stage` before a step that may die.
        jobs: Type of the jobs.
    """
    end_with_parent()
    # Frameworks print to stdout, also from C++; stdout is reserved for the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        request = msgspec.json.decode(line, type=_Request)
        for answer in _outcome(work, msgspec.json.decode(request.job, type=jobs), request):
            answers.write(msgspec.json.encode(answer) + b"\n")
            answers.flush()
    sys.stderr.flush()
    os._exit(0)  # all results are written, and a framework's clean-up takes a while


def _full_place(job: Any) -> Path | None:
    """Return a directory that the job names, or the one for temporary files, whose file system is full."""
    words: list[Any] = [str(temporary_place()), msgspec.to_builtins(job)]
    while words:
        word = words.pop()
        if isinstance(word, dict):
            words += word.values()
        elif isinstance(word, (list, tuple)):
            words += word
        elif isinstance(word, str) and word.startswith("/"):
            with contextlib.suppress(OSError, ValueError):
                place = Path(word) if Path(word).is_dir() else Path(word).parent
                found = os.statvfs(place)
                if found.f_blocks and found.f_bavail * found.f_frsize < _FULL_BYTES:
                    return place
    return None


def _outcome(work: Callable[[Job], Iterator[Any]], job: Job, request: _Request) -> Iterator[Any]:
    try:
        yield from work(job)
        yield _Finished()
    except EdgekitError as error:
        yield Fault.of(error)
    except OSError as error:
        yield Fault(kind=OutputError.__name__, message=f"{request.purpose}: {error}", hint=_SPACE_HINT)
    except Exception as error:
        # Frameworks report a full disk as an error of their own, or as a line of C++.
        full = _full_place(job)
        if full is not None:
            message = f"{request.purpose}: no space left on the file system of {full}"
            yield Fault(kind=OutputError.__name__, message=message, hint=_SPACE_HINT)
            return
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
        message = f"{request.purpose}: {type(error).__name__}: {lines[-1][-SHOWN_CHARACTERS:]}"
        yield Fault(kind=request.failure, message=message, hint=request.hint)
