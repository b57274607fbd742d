"""Virtual devices on this machine: each has a directory in the cache, by which it is found and ended."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from edgekit.errors import DeviceError
from edgekit.toolchain.cache import cache_directory
from edgekit.virtual.config import DeviceConfig, decode_config

STOP_GRACE_S = 3.0
SERIAL_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,40}")


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """A device that was started, running or left over by a crash."""

    config: DeviceConfig
    pid: int | None
    running: bool
    ready: bool

    @property
    def directory(self) -> Path:
        return self.config.directory

    @property
    def log(self) -> Path:
        return self.config.directory / "log"


def instance_directory(serial: str) -> Path:
    return cache_directory("virtual") / serial


def read_instance(directory: Path) -> Instance | None:
    """Read the device of a directory; None where there is no whole configuration."""
    try:
        config = decode_config((directory / "config.json").read_bytes())
    except (OSError, msgspec.DecodeError, ValueError):
        return None
    pid = _read_pid(directory)
    running = pid is not None and _is_daemon(pid, directory)
    return Instance(config=config, pid=pid, running=running, ready=running and (directory / "ready").exists())


def list_instances() -> list[Instance]:
    """Every device, by its name."""
    root = cache_directory("virtual")
    if not root.is_dir():
        return []
    found = [read_instance(path) for path in sorted(root.iterdir()) if (path / "config.json").exists()]
    return [instance for instance in found if instance is not None]


def find_instance(serial: str) -> Instance:
    """A device by its name or its address.

    Raises:
        DeviceError: There is none.
    """
    # Running ones first: one that crashed may have had the address that another has now.
    instances = sorted(list_instances(), key=lambda instance: not instance.running)
    for instance in instances:
        if serial in (instance.config.serial, instance.config.address):
            return instance
    names = ", ".join(instance.config.address for instance in instances if instance.running)
    raise DeviceError(f"no virtual device {serial}; running: {names or 'none'}", hint="edgekit virtual start")


def address_of(name: str) -> str:
    """Return the address of the running virtual device with a name; any other word as it is."""
    if ":" in name:
        return name
    instance = read_instance(instance_directory(name)) if SERIAL_PATTERN.fullmatch(name) else None
    return instance.config.address if instance is not None and instance.running else name


def _read_pid(directory: Path) -> int | None:
    try:
        return int((directory / "pid").read_text())
    except (OSError, ValueError):
        return None


def _is_daemon(pid: int, directory: Path) -> bool:
    """Whether that process is the device of this directory, and not another that got its number."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(directory) in words


def _child_runs(pid: int) -> bool:
    """Return whether a child of this process runs; one that has ended is collected."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != pid
    except ChildProcessError:
        return False


def end_instance(pid: int | None, directory: Path, *, is_child: bool = False) -> None:
    """Stop the process of a device, if it runs, with all that it started; remove the device's directory.

    Args:
        pid: Number of the process; None for a device without one.
        directory: The device's directory.
        is_child: True for a child of this process. It may be so new that it has no command line yet, by which
            devices of other processes are recognised.

    Raises:
        DeviceError: The process does not die.
    """
    if pid is not None:
        runs = functools.partial(_is_daemon, pid, directory)
        if is_child:
            runs = functools.partial(_child_runs, pid)
        if runs():
            _terminate(pid, directory, runs)
    shutil.rmtree(directory, ignore_errors=True)


def _terminate(pid: int, directory: Path, runs: Callable[[], bool]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + STOP_GRACE_S
        while time.monotonic() < deadline:
            if not runs():
                _reap(pid)
                return
            time.sleep(0.01)
    raise DeviceError(f"stopping the virtual device {directory.name}: process {pid} does not end")


def _reap(pid: int) -> None:
    """Collect the exit status of a device that this very process started."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
