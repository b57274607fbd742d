"""Boards over ssh: the user's own OpenSSH client with the user's own configuration, keys and agents.

One connection is opened first and every command goes through it (`ControlMaster`), so a command
costs a round trip, not a handshake. It lives as long as this process: its far end reads from a pipe
that closes with it.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from edgekit import _process
from edgekit._files import temporary_directory
from edgekit.errors import DeviceError, DeviceLostError, EdgekitError, InputError, ToolError
from edgekit.transports.far_shell import (
    FarShell,
    decode_exit,
    kill_line,
    lost,
    parse_pid,
    quote,
    refusal,
    standstill,
)
from edgekit.transports.interface import CommandResult, Progress

CONNECT_TIMEOUT_S = 10
ALIVE_INTERVAL_S = 5
ALIVE_COUNT = 3
START_TIMEOUT_S = 15.0
KILL_TIMEOUT_S = 4.0
READY = "edgekit-ready"
OPTIONS = ("-T", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR")
SSH_FAILED = 255
# $1 directory, $2 file, $3 mode. ssh and the network hold megabytes back on the way, so the far side says
# what has arrived.
_ARRIVED = "edgekit-arrived:"
_SEND = f"""mkdir -p "$1" || exit
(while sleep 1 <&- >/dev/null 2>&1 && kill -0 $$; do echo "{_ARRIVED}$(wc -c < "$2")"; done) >&2 2>/dev/null &
cat > "$2"; s=$?; kill $! 2>/dev/null
[ $s -eq 0 ] && chmod "$3" "$2"
"""


class SshTransport(FarShell):
    """One machine that ssh reaches.

    Args:
        url: `ssh://[user@]host[:port]`; the host may be an alias of the user's configuration.
    """

    name = "ssh"
    keeps_shell = True

    def __init__(self, url: str) -> None:
        if not re.fullmatch(r"ssh://([^@/\s]+@)?[^@/\s-][^@/\s]*/?", url):
            raise DeviceError(f"reading {url!r}: not ssh://user@host[:port]", hint="--device ssh://pi@board")
        self.serial = url.rstrip("/")
        self._directory: Path | None = None
        self._files = contextlib.ExitStack()
        self._master: _process.LineChild | None = None

    def _control(self) -> list[str]:
        """Arguments of the ssh client for a command over the open connection; the client never opens
        another.
        """
        socket_path = self._connect() / "s"
        return ["ssh", *OPTIONS, "-S", str(socket_path), "-o", "ProxyCommand=false", self.serial]

    def _connect(self) -> Path:
        """Open the connection where it is not open yet; returns the directory of its socket.

        Raises:
            ToolError: There is no ssh.
            DeviceError: Refused, unknown, unauthorised.
            DeviceLostError: No answer, or the connection broke since.
        """
        if self._directory is not None and self._master is not None:
            return self._directory
        alive = ("-o", f"ServerAliveInterval={ALIVE_INTERVAL_S}", "-o", f"ServerAliveCountMax={ALIVE_COUNT}")
        with contextlib.ExitStack() as stack:
            # Not below $TMPDIR's long names: a socket's path has at most 107 bytes.
            directory = stack.enter_context(temporary_directory("edgekit.ssh-", Path("/tmp")))  # noqa: S108
            argv = [
                *("ssh", *OPTIONS, *alive, "-o", f"ConnectTimeout={CONNECT_TIMEOUT_S}"),
                *("-M", "-S", str(directory / "s"), self.serial, f"echo {READY}; exec cat >/dev/null"),
            ]
            master = _process.LineChild(argv, stderr_path=directory / "stderr")
            try:
                self._await_ready(master)
            except BaseException:
                master.kill()
                raise
            self._files = stack.pop_all()
        self._directory, self._master = directory, master
        return directory

    def _await_ready(self, master: _process.LineChild) -> None:
        """Wait until the connection stands; start-up files of the far shell may print before it does."""
        deadline = time.monotonic() + START_TIMEOUT_S
        try:
            while (line := master.read_line(max(0.0, deadline - time.monotonic()))) is not None:
                if line.endswith(READY):
                    return
        except TimeoutError as error:
            observed = f"no answer within {START_TIMEOUT_S:g} s"
            raise lost("connecting", self.serial, observed, _ssh_hint(self.serial)) from error
        raise _connect_error(self.serial, master.stderr_text().strip())

    def _line(self, script: str) -> list[str]:
        return [*self._control(), f"exec sh -c {shlex.quote(script)}"]

    def _run(self, script: str, action: str, timeout_s: float) -> CommandResult:
        """Run a command through `open`, so that one that overruns is killed on the far side too."""
        process = SshProcess(self, self._line(script), action)
        lines = []
        deadline = time.monotonic() + timeout_s
        try:
            process.end_stdin()
            while (line := process.read_line(max(0.0, deadline - time.monotonic()))) is not None:
                lines.append(line)
            rest = process.unfinished_line()
            exit_code = process.close(max(0.1, deadline - time.monotonic()))
        except TimeoutError as error:
            process.kill()
            raise lost(action, self.serial, f"no end within {timeout_s:g} s, stopped") from error
        except BaseException:
            process.kill()
            raise
        stdout = "".join(f"{line}\n" for line in lines) + rest
        return CommandResult(exit_code=exit_code, stdout=stdout, stderr=process.stderr_text())

    def open(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> SshProcess:
        """Start a command and keep its stdin and stdout."""
        script = quote(argv, env, keep_shell=self.keeps_shell)
        return SshProcess(self, self._line(script), f"running {argv[0]}")

    def _send(
        self, local: Path, remote: str, *, mode: int, standstill_s: float, progress: Progress | None
    ) -> None:
        directory = str(PurePosixPath(remote).parent)
        arguments = shlex.join([directory, remote, f"{mode:o}"])
        action = f"pushing {local.name}"
        shown = 0

        def show(count: int) -> None:
            nonlocal shown
            shown += count
            if progress is not None:
                progress(count)

        try:
            done = _process.run_on_files(
                self._line(f"set -- {arguments}\n{_SEND}"),
                standstill_s=standstill_s,
                moved=_arrived,
                stdin_path=local,
                on_move=show,
            )
        except TimeoutError as error:
            raise standstill(action, self.serial, standstill_s) from error
        except OSError as error:
            raise InputError(f"reading {local}: {error.strerror or error}") from error
        self._check(action, done.exit_code, done.stderr)
        show(local.stat().st_size - shown)

    def _receive(self, remote: str, local: Path, *, standstill_s: float) -> None:
        action = f"pulling {remote}"
        # The size is said at the end, so that a stream that was cut is not taken for the file.
        script = '[ -f "$1" ] || { echo "No such file" >&2; exit 44; }; cat "$1" && wc -c < "$1" >&2'
        line = f"set -- {shlex.quote(remote)}; {script}"
        try:
            done = _process.run_on_files(
                self._line(line),
                standstill_s=standstill_s,
                moved=lambda _said: local.stat().st_size,
                stdout_path=local,
            )
        except TimeoutError as error:
            raise standstill(action, self.serial, standstill_s) from error
        if done.exit_code == 44:
            raise InputError(f"{action} from {self.serial}: no such file", hint="edgekit devices")
        self._check(action, done.exit_code, done.stderr)
        came_bytes, said = local.stat().st_size, done.stderr.split()
        if not said or not said[-1].isdecimal() or int(said[-1]) > came_bytes:
            raise lost(action, self.serial, f"{came_bytes} bytes came instead of {said[-1:]}")
        if came_bytes > int(said[-1]):
            _drop_start(local, came_bytes - int(said[-1]))

    def _check(self, action: str, exit_code: int, stderr: str) -> None:
        if exit_code == SSH_FAILED and not self.is_alive():
            raise self.broken(action)
        if exit_code != 0:
            said = [line for line in stderr.strip().splitlines() if not line.startswith(_ARRIVED)]
            raise refusal(action, self.serial, "\n".join(said) or f"exit code {exit_code}")

    def is_alive(self) -> bool:
        """Whether the connection still stands."""
        if self._directory is None:
            return False
        argv = ["ssh", "-S", str(self._directory / "s"), "-O", "check", self.serial]
        try:
            return _process.run(argv, timeout_s=KILL_TIMEOUT_S).ok
        except ToolError:
            return False

    def broken(self, action: str) -> DeviceLostError:
        """Return the error for a connection that broke, with the message of the ssh client that held it."""
        said = self._master.stderr_text().strip().splitlines() if self._master is not None else []
        observed = "the connection broke" + (f" ({said[-1]})" if said else "")
        return lost(action, self.serial, observed, _ssh_hint(self.serial))

    def close(self) -> None:
        """End the connection; the far side keeps its files."""
        if self._master is not None:
            self._master.close(KILL_TIMEOUT_S)
        self._files.close()
        self._master = self._directory = None


class SshProcess:
    """A running command; a RemoteProcess."""

    def __init__(self, transport: SshTransport, argv: Sequence[str], action: str) -> None:
        self._transport, self._action = transport, action
        self._pid: int | None = None
        self._exit_code: int | None = None
        self._child = _process.LineChild(argv)

    def write_line(self, line: str) -> None:
        """Send one line to its stdin. Raises BrokenPipeError (it stopped reading)."""
        self._child.write_line(line)

    def end_stdin(self) -> None:
        """Let the command read end of file."""
        self._child.end_stdin()

    def read_line(self, timeout_s: float) -> str | None:
        """The next line of stdout; None at its end. Raises TimeoutError, DeviceLostError."""
        deadline = time.monotonic() + timeout_s
        while True:
            line = self._child.read_line(max(0.0, deadline - time.monotonic()))
            if line is None and self._pid is None:
                raise self._not_started()
            if self._pid is not None or line is None:
                return line
            self._pid = parse_pid(line)

    def _not_started(self) -> EdgekitError:
        if not self._transport.is_alive():
            return self._transport.broken(self._action)
        said = self.stderr_text().strip() or "the far shell said nothing"
        return refusal(self._action, self._transport.serial, said)

    def unfinished_line(self) -> str:
        """Text on stdout after its last line break."""
        return self._child.unfinished_line()

    def close(self, timeout_s: float = 10.0) -> int:
        """End stdin, wait for its end (kill it after `timeout_s`) and return the exit code."""
        if self._exit_code is None:
            if not self._child.wait_for_end(timeout_s):
                self.kill()
                return -9
            code = self._child.close(0.1)
            if code == SSH_FAILED and not self._transport.is_alive():
                raise self._transport.broken(self._action)
            self._exit_code = decode_exit(code)
        return self._exit_code

    def kill(self) -> None:
        """End it and everything that it started, as far as the link allows."""
        if self._exit_code is None and self._pid is not None:
            argv = self._transport._line(kill_line(self._pid))
            # Where the link is gone nothing more can be done.
            with contextlib.suppress(ToolError):
                _process.run(argv, timeout_s=KILL_TIMEOUT_S)
        if self._exit_code is None:
            self._exit_code = -9
        self._child.kill()

    def stderr_text(self) -> str:
        """Text that the command has written to stderr so far."""
        return self._child.stderr_text()


def _drop_start(path: Path, count: int) -> None:
    """Remove the first bytes of a file: text that start-up files of the far shell printed before it."""
    with path.open("rb") as file:
        file.seek(count)
        content = file.read()
    path.write_bytes(content)


def _arrived(said: str) -> int:
    """Return the last number of bytes that the far side has said to have."""
    counts = re.findall(rf"^{_ARRIVED} *(\d+)$", said, re.MULTILINE)
    return int(counts[-1]) if counts else 0


def _connect_error(serial: str, said: str) -> EdgekitError:
    last = said.splitlines()[-1] if said else "it ended without a word"
    target = serial.removeprefix("ssh://")
    if "Permission denied" in said:
        return DeviceError(f"connecting to {serial}: {last}", hint=f"ssh-copy-id {target}")
    if "Host key verification failed" in said or "IDENTIFICATION HAS CHANGED" in said:
        return DeviceError(
            f"connecting to {serial}: its host key is not known or has changed", hint=f"ssh {serial}"
        )
    return DeviceError(f"connecting to {serial}: {last}", hint=_ssh_hint(serial))


def _ssh_hint(serial: str) -> str:
    return f"ssh {serial} true"
