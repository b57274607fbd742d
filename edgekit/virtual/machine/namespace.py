"""Linux namespaces, mounts and capabilities, straight from the C library; nothing here needs root."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from pathlib import Path
from typing import NoReturn

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWUTS = 0x04000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
# statvfs(3) and mount(2) number these flags differently.
KEPT_FLAGS = (
    (os.ST_NOSUID, 2),
    (os.ST_NODEV, 4),
    (os.ST_NOEXEC, 8),
    (os.ST_NOATIME, 1 << 10),
    (os.ST_RELATIME, 1 << 21),
)

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def mount(source: str | Path, target: str | Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2). Raises OSError that names the target."""
    _check(
        _libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            kind.encode() or None,
            ctypes.c_ulong(flags),
            data.encode() or None,
        ),
        f"mounting {kind or source} on {target}",
    )


def bind(source: str | Path, target: str | Path, *, read_only: bool = False) -> None:
    """Show `source` at `target`. A read-only bind takes a second step, see mount(2)."""
    mount(source, target, flags=MS_BIND)
    if read_only:
        remount_read_only(target)


def remount_read_only(target: str | Path) -> None:
    """Make a bind mount read-only, keeping the flags that a user namespace may not clear."""
    shown = os.statvfs(target).f_flag
    kept = sum(flag for bit, flag in KEPT_FLAGS if shown & bit)
    mount("none", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | kept)


def unmount(target: str | Path) -> None:
    """umount2(2), lazily."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), f"unmounting {target}")


def unshare_user(inner_id: int, extra: int = 0) -> None:
    """Enter a new user namespace (and those of `extra`) in which this user and group are `inner_id`."""
    user, group = os.geteuid(), os.getegid()
    _check(_libc.unshare(CLONE_NEWUSER | extra), "making a user namespace")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{inner_id} {user} 1"),
        ("gid_map", f"{inner_id} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 - between fork and exec, nothing imported
            file.write(text)


def enter_private_machine(host_name: str) -> None:
    """Become process 1 of new user, mount, process and host name namespaces.

    The calling process stays outside and waits; it passes SIGTERM on and ends as process 1 ends. With
    process 1 everything in its namespace dies (pid_namespaces(7)), and process 1 dies with its parent.
    """
    unshare_user(0, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS)
    child = os.fork()
    if child:
        _wait_for(child)
    name = host_name.encode()
    _check(_libc.sethostname(name, len(name)), "sethostname")
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL), "prctl")
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV)


def _wait_for(child: int) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: os.kill(child, received))
    while True:
        try:
            _, status = os.waitpid(child, 0)
        except InterruptedError:
            continue
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def drop_file_privileges() -> None:
    """Give up reading and writing what file modes forbid, so that they hold for process 1 as well."""
    header = struct.pack("<Ii", CAPABILITY_VERSION_3, 0)
    data = ctypes.create_string_buffer(24)
    _check(_libc.capget(header, data), "capget")
    sets = list(struct.unpack("<6I", data.raw))
    mask = ~(1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH) & 0xFFFFFFFF
    sets[:3] = [value & mask for value in sets[:3]]
    _check(_libc.capset(header, struct.pack("<6I", *sets)), "capset")


def probe() -> str | None:
    """Return None where this machine lets an ordinary user have a private binfmt_misc, else the reason
    why not.

    A child process tries it, which is the only way to know: kernels, distributions and container
    runtimes forbid it in several ways. (Private binfmt_misc came with Linux 6.7.)
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        reason = b""
        try:
            unshare_user(0, CLONE_NEWNS | CLONE_NEWPID)
            grandchild = os.fork()
            if grandchild == 0:
                mount("none", "/", flags=MS_REC | MS_PRIVATE)
                mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV)
                mount("binfmt_misc", "/proc/sys/fs/binfmt_misc", "binfmt_misc")
                if sorted(os.listdir("/proc/sys/fs/binfmt_misc")) != ["register", "status"]:
                    raise OSError("the kernel shares binfmt_misc with the host (needs Linux 6.7)")
                os._exit(0)
            _, status = os.waitpid(grandchild, 0)
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
        except BaseException as error:
            reason = str(error).encode()
        os.write(writer, reason[:1000] or b"unknown")
        os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        text = stream.read().decode(errors="replace")
    os.waitpid(child, 0)
    return text or None


def become_reaper() -> None:
    """Inherit the orphans among this process's descendants (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    _check(_libc.prctl(PR_SET_CHILD_SUBREAPER, 1), "prctl")
