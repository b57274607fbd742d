"""Devices for tests: a private adb server, virtual devices on it, and what goes wrong on them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.toolchain.adb import find_adb
from edgekit.transports.adb import AdbTransport
from edgekit.transports.adb_server import AdbServer
from tests.ports import free_port

START_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class AdbHost:
    """A private adb server: its port, its keys' home, and the environment that reaches it."""

    port: int
    home: Path

    @property
    def server(self) -> AdbServer:
        return AdbServer(port=self.port)

    @property
    def environment(self) -> dict[str, str]:
        return {"ANDROID_ADB_SERVER_PORT": str(self.port), "ADB_MDNS": "0"}

    def adb(self, *arguments: str, timeout_s: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Run the adb program against this server."""
        return subprocess.run(
            [find_adb(), "-P", str(self.port), *arguments],
            env={**os.environ, **self.environment, "HOME": str(self.home)},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def start(self) -> None:
        done = self.adb("start-server")
        assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        self.adb("kill-server")


@dataclass
class AdbDevice:
    """A virtual device that the adb server is connected to."""

    serial: str
    host: AdbHost
    environment: dict[str, str] = field(default_factory=dict)

    def open(self) -> AdbTransport:
        return AdbTransport(self.serial, self.host.server)

    def fault(self, *arguments: str) -> None:
        """`edgekit virtual fault SERIAL ...`."""
        edgekit(["virtual", "fault", self.serial, *arguments], env=self.environment)

    def attach(self) -> None:
        """Bring the device back if a test before ended the adb server or cut the device off."""
        if f"{self.serial}\tdevice" not in self.host.adb("devices").stdout:
            self.host.start()
            self.reconnect()

    def reconnect(self, timeout_s: float = 15.0) -> None:
        """Bring the device back after a fault: disconnect, connect, wait until it answers."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.host.adb("disconnect", self.serial)
            self.host.adb("connect", self.serial)
            if self.host.adb("-s", self.serial, "shell", "true").returncode == 0:
                return
            assert time.monotonic() < deadline, self.host.adb("devices").stdout
            time.sleep(0.2)


def edgekit(
    arguments: Sequence[str], *, env: Mapping[str, str], timeout_s: float = START_TIMEOUT_S
) -> subprocess.CompletedProcess[str]:
    """Run edgekit, which must end well."""
    done = subprocess.run(
        [sys.executable, "-m", "edgekit", *arguments],
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"edgekit {' '.join(arguments)}: {done.stderr}"
    return done


@contextlib.contextmanager
def running_adb_server(home: Path) -> Iterator[AdbHost]:
    """An adb server of this test run's own, stopped at the end."""
    host = AdbHost(port=free_port(), home=home)
    host.start()
    try:
        yield host
    finally:
        host.stop()


@contextlib.contextmanager
def running_virtual_device(host: AdbHost, *options: str) -> Iterator[AdbDevice]:
    """A virtual device on that server, stopped at the end."""
    done = edgekit(["virtual", "start", "--json", *options], env=host.environment)
    serial = json.loads(done.stdout)["address"]
    device = AdbDevice(serial=serial, host=host, environment=host.environment)
    try:
        device.reconnect()
        yield device
    finally:
        edgekit(["virtual", "stop", serial], env=host.environment)
        host.adb("disconnect", serial)
