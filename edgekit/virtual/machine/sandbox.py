"""How ARM64 programs run and what they see: a private machine made of namespaces, or proot.

`userns`: user, mount and process namespaces of our own with a binfmt_misc of their own, so that the
kernel itself starts qemu for every ARM64 program. No privilege is needed and nothing is registered
host-wide; with process 1 everything in it dies. It needs Linux 6.7 and unprivileged user namespaces.
`proot`: translates system calls instead; slower, without storage limit, clock and counting.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from edgekit.virtual.config import DeviceConfig
from edgekit.virtual.machine import namespace
from edgekit.virtual.machine.tree import CLOCK_SHIFT

BINFMT = "/proc/sys/fs/binfmt_misc"
# ELF64, little-endian, ET_EXEC or ET_DYN, EM_AARCH64 (183); as qemu's scripts/qemu-binfmt-conf.sh.
ELF_MAGIC = r"\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
ELF_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
SHELL_UID = 2000
DEVICE_NODES = ("null", "zero", "full", "random", "urandom", "tty")
SCRATCH = "/data/local/tmp"


class Sandbox(Protocol):
    """The calls that the device makes to either kind of sandbox."""

    files_root: Path
    """The host directory that shows the device's tree to process 1."""

    def argv(self, command: list[str]) -> list[str]:
        """The program to exec for a device command (an absolute device path and its arguments)."""

    def enter(self) -> None:
        """Enter the sandbox; called in the child between fork and exec."""

    def processes(self) -> list[int]:
        """Process ids of everything that runs on the device."""

    def limit_free(self, free_bytes: int | None) -> None:
        """Leave `free_bytes` of room on the storage; None restores its size. Raises OSError."""

    def set_read_only(self, directory: str, read_only: bool) -> None:
        """Make a device directory read-only, or undo it. Raises OSError."""

    def pty_multiplexer(self) -> str:
        """Path of the ptmx device to open for terminals."""


class NamespaceSandbox:
    """The `userns` kind. Make it in process 1 of the private machine (`enter_private_machine`)."""

    def __init__(self, config: DeviceConfig) -> None:
        self._config = config
        self.files_root = config.directory / "root"
        self._register_qemu()
        self._mount_tree()
        namespace.drop_file_privileges()

    def _register_qemu(self) -> None:
        namespace.mount("binfmt_misc", BINFMT, "binfmt_misc")
        entry = f"|edgekit-aarch64|M||{ELF_MAGIC}|{ELF_MASK}|{self._config.qemu}|OPF"
        Path(BINFMT, "register").write_text(entry)

    def _mount_tree(self) -> None:
        root, machine = self.files_root, self._config.directory / "machine"
        namespace.bind(root, root)
        for source, target in self._config.host_libraries.items():
            namespace.bind(source, root / target.lstrip("/"), read_only=True)
        namespace.mount("proc", root / "proc", "proc", namespace.MS_NOSUID | namespace.MS_NODEV)
        for path in sorted((machine / "proc").iterdir()):
            namespace.bind(path, root / "proc" / path.name, read_only=True)
        namespace.bind(machine / "sys", root / "sys", read_only=True)
        self._mount_devices(root / "dev")
        namespace.mount("data", root / "data", "tmpfs", 0, f"size={self._config.storage_bytes},mode=0771")
        make_storage(root)
        # The system is read-only, as on a phone; mounts inside it keep their mode.
        namespace.remount_read_only(root)

    def _mount_devices(self, dev: Path) -> None:
        namespace.mount("dev", dev, "tmpfs", namespace.MS_NOSUID, "size=64k,mode=0755")
        for name in DEVICE_NODES:
            (dev / name).touch()
            namespace.bind(f"/dev/{name}", dev / name)
        (dev / "pts").mkdir()
        namespace.mount(
            "devpts", dev / "pts", "devpts", namespace.MS_NOSUID, "newinstance,ptmxmode=0666,mode=0600"
        )
        (dev / "ptmx").symlink_to("pts/ptmx")
        (dev / ".clock_shift").touch()
        namespace.bind(self._config.directory / CLOCK_SHIFT, dev / ".clock_shift", read_only=True)
        for name, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
            (dev / name).symlink_to(f"/proc/self/{target}")

    def argv(self, command: list[str]) -> list[str]:
        return command

    def enter(self) -> None:
        namespace.unshare_user(SHELL_UID)
        os.chroot(self.files_root)
        os.chdir("/")

    def processes(self) -> list[int]:
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"]

    def limit_free(self, free_bytes: int | None) -> None:
        size = self._config.storage_bytes or 0
        if free_bytes is not None:
            state = os.statvfs(self.files_root / "data")
            used = (state.f_blocks - state.f_bfree) * state.f_frsize
            # tmpfs counts whole pages; a size of 0 would mean no limit.
            size = min(size, max(state.f_frsize, used + free_bytes))
        namespace.mount("none", self.files_root / "data", flags=namespace.MS_REMOUNT, data=f"size={size}")

    def set_read_only(self, directory: str, read_only: bool) -> None:
        from edgekit.virtual.machine.device_files import O_PATH, DeviceFiles

        fd = DeviceFiles(self.files_root).open(directory, O_PATH | os.O_DIRECTORY)
        place = Path(f"/proc/self/fd/{fd}").readlink()
        os.close(fd)
        if read_only:
            namespace.bind(place, place, read_only=True)
        else:
            namespace.unmount(place)

    def pty_multiplexer(self) -> str:
        return str(self.files_root / "dev/pts/ptmx")


class ProotSandbox:
    """The `proot` kind."""

    def __init__(self, config: DeviceConfig) -> None:
        self._config = config
        self.files_root = config.directory / "root"
        make_storage(self.files_root)
        namespace.become_reaper()

    def argv(self, command: list[str]) -> list[str]:
        root = self.files_root
        binds = [
            "/dev",
            "/proc",
            *(f"{path}:/proc/{path.name}" for path in sorted((root / "proc").iterdir())),
        ]
        return [
            str(self._config.proot), "-q", str(self._config.qemu), "-r", str(root),
            *(word for bind in binds for word in ("-b", bind)),
            "-i", f"{SHELL_UID}:{SHELL_UID}", "-w", "/", *command,
        ]  # fmt: skip

    def enter(self) -> None:
        return

    def processes(self) -> list[int]:
        return descendants(os.getpid())

    def limit_free(self, free_bytes: int | None) -> None:
        raise OSError("the storage of a proot device cannot be limited; start one with --backend userns")

    def set_read_only(self, directory: str, read_only: bool) -> None:
        raise OSError("directories of a proot device cannot be made read-only; use --backend userns")

    def pty_multiplexer(self) -> str:
        return "/dev/ptmx"


def make_storage(root: Path) -> None:
    """Make the directories that a phone has on its data partition."""
    for path in ("data/local/tmp", "data/property", "data/media/0"):
        (root / path).mkdir(parents=True, exist_ok=True)
    (root / "data/local/tmp").chmod(0o771)


def descendants(ancestor: int) -> list[int]:
    """Process ids below one, from /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    pending = [ancestor]
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += below
    return found


def kill_all(processes: Callable[[], list[int]]) -> None:
    """Send SIGKILL to every process of the device, and to those that they start meanwhile."""
    for _ in range(20):
        alive = processes()
        if not alive:
            return
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
