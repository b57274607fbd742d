"""Child processes; the only module that imports subprocess.

Commands are argument lists, never shell strings. Every wait has a timeout; a child that overruns is
killed with everything it started (each child leads a process group of its own).
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import ToolError

logger = logging.getLogger("edgekit.process")

KILL_GRACE_S = 2.0
# Capacity of a pipe: a larger buffer would be mapped and unmapped for every line.
PIPE_BYTES = 1 << 16
CHILD = Path(__file__).with_name("_child.py")
# Running children, each with the thread that started it.
_children: weakref.WeakKeyDictionary[subprocess.Popen[bytes], int] = weakref.WeakKeyDictionary()
_counting = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Completed:
    """Result of a finished child: decoded output and exit code (negative: killed by that signal)."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str
    wall_s: float

    @property
    def ok(self) -> bool:
        return self.exit_code == 0

    def tail(self, lines: int = 8) -> str:
        """Return the last lines of stderr, or of stdout where stderr is empty, for error messages."""
        text = self.stderr.strip() or self.stdout.strip()
        return "\n".join(text.splitlines()[-lines:])


def usable_cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def own_python(module: str, *arguments: str | Path, python: str | Path | None = None) -> list[str | Path]:
    """Return the command line that runs a module as a program with this edgekit.

    It avoids `-m`, which would put the user's directory, and a paddle.py in it, before installed packages.
    Entries that only this process's path has, from PYTHONPATH or otherwise, come last.

    Args:
        module: Name of the module, or the absolute path of a directory with a `__main__.py`.
        arguments: Arguments of the program.
        python: Interpreter that runs it, without the packages of this one; None for this one.
    """
    own = tuple(f"{prefix}{os.sep}" for prefix in (sys.prefix, sys.base_prefix))
    others = (Path(entry) for entry in sys.path if not entry.startswith(own))
    installed = () if python is None else ("site-packages", "dist-packages")
    paths = [
        str(path)
        for path in others
        if path.is_absolute() and path.exists() and not path.samefile(".") and path.name not in installed
    ]
    return [python or sys.executable, "-E", CHILD, os.pathsep.join(paths), module, *arguments]


def child_environment(extra: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Return this process's environment with `extra` set (a value of None removes a name)."""
    environment = dict(os.environ)
    for name, value in (extra or {}).items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value
    return environment


def describe_exit(exit_code: int) -> str:
    """Format an exit code as `exit code 3`, or `killed by SIGSEGV` for a child that a signal ended."""
    if exit_code < 0:
        try:
            return f"killed by {signal.Signals(-exit_code).name}"
        except ValueError:
            return f"killed by signal {-exit_code}"
    return f"exit code {exit_code}"


def run(
    argv: Sequence[str | Path],
    *,
    timeout_s: float,
    env: Mapping[str, str | None] | None = None,
    cwd: Path | None = None,
    input_text: str | None = None,
) -> Completed:
    """Run a command to its end and return its output; the caller judges a non-zero exit code.

    Raises:
        ToolError: The program does not exist or cannot be executed, or it overran `timeout_s` (it and
            the processes it started are dead by then).
    """
    words = tuple(str(word) for word in argv)
    logger.info("+ %s", shlex.join(words))
    started = time.monotonic()
    child = _spawn(
        words, env=env, cwd=cwd, stdin=subprocess.DEVNULL if input_text is None else subprocess.PIPE
    )
    try:
        stdout, stderr = child.communicate(
            None if input_text is None else input_text.encode(), timeout=timeout_s
        )
    except subprocess.TimeoutExpired as error:
        kill_group(child)
        child.communicate()
        raise ToolError(
            f"running {words[0]}: no end after {timeout_s:g} s, stopped",
            hint="run again with --verbose to see the command",
        ) from error
    except BaseException:
        kill_group(child)
        child.communicate()
        raise
    return Completed(
        argv=words,
        exit_code=child.returncode,
        stdout=stdout.decode(errors="replace"),
        stderr=stderr.decode(errors="replace"),
        wall_s=time.monotonic() - started,
    )


def _spawn(
    words: tuple[str, ...],
    *,
    env: Mapping[str, str | None] | None,
    cwd: Path | None,
    stdin: int,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    try:
        child = subprocess.Popen(
            words,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=child_environment(env),
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        raise ToolError(f"starting {words[0]}: {error.strerror or error}", hint="edgekit doctor") from error
    with _counting:
        _children[child] = threading.get_ident()
    return child


def run_on_files(
    argv: Sequence[str | Path],
    *,
    standstill_s: float,
    moved: Callable[[str], int],
    stdin_path: Path | None = None,
    stdout_path: Path | None = None,
    on_move: Callable[[int], None] | None = None,
) -> Completed:
    """Run a command that transfers a file, without passing the bytes through this process.

    Args:
        argv: The command.
        standstill_s: Seconds without a moved byte after which the command is killed.
        moved: Called with the text on stderr so far; returns the number of bytes moved so far.
        stdin_path: File for stdin; None for no input.
        stdout_path: File for stdout; `stdout` of the result is then empty.
        on_move: Called with the number of bytes moved since the last call.

    Raises:
        ToolError: The program cannot be executed.
        TimeoutError: Nothing moved for `standstill_s`.
        OSError: A file cannot be opened.
    """
    words = tuple(str(word) for word in argv)
    logger.info("+ %s", shlex.join(words))
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        source = stack.enter_context((stdin_path or Path(os.devnull)).open("rb"))
        sink = stack.enter_context(stdout_path.open("wb")) if stdout_path is not None else None
        said = stack.enter_context(tempfile.TemporaryFile())
        child = _spawn(
            words,
            env=None,
            cwd=None,
            stdin=source.fileno(),
            stdout=subprocess.PIPE if sink is None else sink.fileno(),
            stderr=said.fileno(),
        )
        seen, moved_at, stdout = 0, started, None
        ended = False
        try:
            while not ended:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    stdout, _ = child.communicate(timeout=0.1)
                    ended = True
                stderr = os.pread(said.fileno(), os.fstat(said.fileno()).st_size, 0)
                position = moved(stderr.decode(errors="replace"))
                if position > seen:
                    if on_move is not None:
                        on_move(position - seen)
                    seen, moved_at = position, time.monotonic()
                elif not ended and time.monotonic() - moved_at > standstill_s:
                    raise TimeoutError(f"{words[0]} moved nothing for {standstill_s:g} s")
        except BaseException:
            kill_group(child)
            child.communicate()
            raise
    return Completed(
        argv=words,
        exit_code=child.returncode,
        stdout=(stdout or b"").decode(errors="replace"),
        stderr=stderr.decode(errors="replace"),
        wall_s=time.monotonic() - started,
    )


def kill_group(child: subprocess.Popen[bytes]) -> None:
    """Kill a child and all processes of its group, and reap it."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        child.kill()
    try:
        child.wait(KILL_GRACE_S)
    except subprocess.TimeoutExpired:
        logger.warning("process %d did not die", child.pid)


def kill_children(threads: Collection[int | None]) -> None:
    """Kill the children that some threads have started; the threads' own calls then end with an error."""
    with _counting:
        children = [child for child, thread in _children.items() if thread in threads]
    for child in children:
        if child.poll() is None:
            kill_group(child)


class LineChild:
    """Child that answers each line with a line, each within a timeout.

    Args:
        argv: The command.
        stderr_path: File for its stderr; None for a temporary one without a name.
        env: Changes to the environment, as `child_environment` takes them.
        cwd: Working directory of the child; None for this process's.

    Raises:
        ToolError: The child cannot be started.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        stderr_path: Path | None = None,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.argv = tuple(str(word) for word in argv)
        logger.info("+ %s", shlex.join(self.argv))
        self._said: str | None = None
        self._stderr = tempfile.TemporaryFile() if stderr_path is None else stderr_path.open("w+b")  # noqa: SIM115
        try:
            self._child = _spawn(
                self.argv, env=env, cwd=cwd, stdin=subprocess.PIPE, stderr=self._stderr.fileno()
            )
        except ToolError:
            self._stderr.close()
            raise
        assert self._child.stdin is not None and self._child.stdout is not None
        self._stdin, self._stdout = self._child.stdin, self._child.stdout
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stdout, selectors.EVENT_READ)
        self._buffer = bytearray()
        self._reading = threading.Lock()

    @property
    def pid(self) -> int:
        return self._child.pid

    def write_line(self, line: str) -> None:
        """Send one line. Raises BrokenPipeError if the child no longer reads."""
        self._stdin.write(line.encode() + b"\n")
        self._stdin.flush()

    def read_line(self, timeout_s: float) -> str | None:
        """Return the next line of stdout without its end; None when stdout is closed. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        with self._reading:
            while not self._stdout.closed:
                end = self._buffer.find(b"\n")
                if end >= 0:
                    line = bytes(self._buffer[:end])
                    del self._buffer[: end + 1]
                    return line.decode(errors="replace")
                if not self._selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError(f"no line from {self.argv[0]} within {timeout_s:g} s")
                data = os.read(self._stdout.fileno(), PIPE_BYTES)
                if not data:
                    return None
                self._buffer += data
        return None

    def unfinished_line(self) -> str:
        """Return the text after stdout's last line break, once `read_line` has returned None."""
        return self._buffer.decode(errors="replace")

    def end_stdin(self) -> None:
        """Let the child read end of file."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()

    def wait_for_end(self, timeout_s: float) -> bool:
        """End stdin and wait; return whether the child ended by itself in that time."""
        self.end_stdin()
        try:
            self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self, timeout_s: float = 10.0) -> int:
        """End stdin, wait for the child to end, kill it after the timeout; return its exit code."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()
        try:
            self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            kill_group(self._child)
        self._release()
        return self._child.returncode

    def kill(self) -> None:
        kill_group(self._child)
        self._release()

    def _release(self) -> None:
        # A thread that reads meanwhile gets the end of the file; of a closed selector it would not hear.
        waited = self._reading.acquire(timeout=KILL_GRACE_S)
        try:
            self._selector.close()
            self._stdout.close()
        finally:
            if waited:
                self._reading.release()
        self._said = self.stderr_text()
        self._stderr.close()

    def stderr_text(self) -> str:
        """Return the text that the child has written to stderr so far."""
        if self._said is not None:
            return self._said
        # The child shares the file's offset, so reading must not move it.
        handle = self._stderr.fileno()
        return os.pread(handle, os.fstat(handle).st_size, 0).decode(errors="replace")


def start_daemon(argv: Sequence[str | Path], *, log_path: Path) -> int:
    """Start a program that outlives this process, with its output in `log_path`; return its process id."""
    words = tuple(str(word) for word in argv)
    logger.info("+ %s &", shlex.join(words))
    with log_path.open("ab") as log:
        output = log.fileno()
        child = _spawn(words, env=None, cwd=None, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    return child.pid
