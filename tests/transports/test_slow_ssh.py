"""A push over ssh on a line of 20 kB a second, with a queue of any length before it."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from edgekit._files import sha256_file
from edgekit.transports.ssh import SshTransport
from tests.transports import slow_relay
from tests.transports.sshd import Sshd

PAYLOAD_BYTES, RATE = 200_000, 20_000


@pytest.fixture
def slow_line(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ssh` on PATH goes through the relay."""
    ssh = shutil.which("ssh")
    assert ssh == str(sshd.bin_directory / "ssh")
    wrapper = tmp_path / "bin" / "ssh"
    wrapper.parent.mkdir()
    relay = f"{sys.executable} {slow_relay.__file__} %h %p {RATE}"
    wrapper.write_text(f'#!/bin/sh\nexec {ssh} -o "ProxyCommand={relay}" "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.slow
def test_a_push_over_a_slow_line_arrives(sshd: Sshd, slow_line: None, tmp_path: Path) -> None:
    """It takes more than twice as long as the line may stand still."""
    payload, far = tmp_path / "payload", str(tmp_path / "far" / "payload")
    payload.write_bytes(os.urandom(PAYLOAD_BYTES))
    arrived: list[int] = []
    transport = SshTransport(sshd.url)
    started = time.monotonic()
    transport.push(payload, far, standstill_s=4, progress=arrived.append)
    assert time.monotonic() - started > 0.9 * PAYLOAD_BYTES / RATE
    assert transport.sha256([far]) == {far: sha256_file(payload)}
    transport.close()
    assert sum(arrived) == PAYLOAD_BYTES
    assert len([count for count in arrived if count]) >= 4
