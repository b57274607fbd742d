"""Lines that a far shell prints before the command that it was given."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from edgekit.toolchain.cache import cache_directory
from edgekit.transports.far_shell import parse_pid
from edgekit.transports.ssh import SshTransport
from tests.transports.sshd import running_sshd


@pytest.mark.parametrize(
    ("line", "pid"),
    [
        ("edgekit-pid:4711", 4711),
        ("edgekit-pid:4711\r", 4711),
        ("Welcome! edgekit-pid:4711", 4711),
        ("Welcome!", None),
        ("edgekit-pid:", None),
        ("edgekit-pid:seven", None),
        ("edgekit-pid:12 and more", None),
        ("", None),
    ],
)
def test_the_process_id_is_found_behind_greetings(line: str, pid: int | None) -> None:
    assert parse_pid(line) == pid


def test_a_login_that_greets_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """bash reads $BASH_ENV for every command, as it reads ~/.bashrc under some systems' sshd."""
    if not pwd.getpwuid(os.geteuid()).pw_shell.endswith("bash"):
        pytest.skip("needs a login with bash")
    (tmp_path / "greeting").write_text("echo Welcome; printf 'to the board '")
    (tmp_path / "sshd").mkdir()
    payload = tmp_path / "payload"
    payload.write_bytes(os.urandom(300_000))
    with running_sshd(
        tmp_path / "sshd", cache_directory("apt"), f"SetEnv BASH_ENV={tmp_path}/greeting\n"
    ) as server:
        monkeypatch.setenv("PATH", f"{server.bin_directory}{os.pathsep}{os.environ['PATH']}")
        transport = SshTransport(server.url)
        assert transport.run(["echo", "one"], timeout_s=10).stdout == "one\n"
        arrived: list[int] = []
        transport.push(payload, str(tmp_path / "there" / "payload"), progress=arrived.append)
        assert sum(arrived) == 300_000
        transport.pull(str(tmp_path / "there" / "payload"), tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == payload.read_bytes()
        transport.close()
