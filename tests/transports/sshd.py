"""A real sshd on loopback for tests: Debian's, unpacked from its packages where it is not installed."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ports import free_port


@dataclass(frozen=True)
class Sshd:
    """A running server; `bin_directory` first on PATH makes `ssh` know its key, user and host key."""

    url: str
    bin_directory: Path
    pid: int
    log: Path


def _find_sshd(cache: Path) -> tuple[Path, dict[str, str]]:
    installed = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if installed:
        return Path(installed), dict(os.environ)
    from edgekit.errors import ToolError
    from edgekit.toolchain.fetch.apt import fetch_packages

    root = cache / "sshd"
    architecture = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    ).stdout.strip()
    try:
        fetch_packages(["openssh-server", "libwrap0"], architecture=architecture, into=root)
    except ToolError as error:
        pytest.skip(f"no sshd here and none to be had: {error.message}")
    libraries = [str(path) for path in root.rglob("*-linux-gnu") if path.parent.name == "lib"]
    return root / "usr/sbin/sshd", {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}


def _as_root_argv(directory: Path, argv: list[str]) -> list[str]:
    """sshd started by root wants a user `sshd` and /run/sshd: both only in its own mount namespace."""
    if os.geteuid() != 0:
        return argv
    passwd = directory / "passwd"
    lines = Path("/etc/passwd").read_text()
    if "\nsshd:" not in lines:
        lines += "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n"
    passwd.write_text(lines)
    setup = 'mount --bind "$1" /etc/passwd && mount -t tmpfs none /run && mkdir -m 755 /run/sshd && shift'
    return ["unshare", "-m", "sh", "-c", f'{setup} && exec "$@"', "sh", str(passwd), *argv]


@contextlib.contextmanager
def running_sshd(directory: Path, cache: Path, configuration: str = "") -> Iterator[Sshd]:
    """A server with a key of its own that lets this user in, stopped at the end with all its sessions."""
    program, environment = _find_sshd(cache)
    for name in ("host_key", "user_key"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)], check=True
        )
    authorized = directory / "authorized_keys"
    shutil.copy(directory / "user_key.pub", authorized)
    authorized.chmod(stat.S_IRUSR | stat.S_IWUSR)
    port, user, log = free_port(), pwd.getpwuid(os.geteuid()).pw_name, directory / "sshd.log"
    (directory / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {directory}/host_key\n"
        f"AuthorizedKeysFile {authorized}\nPidFile {directory}/sshd.pid\nStrictModes no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nPermitRootLogin yes\n"
        f"{configuration}"
    )
    host_key = (directory / "host_key.pub").read_text().split()
    known_hosts = directory / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{port} {host_key[0]} {host_key[1]}\n")
    config = directory / "ssh_config"
    config.write_text(
        f"Host *\nIdentityFile {directory}/user_key\nIdentitiesOnly yes\nIdentityAgent none\n"
        f"UserKnownHostsFile {known_hosts}\nGlobalKnownHostsFile none\nStrictHostKeyChecking yes\n"
    )
    wrapper = directory / "bin" / "ssh"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {config} "$@"\n')
    wrapper.chmod(0o755)
    server = subprocess.Popen(
        _as_root_argv(directory, [str(program), "-D", "-f", str(directory / "sshd_config"), "-E", str(log)]),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log.open("ab"),
        start_new_session=True,
    )
    try:
        _await_listening(port, server, log)
        yield Sshd(
            url=f"ssh://{user}@127.0.0.1:{port}", bin_directory=wrapper.parent, pid=server.pid, log=log
        )
    finally:
        server.kill()
        server.wait()


def _await_listening(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 10
    while True:
        if server.poll() is not None:
            pytest.skip(f"sshd does not start here: {log.read_text().strip()[-300:]}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"sshd does not listen: {log.read_text()}")
        time.sleep(0.05)
