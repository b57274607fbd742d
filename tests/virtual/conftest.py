"""An ARM64 test program, and virtual devices in a cache of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.toolchain.cache import cache_directory
from edgekit.virtual import lifecycle
from edgekit.virtual.config import Backend
from edgekit.virtual.machine.tools import prepare_tools
from tests.devices import AdbDevice, AdbHost

PROBE = "/data/local/tmp/probe"


@pytest.fixture(scope="session")
def probe_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`probe.c` for ARM64, without a C library."""
    program = tmp_path_factory.mktemp("probe") / "probe"
    subprocess.run(
        [
            sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-freestanding-none", "-O2",
            "-ffreestanding", "-nostdlib", "-static", "-o", program, Path(__file__).parent / "probe.c",
        ],
        check=True,
        timeout=300,
    )  # fmt: skip
    return program


@pytest.fixture(scope="session")
def device(virtual_device: AdbDevice, probe_program: Path) -> AdbDevice:
    """The shared device with the test program on it."""
    virtual_device.attach()  # fixtures of a session come before those of each test
    pushed = virtual_device.host.adb("-s", virtual_device.serial, "push", str(probe_program), PROBE)
    assert pushed.returncode == 0, pushed.stderr
    return virtual_device


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache in which only this module's devices live; packages are those of the user's cache."""
    prepare_tools(Backend.USERNS, print)
    packages = cache_directory("apt")
    cache = tmp_path_factory.mktemp("cache")
    (cache / "apt").symlink_to(packages)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKIT_CACHE", str(cache))
        yield cache
        lifecycle.stop_all()


@pytest.fixture(scope="module")
def own_device(own_cache: Path, adb_host: AdbHost, probe_program: Path) -> AdbDevice:
    """A device of this module's own, with 64 MiB of storage and the test program."""
    instance = lifecycle.start(serial="own", storage_bytes=64 << 20, boot_ms=300)
    device = AdbDevice(serial=instance.config.address, host=adb_host)
    device.reconnect()
    pushed = adb_host.adb("-s", device.serial, "push", str(probe_program), PROBE)
    assert pushed.returncode == 0, pushed.stderr
    return device
