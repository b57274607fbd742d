"""A virtual device of the fault suite's own, in order again after every test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from edgekit.errors import EdgekitError
from tests.devices import AdbDevice, AdbHost, running_virtual_device

Fails = Callable[..., AbstractContextManager[list[EdgekitError]]]


@pytest.fixture(scope="package")
def faulty(adb_host: AdbHost) -> Iterator[AdbDevice]:
    with running_virtual_device(adb_host, "--storage", "256M") as device:
        yield device


@pytest.fixture
def device(faulty: AdbDevice) -> Iterator[AdbDevice]:
    """The device without faults; whatever a test armed is cleared and the link is made anew."""
    yield faulty
    faulty.fault("--clear")
    faulty.host.start()
    faulty.reconnect()
    faulty.open().run(["sh", "-c", "chmod -R u+w /data/local/tmp; rm -rf /data/local/tmp/*"])


@pytest.fixture
def fails(device: AdbDevice) -> Fails:
    """`with fails(7, "word", within_s=5)`: the documented exit code, the device and the cause by name."""

    @contextmanager
    def expect(exit_code: int, *words: str, within_s: float) -> Iterator[list[EdgekitError]]:
        started = time.monotonic()
        caught: list[EdgekitError] = []
        with pytest.raises(EdgekitError) as raised:
            yield caught
        elapsed = time.monotonic() - started
        error = raised.value
        caught.append(error)
        assert error.exit_code == exit_code, error.message
        assert elapsed < within_s, f"{elapsed:.1f} s: {error.message}"
        for word in (device.serial, *words):
            assert word in error.message, error.message
        assert error.hint, error.message

    return expect
