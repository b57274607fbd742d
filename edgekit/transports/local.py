"""This machine as a device: the transport of a host bench."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edgekit import _process
from edgekit._files import CHUNK_BYTES, atomic_file, sha256_file
from edgekit.errors import DeviceError, DeviceLostError, InputError, OutputError, ToolError
from edgekit.transports.interface import STANDSTILL_S, CommandResult, Progress

# Exit codes of a shell for a program that does not exist or cannot be executed (POSIX, 2.8.2).
NOT_FOUND, NOT_EXECUTABLE = 127, 126


class LocalTransport:
    """Implements `edgekit.transports.interface.Transport` for this machine."""

    name = "local"
    serial = "host"

    def __init__(self) -> None:
        self._ahead: tuple[Sequence[str], Mapping[str, str], _process.LineChild] | None = None

    def start_ahead(self, argv: Sequence[str], env: Mapping[str, str], line: str) -> None:
        """Start a command and send it a line; the first `open` of the same command takes it over.

        Raises:
            DeviceError: It cannot be started.
        """
        self.close()
        child = self.open(argv, env=env)
        with contextlib.suppress(BrokenPipeError):  # its reader finds it dead
            child.write_line(line)
        self._ahead = (argv, env, child)

    def run(
        self, argv: Sequence[str], *, timeout_s: float = 30.0, env: Mapping[str, str] | None = None
    ) -> CommandResult:
        try:
            done = _process.run(argv, timeout_s=timeout_s, env=env)
        except ToolError as error:
            if isinstance(error.__cause__, OSError):
                missing = isinstance(error.__cause__, FileNotFoundError)
                return CommandResult(
                    exit_code=NOT_FOUND if missing else NOT_EXECUTABLE, stdout="", stderr=error.message
                )
            raise DeviceLostError(error.message, hint=error.hint) from error
        return CommandResult(exit_code=done.exit_code, stdout=done.stdout, stderr=done.stderr)

    def open(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> _process.LineChild:
        if self._ahead is not None and self._ahead[:2] == (argv, env):
            child, self._ahead = self._ahead[2], None
            return child
        try:
            return _process.LineChild(argv, env=env)
        except ToolError as error:
            raise DeviceError(error.message, hint=error.hint) from error

    def push(
        self,
        local: Path,
        remote: str,
        *,
        mode: int = 0o644,
        standstill_s: float = STANDSTILL_S,
        progress: Progress | None = None,
    ) -> None:
        if not local.is_file():
            raise InputError(f"sending {local}: no such file")
        with _refusals(remote):
            _copy(local, Path(remote), standstill_s, progress)
            Path(remote).chmod(mode)

    def pull(self, remote: str, local: Path, *, standstill_s: float = STANDSTILL_S) -> None:
        source = Path(remote)
        if not source.is_file():
            raise InputError(f"fetching {remote}: no such file")
        _copy(source, local, standstill_s, None)

    def read_text(self, remote: str, *, timeout_s: float = 10.0) -> str | None:
        try:
            return Path(remote).read_text(errors="replace")
        except OSError:
            return None

    def sha256(self, remotes: Sequence[str], *, timeout_s: float = 60.0) -> dict[str, str]:
        return {remote: sha256_file(Path(remote)) for remote in remotes if Path(remote).is_file()}

    def list_files(self, remote: str, *, timeout_s: float = 30.0) -> list[str]:
        root = Path(remote)
        return sorted(
            path.relative_to(root).as_posix()
            for path in root.rglob("*")
            if path.is_file() and not path.is_symlink()
        )

    def remove(self, remotes: Sequence[str], *, timeout_s: float = 30.0) -> None:
        for remote in remotes:
            path = Path(remote)
            with _refusals(remote):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)

    def free_bytes(self, remote: str, *, timeout_s: float = 10.0) -> int | None:
        for place in (Path(remote), *Path(remote).parents):
            if place.exists():
                return shutil.disk_usage(place).free
        return None

    def close(self) -> None:
        """End a command that was started ahead and that nobody took over."""
        if self._ahead is not None:
            self._ahead[2].kill()
            self._ahead = None


@contextlib.contextmanager
def _refusals(remote: str) -> Iterator[None]:
    """Raise DeviceError where the file system refuses, as the other transports do."""
    try:
        yield
    except OutputError as error:
        raise DeviceError(error.message, hint=error.hint) from error
    except OSError as error:
        raise DeviceError(f"changing {remote}: {error.strerror or error}") from error


def _copy(source: Path, target: Path, standstill_s: float, progress: Progress | None) -> None:
    moved_at = time.monotonic()
    with atomic_file(target) as temporary, source.open("rb") as reader, temporary.open("wb") as writer:
        while chunk := reader.read(CHUNK_BYTES):
            writer.write(chunk)
            if progress is not None:
                progress(len(chunk))
            waited_s, moved_at = time.monotonic() - moved_at, time.monotonic()
            if waited_s > standstill_s:
                raise DeviceLostError(f"copying {source} to {target}: nothing moved for {waited_s:.0f} s")
