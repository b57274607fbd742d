"""A Python that starts warm: each start is a fork of one process that has imported what edgekit imports.

A command starts up to four interpreters, and a cold one spends a second on importing Paddle. What runs is
the real thing in a process of its own: a crash or a hang is that process's alone, and whoever kills the
interpreter that he has started ends what it runs.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import importlib.util
import os
import runpy
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from edgekit._process import CHILD

READY_TIMEOUT_S = 120.0
REQUEST_BYTES = 1 << 20
# Imported before any fork. None of them may leave a thread behind, whose locks would stay held for ever:
# onnxruntime does.
PRELOADED = (
    "edgekit.cli.root", "edgekit.cli.commands.models", "edgekit.cli.commands.bench",
    "edgekit.cli.commands.import_", "edgekit.cli.commands.export", "edgekit.cli.commands.verify",
    "edgekit.cli.commands.predict", "edgekit.cli.commands.report", "edgekit.convert.importing.import_model",
    "edgekit.convert.importing.worker", "edgekit.convert.importing.onnx_file",
    "edgekit.convert.exporting.export", "edgekit.convert.exporting.worker", "edgekit.parity.verify",
    "edgekit.bench.several", "edgekit.predict.predict",
    "edgekit.report.formats", "edgekit.report.table", "edgekit.vision.decode", "rich.console", "yaml", "cv2",
    "paddle", "paddle.inference", "paddle2onnx", "onnx",
)  # fmt: skip
# What edgekit's workers set before they import Paddle; a start that wants something else is a cold one.
# Engines are registered before any fork, so that those of packages on PYTHONPATH need a cold start too.
ENVIRONMENT = {"FLAGS_enable_pir_api": "0", "GLOG_minloglevel": "2", "OMP_NUM_THREADS": "1"}
# Stands in the place of `python`: hands its arguments and open files to the warm process and ends as that
# start ends. It imports nothing that takes time.
CLIENT = """\
#!{python} -ISE
import _socket, os, sys
if os.environ.get("FLAGS_enable_pir_api", "0") != "0":
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
connection.connect({address!r})
settings = [f"{{name}}={{value}}" for name, value in os.environ.items()]
words = [str(len(sys.argv) - 1), *sys.argv[1:], os.getcwd(), *settings]
request = chr(0).join(words).encode(errors="surrogateescape")
files = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
connection.sendmsg([len(request).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)])
connection.sendall(request)
for number in (0, 1, 2):
    os.close(number)
answer = connection.recv(16)
code = int(answer) if answer else 1
if code < 0:
    os.kill(os.getpid(), -code)
os._exit(code)
"""


@contextlib.contextmanager
def warm_python(directory: Path) -> Iterator[Path]:
    """The path of an interpreter that starts warm, as long as the block runs; it lies in `directory`."""
    client, log = directory / "warm-python", directory / "warm.log"
    name = f"edgekit-{secrets.token_hex(8)}"  # an abstract address (unix(7)): it leaves no file behind
    client.write_text(CLIENT.format(python=sys.executable, address=f"\0{name}".encode()))
    client.chmod(0o755)
    with log.open("wb") as errors:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.warm_python", name, client],
            cwd=Path(__file__).parents[1], env={**os.environ, **ENVIRONMENT},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
        )  # fmt: skip
    assert server.stdin is not None and server.stdout is not None
    try:
        ready, _, _ = select.select([server.stdout], [], [], READY_TIMEOUT_S)
        said = os.read(server.stdout.fileno(), 100) if ready else b""
        assert said == b"ready\n", f"{said!r}: {log.read_text(errors='replace')[-2000:]}"
        yield client
    finally:
        server.stdin.close()
        server.stdout.close()
        server.wait(30)


def serve(name: str, client: str) -> None:
    """Fork for every connection until stdin ends."""
    for module in PRELOADED:
        if importlib.util.find_spec(module.partition(".")[0]):  # Paddle's have no wheels of some Pythons
            importlib.import_module(module)
    gc.freeze()  # a collection in a fork would copy every page of what has been imported
    threads = len(os.listdir("/proc/self/task"))
    assert threads == 1, f"{threads} threads: a fork would lose all but one"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"\0{name}")
        listener.listen(64)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        os.write(1, b"ready\n")
        os.dup2(2, 1)
        while True:
            ready, _, _ = select.select([listener, 0], [], [])
            if 0 in ready:
                return
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _supervise(connection, client)
            connection.close()


def _supervise(connection: socket.socket, client: str) -> NoReturn:
    """Run one start in a child; end it where the client has gone, else tell the client how it ended."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        head, files, _, _ = socket.recv_fds(connection, 4, 3)
        request = bytearray()
        while len(request) < int.from_bytes(head, "big"):
            request += connection.recv(REQUEST_BYTES)
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            os.sched_setaffinity(0, os.sched_getaffinity(struct.unpack("3i", peer)[0]))
            connection.close()
            _become(request.decode(errors="surrogateescape").split("\0"), files, client)
        with contextlib.suppress(OSError):  # whoever is first
            os.setpgid(child, child)
        for number in files:
            os.close(number)
        end = os.pidfd_open(child)
        ready, _, _ = select.select([end, connection], [], [])
        if end not in ready:
            os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    except (OSError, BrokenPipeError):
        traceback.print_exc()
    os._exit(0)


def _become(request: list[str], files: list[int], client: str) -> NoReturn:
    """Do what `python ARGUMENTS` does, with the client's open files, directory and environment."""
    count = 1 + int(request[0])
    arguments, directory, environment = request[1:count], request[count], request[count + 1 :]
    for target, number in enumerate(files):
        os.dup2(number, target)
        os.close(number)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(entry.split("=", 1) for entry in environment)
    sys.executable = client
    code = 1
    try:
        _run(arguments)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code & 0xFF)


def _run(arguments: list[str]) -> None:
    if len(arguments) > 1 and arguments[1] == str(CHILD):
        sys.path += [path for path in arguments[2].split(os.pathsep) if path and path not in sys.path]
        arguments = arguments[3:] if Path(arguments[3]).is_absolute() else ["-m", *arguments[3:]]
    else:
        sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    kind, rest = arguments[0], arguments[1:]
    if kind == "-c":
        sys.argv, sys.path[0] = ["-c", *rest[1:]], ""
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    elif kind == "-m":
        sys.argv, sys.path[0] = [kind, *rest[1:]], str(Path.cwd())
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = arguments, str(Path(kind) if Path(kind).is_dir() else Path(kind).parent)
        runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    serve(*sys.argv[1:])
