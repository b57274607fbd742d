"""Conversation with one runner process, on any machine."""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from edgekit._files import output_error, scratch_directory
from edgekit._process import describe_exit
from edgekit.errors import EdgekitError, RunnerError
from edgekit.runners.protocol import (
    PROTOCOL_VERSION,
    Check,
    Checked,
    EnvironmentRead,
    ErrorCode,
    Infer,
    Inferred,
    LayersTimed,
    Load,
    Loaded,
    Ran,
    ReadEnvironment,
    ReferenceRan,
    Refusal,
    Request,
    Run,
    RunReference,
    TimeLayers,
)
from edgekit.runners.refusal import HINTS, refused
from edgekit.runners.shared import OutputFiles
from edgekit.transports.interface import DeviceTransport, RemoteProcess, Transport

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOAD_TIMEOUT_S = 180.0
INFER_TIMEOUT_S = 120.0
# Time enough for 60 inferences of the largest network with one thread.
LAYERS_TIMEOUT_S = 1800.0
ENVIRONMENT_TIMEOUT_S = 30.0
REFERENCE_TIMEOUT_S = 120.0
# Time allowed beyond the duration of a `run`: binding the input, the first inference, warm-up by count.
RUN_MARGIN_S = 120.0
CLOSE_TIMEOUT_S = 10.0
CLEAN_UP_S = 30.0
KILLED_CLEAN_UP_S = 4.0
STDERR_TAIL_LINES = 6
STDERR_WAIT_S = 1.0

Answer = TypeVar("Answer", Checked, Loaded, Ran, LayersTimed, Inferred, EnvironmentRead, ReferenceRan)


class _Envelope(msgspec.Struct, frozen=True):
    ok: bool
    op: str | None = None
    error: Refusal | None = None


class Killable(ABC):
    """Context manager that is closed where its block succeeds, and killed where the block fails."""

    @abstractmethod
    def close(self) -> object:
        """End the object's processes in good order."""

    @abstractmethod
    def kill(self) -> None:
        """End the object's processes at once."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.kill()


class RunnerSession(Killable):
    """One runner process: opens on entry, closes on exit, is killed where the block fails.

    Threads may share it: a second thread's request is sent while the first thread's is served, so that the
    runner continues without a pause; a third thread waits until one is done.

    Args:
        transport: Transport to the runner's machine; a DeviceTransport where there is a `scratch`.
        argv: Command line of the runner on its machine.
        env: Environment variables to set in addition.
        scratch: Directory on the runner's machine for input and output files; None where both sides share
            files, as on the host.
        label: Name of the runner in errors, e.g. `onnxruntime on PPLCNet_x0_5`.
        remake: Returns the command that makes the model's artifacts anew, and is called for hints alone; None
            where the model is not known.
        patience: Factor on all timeouts, for emulated machines that count instructions.
    """

    def __init__(
        self,
        transport: Transport,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        scratch: str | None = None,
        label: str,
        remake: Callable[[], str] | None = None,
        patience: float = 1.0,
    ) -> None:
        self.label = label
        self._remake = remake or (lambda: "edgekit export NAME --force")
        self._patience = patience
        self._transport = transport
        self._argv = tuple(argv)
        self._env = dict(env or {})
        self._scratch = scratch
        self._process: RemoteProcess | None = None
        self._staging: Path | None = None
        self._model: str | None = None
        self._dtypes: list[str] = []
        self._sending, self._receiving = threading.Lock(), threading.Lock()
        self._outputs: OutputFiles  # of a session that shares files, from its start on

    @property
    def shares_files(self) -> bool:
        """True where the runner reads files of this machine without a transfer."""
        return self._scratch is None

    @property
    def _far(self) -> DeviceTransport:
        """The transport, where the runner's machine has files of its own."""
        return cast("DeviceTransport", self._transport)

    def __enter__(self) -> RunnerSession:
        self.start()
        return self

    def start(self) -> None:
        """Start the process; the session can then `load`."""
        if self._process is not None:
            raise RuntimeError("the session is started already")
        self._files = contextlib.ExitStack()
        self._staging = self._files.enter_context(scratch_directory("run"))
        if self.shares_files:
            self._outputs = OutputFiles()
            self._files.callback(self._outputs.close)
        try:
            self._process = self._transport.open(self._argv, env=self._env)
        except BaseException:
            self._clean_up()
            raise

    def load(self, request: Load, *, timeout_s: float = LOAD_TIMEOUT_S) -> Loaded:
        """Load the artifact.

        Raises:
            UnsupportedError: The engine cannot do this.
            RefusedError: The runner refuses for any other reason, with its code.
            RunnerError: The runner crashed, hung or gave an invalid answer; it is dead then.
            DeviceLostError: The transport broke.
        """
        self._model = request.model
        self._dtypes = [one.dtype for one in request.inputs]
        answer = self._ask(request, Loaded, timeout_s)
        self._check_protocol(answer.protocol)
        return answer

    def check(self, model: str, sha256: str) -> None:
        """Have the runner compare a file's SHA-256; raises as `load`, and RefusedError on a difference."""
        self._check_protocol(self._ask(Check(model=model, sha256=sha256), Checked, LOAD_TIMEOUT_S).protocol)

    def _check_protocol(self, spoken: int) -> None:
        if spoken != PROTOCOL_VERSION:
            self.kill()
            raise RunnerError(
                f"{self.label}: speaks protocol {spoken}, edgekit {PROTOCOL_VERSION}",
                hint=HINTS[ErrorCode.PROTOCOL],
            )

    def run(self, request: Run, *, timeout_s: float | None = None) -> Ran:
        """Time inferences; raises the errors of `load`."""
        if timeout_s is None:
            timeout_s = RUN_MARGIN_S + (request.warmup_ns + request.max_ns) / 1e9
        answer = self._ask(request, Ran, timeout_s)
        if not answer.samples_ns:
            raise RunnerError(f"{self.label}: timed no inference", hint="raise --max-secs")
        return answer

    def layer_times(self, runs: int) -> LayersTimed:
        """Time each layer in a number of inferences; raises the errors of `load`."""
        answer = self._ask(TimeLayers(runs=runs), LayersTimed, LAYERS_TIMEOUT_S)
        numbers = {len(row) for row in answer.microseconds}
        if len(answer.microseconds) != runs or numbers != {len(answer.layers)}:
            self.kill()
            raise RunnerError(
                f"{self.label}: timed {len(answer.layers)} layers, {sorted(numbers)} in {runs} inferences"
            )
        return answer

    @property
    def dtypes(self) -> Sequence[str]:
        """Types of the inputs of the artifact that is loaded, in order."""
        return self._dtypes

    def infer(self, arrays: Sequence[NDArray[Any]]) -> tuple[list[NDArray[Any]], Inferred]:
        """Run arrays through the model; raises the errors of `load`.

        Args:
            arrays: An array for each input, in the order and of the types of the `load` request.

        Returns:
            All outputs in the model's order, and the runner's answer.
        """
        import numpy

        assert self._staging is not None, "the session is not started"
        assert [array.dtype.name for array in arrays] == self._dtypes, "the types of `load`"
        path = self._staging / "in"
        try:
            with path.open("wb") as file:
                for array in arrays:
                    # Not `tofile`, whose error on a full disk has no reason.
                    file.write(numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8).data)
        except OSError as error:
            raise output_error(path, error) from error
        return self.infer_file(path, [array.shape for array in arrays])

    def infer_file(
        self, path: Path, shapes: Sequence[tuple[int, ...]], *, skip: int | None = None,
        at_once: int | None = None,
    ) -> tuple[list[NDArray[Any]], Inferred]:  # fmt: skip
        """Run a file of this machine through the model: raw little-endian arrays in C order without gaps.

        Where both sides share files the runner reads the file in place; `skip` is then the number of bytes
        in the file before the first input, and `at_once` the number of rows inferred at a time.
        """
        import numpy

        assert self._staging is not None, "the session is not started"
        assert self.shares_files or (skip is None and at_once is None), "a part of a file is not sent"
        given = tuple(shapes)
        if self.shares_files:
            with self._outputs.lend() as output:
                shared = f"/proc/{os.getpid()}/fd/{output}"
                request = Infer(input=str(path), shapes=given, output=shared, skip=skip, at_once=at_once)
                answer = self._ask(request, Inferred, INFER_TIMEOUT_S)
                content = numpy.empty(os.fstat(output).st_size, numpy.uint8)
                os.preadv(output, [content.data], 0)
        else:
            local_out = self._staging / "out"
            remote_in, remote_out = f"{self._scratch}/in", f"{self._scratch}/out"
            self._far.push(path, remote_in)
            request = Infer(input=remote_in, shapes=given, output=remote_out)
            answer = self._ask(request, Inferred, INFER_TIMEOUT_S)
            self._far.pull(remote_out, local_out)
            content = numpy.fromfile(local_out, numpy.uint8)
        return self._split(content, answer), answer

    def _split(self, content: NDArray[np.uint8], answer: Inferred) -> list[NDArray[Any]]:
        """Return the outputs that an answer describes, in the memory of the file's content where aligned."""
        import numpy

        types = [numpy.dtype(one.dtype) for one in answer.outputs]
        sizes = [
            kind.itemsize * math.prod(one.shape) for kind, one in zip(types, answer.outputs, strict=True)
        ]
        if content.size != sum(sizes):
            self.kill()
            described = ", ".join(f"{one.name} {one.dtype}{list(one.shape)}" for one in answer.outputs)
            raise RunnerError(f"{self.label}: wrote {content.size} bytes for the outputs {described}")
        outputs, used = [], 0
        for kind, size, one in zip(types, sizes, answer.outputs, strict=True):
            part = content[used : used + size].view(kind).reshape(one.shape)
            outputs.append(part if part.flags.aligned else part.copy())
            used += size
        return outputs

    def environment(self) -> EnvironmentRead:
        """Return frequencies, temperatures and load of the runner's machine; raises the errors of `load`."""
        return self._ask(ReadEnvironment(), EnvironmentRead, ENVIRONMENT_TIMEOUT_S)

    def reference_ns(self) -> int:
        """Time a fixed workload on the runner's machine, ns; raises the errors of `load`."""
        return self._ask(RunReference(), ReferenceRan, REFERENCE_TIMEOUT_S).reference_ns

    def close(self) -> int:
        """End the conversation; return the runner's exit code (0, or that of the first refusal)."""
        process, self._process = self._process, None
        if process is None:
            return 0
        try:
            return process.close(CLOSE_TIMEOUT_S)
        finally:
            self._clean_up()

    def kill(self) -> None:
        """Kill the process at once."""
        process, self._process = self._process, None
        if process is not None:
            # An error of the transport would now hide the reason for giving up.
            with contextlib.suppress(EdgekitError, OSError):
                process.kill()
            # A device that hangs must not hold up the end of a command.
            self._clean_up(KILLED_CLEAN_UP_S)

    def stderr_text(self) -> str:
        """Return the text that the runner has written to stderr so far."""
        return "" if self._process is None else self._process.stderr_text()

    def _ask(self, request: Request, kind: type[Answer], timeout_s: float) -> Answer:
        op = str(type(request).__struct_config__.tag)
        timeout_s *= self._patience
        with self._sending:
            process = self._process
            if process is None:
                raise RunnerError(f"{self.label}: asked to {op}, but the runner has ended")
            lost = self._send(process, request)
            # Acquired before another thread may send: answers come in the order of the requests.
            self._receiving.acquire()
        try:
            if self._process is not process:
                raise RunnerError(f"{self.label}: asked to {op}, but the runner has ended")
            line = None if lost else self._receive(process, op, timeout_s)
            if line is None:
                raise self._crash(process, op)
            return self._decode(line, op, kind)
        finally:
            self._receiving.release()

    def _send(self, process: RemoteProcess, request: Request) -> bool:
        """Send a request; return True where the runner no longer reads."""
        try:
            process.write_line(msgspec.json.encode(request).decode())
        except BrokenPipeError:
            return True
        except BaseException:
            self.kill()
            raise
        return False

    def _receive(self, process: RemoteProcess, op: str, timeout_s: float) -> str | None:
        """Return the runner's answer; None where the runner has ended instead."""
        try:
            return process.read_line(timeout_s)
        except BrokenPipeError:
            return None
        except TimeoutError as error:
            self.kill()
            raise RunnerError(
                f"{self.label}: no answer to {op} within {timeout_s:g} s, stopped", hint=self._repeat_hint()
            ) from error
        except BaseException:
            self.kill()
            raise

    def _decode(self, line: str, op: str, kind: type[Answer]) -> Answer:
        try:
            envelope = msgspec.json.decode(line, type=_Envelope)
            if envelope.ok and envelope.op == op:
                return msgspec.json.decode(line, type=kind)
        except msgspec.MsgspecError as error:
            self.kill()
            raise RunnerError(f"{self.label}: answered {op} with {line[:200]!r}: {error}") from error
        refusal = envelope.error
        if envelope.ok or refusal is None:
            self.kill()
            raise RunnerError(f"{self.label}: answered {op} with {line[:200]!r}")
        raise refused(refusal, self.label, remake=self._remake, last_words=self._last_words)

    def _last_words(self) -> str:
        """Return the end of what the engine has printed as one line; it may arrive after the answer."""
        deadline = time.monotonic() + STDERR_WAIT_S
        while not (said := self.stderr_text().strip()) and time.monotonic() < deadline:
            time.sleep(0.02)
        lines = _tail(said).splitlines()
        # glog, and Paddle Lite's log like it, begin what ends the process with F, and warnings before with W.
        fatal = [index for index, line in enumerate(lines) if re.match(r"\[?F[ \d]", line)]
        return "; ".join(line.strip() for line in lines[fatal[-1] if fatal else 0 :])

    def _crash(self, process: RemoteProcess, op: str) -> RunnerError:
        """Return the error for a runner that ended without an answer: signal, artifact, last words."""
        self._process = None
        try:
            code = process.close(CLOSE_TIMEOUT_S)
            said = process.stderr_text()
        finally:
            self._clean_up()
        tail = _tail(said)
        artifact = f" of {self._model}" if self._model else ""
        return RunnerError(
            f"{self.label}: {_describe_end(code)} in {op}{artifact}" + (f"\n{tail}" if tail else ""),
            hint=self._repeat_hint(),
        )

    def _repeat_hint(self) -> str:
        return f"edgekit --verbose … shows the command; {self._remake()} makes the artifact again"

    def _clean_up(self, timeout_s: float = CLEAN_UP_S) -> None:
        if self._staging is not None:
            self._files.close()
            self._staging = None
        if self._scratch is not None:
            # The removal may fail: the next session overwrites the files, and a lost device keeps them until
            # then.
            with contextlib.suppress(EdgekitError, OSError):
                self._far.remove([f"{self._scratch}/in", f"{self._scratch}/out"], timeout_s=timeout_s)


def _tail(said: str) -> str:
    """Return the last lines of a text."""
    lines = [line.rstrip() for line in said.strip().splitlines() if line.strip()]
    return "\n".join(lines[-STDERR_TAIL_LINES:])


def _describe_end(code: int) -> str:
    """Describe an exit code: shells report signal N as 128 + N, our own children as -N."""
    if 128 < code < 128 + signal.NSIG:
        return describe_exit(128 - code)
    return "ended" if code == 0 else re.sub(r"^exit", "ended with exit", describe_exit(code))
