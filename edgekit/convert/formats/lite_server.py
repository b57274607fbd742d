"""Runs Paddle Lite's programs in forks of a process that has imported Paddle Lite already.

Starting an interpreter and importing takes longer than converting a small network. This file runs in opt's
own interpreter and stays compatible with Python 3.6.

    python -I lite_server.py [MODULE]…    with the modules to import, e.g. `paddlelite.lite`

It speaks the lines of `edgekit._worker`. A job is a list of command lines, which run side by side; each has
one answer, in order. A command line of this very interpreter with a script runs in a fork, any other is
executed.
"""

import ctypes
import importlib
import json
import os
import runpy
import signal
import sys
import tempfile
import traceback
from typing import IO, Any, List, Tuple

# PR_SET_PDEATHSIG of prctl(2).
PR_SET_PDEATHSIG = 1
SAID_BYTES = 4096
CANNOT_EXECUTE = 127


def main(modules: List[str]) -> None:
    """Do jobs until stdin ends."""
    end_with_parent(os.getppid())
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception:
            traceback.print_exc()  # the script that needs it says so in its answer
    for line in sys.stdin.buffer:
        job = json.loads(line.decode())["job"]
        for answer in outcomes([[os.fsdecode(word.encode()) for word in each] for each in job["commands"]]):
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
    os._exit(0)


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent` ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def outcomes(commands: List[List[str]]) -> Any:
    """Start all commands, and yield the answer of each when it has ended."""
    yield {"type": "stage", "doing": "running opt"}
    started = [start(words) for words in commands]
    for pid, files in started:
        status = os.waitpid(pid, 0)[1]
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        stdout, stderr = map(tail, files)
        yield {"type": "ended", "exit_code": code, "stdout": stdout, "stderr": stderr}
    yield {"type": "finished"}


def start(words: List[str]) -> Tuple[int, List[IO[bytes]]]:
    """Start a command; return its process id and the files of its stdout and stderr."""
    files: List[IO[bytes]] = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            end_with_parent(parent)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for number, file in enumerate(files, 1):
                os.dup2(file.fileno(), number)
            code = run(words)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            ctypes.CDLL(None).fflush(None)
            os._exit(code)
    return pid, files


def run(words: List[str]) -> int:
    """Run a command in this process; return its exit code."""
    if words[0] != sys.executable:
        try:
            os.execv(words[0], words)
        except OSError as error:
            sys.stderr.write(f"starting {words[0]}: {error.strerror}\n")
            return CANNOT_EXECUTE
    sys.argv = words[1:]
    try:
        runpy.run_path(words[1], run_name="__main__")
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return 0


def tail(file: IO[bytes]) -> str:
    """Return the last bytes of a file as text."""
    size = os.fstat(file.fileno()).st_size
    start = max(0, size - SAID_BYTES)
    with file:
        return os.pread(file.fileno(), size - start, start).decode(errors="replace")


if __name__ == "__main__":
    main(sys.argv[1:])
