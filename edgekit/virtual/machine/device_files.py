"""Files of the device, by their paths on the device.

openat2(2) with RESOLVE_IN_ROOT resolves a path as a process inside would see it, symbolic links and
mounts included, and never leaves the device's root.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from pathlib import Path

SYS_OPENAT2 = 437  # the same on every architecture (include/uapi/asm-generic/unistd.h)
RESOLVE_IN_ROOT = 0x10
O_PATH = 0o10000000

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class DeviceFiles:
    """The tree below a host directory, addressed as on the device. Every method raises OSError."""

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def open(self, path: str, flags: int, mode: int = 0) -> int:
        """A file descriptor."""
        how = _OpenHow(
            flags | os.O_CLOEXEC, mode if flags & (os.O_CREAT | os.O_TMPFILE) else 0, RESOLVE_IN_ROOT
        )
        fd = _libc.syscall(
            SYS_OPENAT2, self._root, os.fsencode(path or "."), ctypes.byref(how), ctypes.sizeof(how)
        )
        if fd < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
        return int(fd)

    def stat(self, path: str, *, follow: bool) -> os.stat_result:
        fd = self.open(path, O_PATH | (0 if follow else os.O_NOFOLLOW))
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def list(self, path: str) -> list[tuple[str, os.stat_result]]:
        """Sorted names with the state of each (links not followed); `.` and `..` come first, as from adbd."""
        fd = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            entries = []
            for name in (".", "..", *sorted(os.listdir(fd))):
                try:
                    entries.append((name, os.stat(name, dir_fd=fd, follow_symlinks=False)))
                except FileNotFoundError:
                    continue
            return entries
        finally:
            os.close(fd)

    def make_directories(self, path: str) -> None:
        """Make a directory and those above it."""
        parent, _, name = path.rstrip("/").rpartition("/")
        if not name:
            return
        try:
            if stat.S_ISDIR(self.stat(path, follow=True).st_mode):
                return
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        except FileNotFoundError:
            pass
        self.make_directories(parent)
        fd = self._parent(path)
        try:
            os.mkdir(name, 0o775, dir_fd=fd)
        finally:
            os.close(fd)

    def remove(self, path: str) -> None:
        """Remove a file or link; a missing one is no error."""
        fd = self._parent(path)
        try:
            os.unlink(_name(path), dir_fd=fd)
        except FileNotFoundError:
            pass
        finally:
            os.close(fd)

    def link(self, target: bytes, path: str) -> None:
        """Make a symbolic link."""
        fd = self._parent(path)
        try:
            os.symlink(target, os.fsencode(_name(path)), dir_fd=fd)
        finally:
            os.close(fd)

    def _parent(self, path: str) -> int:
        return self.open(path.rstrip("/").rpartition("/")[0] or "/", O_PATH | os.O_DIRECTORY)


def _name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
