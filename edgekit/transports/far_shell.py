"""File operations of adb and ssh, written as small scripts for the far side's POSIX shell.

The scripts keep to what Android's toybox and mksh, busybox and Debian's dash all have.
"""

from __future__ import annotations

import contextlib
import secrets
import shlex
import signal
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from edgekit._files import atomic_file, sha256_file
from edgekit.errors import DeviceError, DeviceLostError, EdgekitError, InputError
from edgekit.transports.interface import STANDSTILL_S, CommandResult, Outgoing, Progress, RemoteProcess

PID_MARK = "edgekit-pid:"
STAGING_PREFIX = ".edgekit-"
STAGING_SUFFIX = ".part"
COMMIT_TIMEOUT_S = 30.0
CLEAN_UP_TIMEOUT_S = 3.0
SCRIPT_ARGUMENT_BYTES = 24_000  # adb's service string ends at 65,535 bytes, quoting included
HASH_RATE_BYTES_S = 20_000_000

_SHA256 = 'sha256sum "$@" 2>/dev/null; true'
_LIST = '[ -d "$1" ] || exit 0; cd "$1" && find . -type f'
_REMOVE = 'rm -rf "$@"'
_READ = 'cat "$1"'
_FREE = """p=$1
while [ ! -e "$p" ]; do case $p in /*/*) p=${p%/*} ;; /*) p=/ ;; *) p=. ;; esac; done
df -kP "$p"
"""
# $1 directory, $2 staging directory, then pairs of name and bytes (or -): all are checked before one moves.
_COMMIT = """d=$1 s=$2; shift 2; cd "$s" || exit 3
i=0; n=$#
while [ $i -lt $n ]; do
  f=$1 b=$2; shift 2; i=$((i + 2))
  if [ "$b" != - ]; then
    g=$(wc -c < "$f") || exit 4
    [ "$((g))" -eq "$b" ] || { echo "$f has $((g)) bytes instead of $b" >&2; exit 5; }
  fi
  set -- "$@" "./$f"
done
mv -f "$@" "$d"/ && cd / && rmdir "$s"
"""


def quote(argv: Sequence[str], env: Mapping[str, str] | None, *, keep_shell: bool) -> str:
    """A script that says its process id on the first line of stdout, and becomes the command or its parent.

    Args:
        argv: The command.
        env: Variables to set for it.
        keep_shell: Leave the shell in place as the parent, where the transport does not report signals.
    """
    exports = "".join(f"export {name}={shlex.quote(value)}; " for name, value in (env or {}).items())
    command = shlex.join(argv)
    return f"echo {PID_MARK}$$; {exports}" + (f"{command}; exit $?" if keep_shell else f"exec {command}")


def parse_pid(line: str) -> int | None:
    """Return the process id of a line that ends in it; None for any other line.

    Start-up files of the far shell may print lines before it, or text without a line break on its line.
    """
    digits = line.rstrip("\r").rpartition(PID_MARK)[2] if PID_MARK in line else ""
    return int(digits) if digits.isdecimal() else None


def script_line(script: str, arguments: Sequence[str]) -> str:
    """A shell line that says its process id on the first line of stdout and then runs a script.

    Positional parameters follow the script."""
    return f"echo {PID_MARK}$$; set -- {shlex.join(arguments)}\n{script}"


def kill_line(pid: int) -> str:
    """A shell line that kills a process and its group, and succeeds where both have ended already."""
    return f"kill -9 -{pid} 2>/dev/null; kill -9 {pid} 2>/dev/null; true"


def decode_exit(code: int) -> int:
    """Return -n for a far command that signal n ended (shells and adbd report 128 + n), else its exit
    code.
    """
    try:
        return -signal.Signals(code - 128) if 128 < code < 192 else code
    except ValueError:
        return code


def parse_sha256(output: str) -> dict[str, str]:
    """`sha256sum`'s lines as path -> digest, GNU's escaped names included."""
    digests = {}
    for line in output.splitlines():
        escaped = line.startswith("\\")
        digest, _, path = line.lstrip("\\").partition("  ")
        if len(digest) == 64 and path:
            digests[path.replace("\\n", "\n").replace("\\\\", "\\") if escaped else path] = digest
    return digests


def parse_df(output: str) -> int | None:
    """Free bytes from the output of `df -kP`: the fourth column of its last line, in KiB."""
    fields = output.strip().splitlines()[-1].split() if output.strip() else []
    return int(fields[3]) * 1024 if len(fields) >= 6 and fields[3].isdecimal() else None


class FarShell:
    """What DeviceTransports have in common whose far side is a POSIX shell."""

    name: str
    serial: str
    keeps_shell: bool
    """`keep_shell` of `quote`."""

    @abstractmethod
    def _run(self, script: str, action: str, timeout_s: float) -> CommandResult:
        """Run a script that says its process id first; `action` is for errors."""

    @abstractmethod
    def _send(
        self, local: Path, remote: str, *, mode: int, standstill_s: float, progress: Progress | None
    ) -> None:
        """Write a file over there under exactly this name, whole or not; directories are made."""

    @abstractmethod
    def _receive(self, remote: str, local: Path, *, standstill_s: float) -> None:
        """Read a file from over there into `local`; returns only where all of it came."""

    @abstractmethod
    def open(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> RemoteProcess:
        """Start a command and keep its stdin and stdout."""

    def run(
        self, argv: Sequence[str], *, timeout_s: float = 30.0, env: Mapping[str, str] | None = None
    ) -> CommandResult:
        """Run a command to its end; see the interface."""
        return self._run(quote(argv, env, keep_shell=self.keeps_shell), f"running {argv[0]}", timeout_s)

    def run_script(self, script: str, arguments: Sequence[str] = (), *, timeout_s: float) -> CommandResult:
        """Run a script in the far side's shell; see the interface."""
        return self._run(script_line(script, arguments), "running a command", timeout_s)

    def push(
        self,
        local: Path,
        remote: str,
        *,
        mode: int = 0o644,
        standstill_s: float = STANDSTILL_S,
        progress: Progress | None = None,
    ) -> None:
        """Send a file; see the interface."""
        self.push_many(
            [Outgoing(local=local, remote=remote, mode=mode)], standstill_s=standstill_s, progress=progress
        )

    def push_many(
        self,
        files: Sequence[Outgoing],
        *,
        standstill_s: float = STANDSTILL_S,
        progress: Progress | None = None,
    ) -> None:
        """Send files; all of one directory are checked and moved into place by one command.

        Where an `Outgoing` has a digest it is compared with the one computed over there.

        Raises:
            InputError: A local file cannot be read.
            DeviceError: No space, read-only, or the file arrived damaged.
            DeviceLostError: The link broke; nothing is under its final name unless its directory was done.
        """
        by_directory: dict[str, list[Outgoing]] = {}
        for file in files:
            by_directory.setdefault(str(PurePosixPath(file.remote).parent), []).append(file)
        for directory, group in by_directory.items():
            staging = f"{directory}/{STAGING_PREFIX}{secrets.token_hex(4)}{STAGING_SUFFIX}"
            with self._cleaned_up_on_failure(staging):
                self._send_group(directory, staging, group, standstill_s, progress)

    def _send_group(
        self,
        directory: str,
        staging: str,
        group: Sequence[Outgoing],
        standstill_s: float,
        progress: Progress | None,
    ) -> None:
        staged: list[str] = []
        digests: dict[str, str] = {}
        total_bytes = 0
        for file in group:
            path = f"{staging}/{PurePosixPath(file.remote).name}"
            size_bytes = _size_of(file.local)
            self._send(file.local, path, mode=file.mode, standstill_s=standstill_s, progress=progress)
            total_bytes += size_bytes
            staged += [PurePosixPath(path).name, str(size_bytes) if file.sha256 is None else "-"]
            if file.sha256 is not None:
                digests[path] = file.sha256
        there = (
            self.sha256(list(digests), timeout_s=30.0 + total_bytes / HASH_RATE_BYTES_S) if digests else {}
        )
        for path, digest in digests.items():
            if there.get(path) != digest:
                raise DeviceError(
                    f"pushing {PurePosixPath(path).name} to {self.serial}: it arrived damaged "
                    f"(sha256 {there.get(path, 'unknown')[:12]} instead of {digest[:12]})",
                    hint="push again; if it repeats, check the cable and the device's storage",
                )
        for start in range(0, len(staged), 200):
            self._commit(directory, staging, staged[start : start + 200], last=start + 200 >= len(staged))

    def _commit(self, directory: str, staging: str, staged: Sequence[str], *, last: bool) -> None:
        script = _COMMIT if last else _COMMIT.replace('&& cd / && rmdir "$s"', "")
        done = self.run_script(script, [directory, staging, *staged], timeout_s=COMMIT_TIMEOUT_S)
        if done.exit_code != 0:
            raise self._refused(f"pushing to {directory}", done)

    @contextlib.contextmanager
    def _cleaned_up_on_failure(self, staging: str) -> Iterator[None]:
        try:
            yield
        except BaseException:
            # Best effort: where the link is gone the next push removes it.
            with contextlib.suppress(EdgekitError):
                self.remove([staging], timeout_s=CLEAN_UP_TIMEOUT_S)
            raise

    def pull(self, remote: str, local: Path, *, standstill_s: float = STANDSTILL_S) -> None:
        """Fetch a file; see the interface."""
        with atomic_file(local) as temporary:
            self._receive(remote, temporary, standstill_s=standstill_s)

    def read_text(self, remote: str) -> str | None:
        """A small file's text, or None where it does not exist or cannot be read."""
        done = self.run_script(_READ, [remote], timeout_s=10.0)
        return done.stdout if done.exit_code == 0 else None

    def sha256(self, remotes: Sequence[str], *, timeout_s: float = 60.0) -> dict[str, str]:
        """SHA-256 in hex, by path, of the files of `remotes` that exist; computed on the far side."""
        digests: dict[str, str] = {}
        for batch in _batches(remotes):
            digests.update(parse_sha256(self.run_script(_SHA256, batch, timeout_s=timeout_s).stdout))
        return digests

    def list_files(self, remote: str) -> list[str]:
        """Paths of all regular files below a directory, relative to it; empty where there is none."""
        done = self.run_script(_LIST, [remote], timeout_s=30.0)
        if done.exit_code != 0:
            raise self._refused(f"listing {remote}", done)
        return sorted(line.removeprefix("./") for line in done.stdout.splitlines() if line)

    def remove(self, remotes: Sequence[str], *, timeout_s: float = 30.0) -> None:
        """Delete files or whole directories; what does not exist is no error."""
        for batch in _batches(remotes):
            done = self.run_script(_REMOVE, batch, timeout_s=timeout_s)
            if done.exit_code != 0:
                raise self._refused(f"removing {batch[0]}", done)

    def free_bytes(self, remote: str) -> int | None:
        """Free space of the file system that holds a path (or its nearest existing parent)."""
        return parse_df(self.run_script(_FREE, [remote], timeout_s=10.0).stdout)

    def _refused(self, action: str, done: CommandResult) -> DeviceError:
        return refusal(action, self.serial, done.stderr.strip() or f"exit code {done.exit_code}")


def standstill(action: str, serial: str, standstill_s: float) -> DeviceLostError:
    """Return the error for a transfer of which nothing moved for so many seconds."""
    return lost(
        action,
        serial,
        f"the transfer stalled: nothing moved for {standstill_s:g} s",
        "wake the device or replug it, then: edgekit devices",
    )


def refusal(action: str, serial: str, reason: str) -> DeviceError:
    """Return the DeviceError for a message of the far side's file system, with a hint where a remedy is
    known.
    """
    lowered = reason.lower()
    if "no space" in lowered or "enospc" in lowered or "quota" in lowered:
        hint = f"edgekit push --clean --device {serial}, or free space there"
    elif "read-only" in lowered or "permission denied" in lowered or "not permitted" in lowered:
        hint = "choose a directory that is writable there, or mend its permissions"
    else:
        hint = "edgekit devices"
    return DeviceError(f"{action} on {serial}: {reason}", hint=hint)


def lost(action: str, serial: str, observed: str, hint: str = "edgekit devices") -> DeviceLostError:
    """Return the error for a far side that went away or stopped answering."""
    return DeviceLostError(f"{action} on {serial}: {observed}", hint=hint)


def local_digest(path: Path) -> str:
    """SHA-256 of a local file. Raises InputError where it cannot be read."""
    try:
        return sha256_file(path)
    except OSError as error:
        raise InputError(f"reading {path}: {error.strerror or error}") from error


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise InputError(f"reading {path}: {error.strerror or error}") from error


def _batches(paths: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    used = 0
    for path in paths:
        if batch and used + len(path) > SCRIPT_ARGUMENT_BYTES:
            yield batch
            batch, used = [], 0
        batch.append(path)
        used += len(path.encode()) + 3
    if batch:
        yield batch
