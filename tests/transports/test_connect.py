"""Which devices a command gets, of those that it names."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgekit.errors import DeviceError, EdgekitError
from edgekit.transports.connect import open_devices
from tests.conftest import CliResult

NONE_OF_THEM = ["local", "ssh://"]


def test_a_device_that_cannot_be_opened_ends_the_command() -> None:
    with pytest.raises(DeviceError, match="opening `local`"):
        open_devices(NONE_OF_THEM)


def test_or_is_left_out_and_named() -> None:
    told: dict[str, EdgekitError] = {}
    assert open_devices(NONE_OF_THEM, left_out=told.__setitem__) == []
    assert list(told) == NONE_OF_THEM


def test_bench_names_the_devices_that_it_left_out_and_fails(run_inside: Callable[..., CliResult]) -> None:
    """No model is there either, which is looked for later than the devices."""
    done = run_inside("bench", *(word for device in NONE_OF_THEM for word in ("--device", device)))
    assert done.exit_code == DeviceError.exit_code
    assert "left out: local: opening `local` as a device" in done.stderr
    assert "left out: ssh://: " in done.stderr
    assert done.stdout == ""
