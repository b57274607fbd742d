"""Faults of the device as the real adb sees them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.errors import DeviceError
from edgekit.virtual import lifecycle
from edgekit.virtual.faults.faults import FaultName, parse_fault
from tests.devices import AdbDevice
from tests.virtual.conftest import PROBE

LARGE_BYTES = 4 << 20


@pytest.fixture
def faulty(own_device: AdbDevice) -> Iterator[AdbDevice]:
    """The module's device; whatever a test arms is cleared and the link mended."""
    yield own_device
    lifecycle.clear_faults(own_device.serial)
    own_device.reconnect()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large"
    path.write_bytes(bytes(LARGE_BYTES))
    return path


def arm(device: AdbDevice, name: str, *values: str, once: bool = False) -> None:
    lifecycle.set_fault(device.serial, parse_fault(name, values, once=once))


def adb(device: AdbDevice, *arguments: str, timeout_s: float = 30.0) -> subprocess.CompletedProcess[str]:
    return device.host.adb("-s", device.serial, *arguments, timeout_s=timeout_s)


def test_a_link_cut_in_a_push_leaves_a_partial_file(faulty: AdbDevice, large: Path) -> None:
    arm(faulty, "drop_after_push", "1000000", once=True)
    assert adb(faulty, "push", str(large), "/data/local/tmp/cut").returncode != 0
    faulty.reconnect()
    size = int(adb(faulty, "shell", "stat -c %s /data/local/tmp/cut").stdout)
    assert 900_000 < size < LARGE_BYTES
    assert lifecycle.list_faults(faulty.serial) == (), "it was to strike once"
    assert adb(faulty, "push", str(large), "/data/local/tmp/cut").returncode == 0


def test_a_link_cut_in_a_pull_does_not_end_well(faulty: AdbDevice, large: Path, tmp_path: Path) -> None:
    assert adb(faulty, "push", str(large), "/data/local/tmp/large").returncode == 0
    arm(faulty, "drop_after_pull", "1000000", once=True)
    assert adb(faulty, "pull", "/data/local/tmp/large", str(tmp_path / "part")).returncode != 0
    part = tmp_path / "part"
    assert not part.exists() or part.stat().st_size < LARGE_BYTES


def test_a_link_cut_in_a_command_keeps_what_was_said_before(faulty: AdbDevice) -> None:
    arm(faulty, "drop_after_shell", "10", once=True)
    done = adb(faulty, "shell", "echo 0123456789abcdef; sleep 5")
    assert done.stdout == "0123456789"
    assert done.returncode != 0


@pytest.mark.parametrize("name", ["hang_open", "hang_shell"])
def test_a_hanging_command_says_nothing_until_it_is_cleared(faulty: AdbDevice, name: str) -> None:
    arm(faulty, name)
    with pytest.raises(subprocess.TimeoutExpired):
        adb(faulty, "shell", "echo late", timeout_s=1.0)
    lifecycle.clear_faults(faulty.serial, FaultName(name))
    assert adb(faulty, "shell", "echo late").stdout == "late\n"


@pytest.mark.parametrize("name", ["hang_push", "hang_pull"])
def test_a_hanging_transfer_stops_in_the_middle(
    faulty: AdbDevice, large: Path, tmp_path: Path, name: str
) -> None:
    assert adb(faulty, "push", str(large), "/data/local/tmp/large").returncode == 0
    arm(faulty, name, "1000000")
    words = {
        "hang_push": ("push", str(large), "/data/local/tmp/other"),
        "hang_pull": ("pull", "/data/local/tmp/large", str(tmp_path / "back")),
    }[name]
    with pytest.raises(subprocess.TimeoutExpired):
        adb(faulty, *words, timeout_s=1.5)
    lifecycle.clear_faults(faulty.serial)
    assert adb(faulty, *words).returncode == 0


def test_offline(faulty: AdbDevice) -> None:
    arm(faulty, "offline")
    _wait_for_line(faulty, "offline")
    done = adb(faulty, "shell", "true")
    assert done.returncode != 0
    assert "offline" in done.stderr


def test_unauthorized(faulty: AdbDevice) -> None:
    arm(faulty, "unauthorized")
    _wait_for_line(faulty, "unauthorized")
    assert "unauthorized" in adb(faulty, "shell", "true").stderr


def test_a_refused_connection(faulty: AdbDevice) -> None:
    arm(faulty, "refuse")
    faulty.host.adb("disconnect", faulty.serial)
    # adb does not always say why.
    assert "failed to connect" in faulty.host.adb("connect", faulty.serial).stdout
    lifecycle.clear_faults(faulty.serial)
    assert "connected to" in faulty.host.adb("connect", faulty.serial).stdout


def _wait_for_line(device: AdbDevice, state: str) -> None:
    deadline = time.monotonic() + 10
    while f"{device.serial}\t{state}" not in (listed := device.host.adb("devices").stdout):
        assert time.monotonic() < deadline, listed
        time.sleep(0.1)


def test_a_full_disk_for_pushes_and_programs(faulty: AdbDevice, large: Path) -> None:
    arm(faulty, "disk_full", "65536")
    done = adb(faulty, "push", str(large), "/data/local/tmp/large2")
    assert "No space left on device" in done.stderr
    assert adb(faulty, "shell", "ls /data/local/tmp/large2").returncode != 0
    filled = adb(faulty, "shell", "dd if=/dev/zero of=/data/local/tmp/filled bs=100000 count=10")
    assert "No space left on device" in filled.stderr
    adb(faulty, "shell", "rm /data/local/tmp/filled")
    lifecycle.clear_faults(faulty.serial)
    assert adb(faulty, "push", str(large), "/data/local/tmp/large2").returncode == 0


def test_a_read_only_directory(faulty: AdbDevice, large: Path) -> None:
    adb(faulty, "shell", "mkdir -p /data/local/tmp/sealed")
    arm(faulty, "read_only", "/data/local/tmp/sealed")
    assert "Read-only" in adb(faulty, "push", str(large), "/data/local/tmp/sealed/x").stderr
    assert "Read-only" in adb(faulty, "shell", "touch /data/local/tmp/sealed/x").stderr
    lifecycle.clear_faults(faulty.serial)
    assert adb(faulty, "shell", "touch /data/local/tmp/sealed/x").returncode == 0
    with pytest.raises(DeviceError, match="No such file"):
        arm(faulty, "read_only", "/data/local/tmp/nowhere")


def test_a_program_is_killed_as_for_memory(faulty: AdbDevice) -> None:
    arm(faulty, "kill", "probe wait")
    done = adb(faulty, "shell", f"{PROBE} exit 3; echo $?; {PROBE} wait; echo $?")
    assert done.stdout.split() == ["hello", "3", "137"]
    assert lifecycle.list_faults(faulty.serial) == ()


def test_a_reboot_in_the_middle_of_a_command(faulty: AdbDevice) -> None:
    arm(faulty, "reboot_at_shell", "200", once=True)
    started = time.monotonic()
    done = adb(faulty, "shell", "echo begun; sleep 20; echo done")
    assert done.stdout == "begun\n"
    assert done.returncode != 0
    assert time.monotonic() - started < 10
    faulty.reconnect()
    assert adb(faulty, "shell", "echo again").stdout == "again\n"


def test_the_wall_clock_jumps_and_the_steady_clock_does_not(faulty: AdbDevice) -> None:
    before_wall, before_steady = _clocks(faulty)
    arm(faulty, "clock_jump", "-3600.25")
    wall, steady = _clocks(faulty)
    assert wall - before_wall == pytest.approx(-3600.25e9, abs=20e9)
    assert 0 < steady - before_steady < 20e9
    # Seconds and nanoseconds carry into each other: shifted and true time differ by exactly the jump.
    assert abs((before_wall - wall) - 3600.25e9 + (steady - before_steady)) < 50e6
    lifecycle.clear_faults(faulty.serial)
    wall, steady = _clocks(faulty)
    assert abs((wall - before_wall) - (steady - before_steady)) < 50e6


def _clocks(device: AdbDevice) -> tuple[int, int]:
    wall, steady = map(int, adb(device, "shell", f"{PROBE} clock").stdout.split())
    return wall, steady


def test_a_slow_link_is_slow(faulty: AdbDevice, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(300_000))
    arm(faulty, "slow", "200000")
    started = time.monotonic()
    assert adb(faulty, "push", str(tmp_path / "file"), "/data/local/tmp/slow").returncode == 0
    assert time.monotonic() - started > 1.4


def test_frequency_temperature_and_battery_change_while_it_runs(faulty: AdbDevice) -> None:
    arm(faulty, "frequency", "5", "710400")
    arm(faulty, "temperature", "cpu-1-0-usr", "88.5")
    arm(faulty, "battery", "12")
    done = adb(
        faulty, "shell",
        "for i in 0 4 5 6 7; do cat /sys/devices/system/cpu/cpu$i/cpufreq/scaling_cur_freq; done;"
        "cat /sys/class/thermal/thermal_zone1/temp; dumpsys battery | grep level",
    )  # fmt: skip
    assert done.stdout.split() == [
        "1785600", "710400", "710400", "710400", "2841600", "88500", "level:", "12",
    ]  # fmt: skip
    with pytest.raises(DeviceError, match="there is no core 8"):
        arm(faulty, "frequency", "8", "1")
    with pytest.raises(DeviceError, match="no thermal zone nose"):
        arm(faulty, "temperature", "nose", "1")
