"""Faults of the link to a device: each ends in time, with its exit code, naming device and cause."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from edgekit._files import sha256_file
from edgekit.errors import DeviceError, EdgekitError
from edgekit.transports.connect import open_devices
from tests.conftest import RunCli
from tests.devices import AdbDevice, AdbHost, running_virtual_device
from tests.faults.conftest import Fails
from tests.ports import free_port

FAR = "/data/local/tmp/faults/file"
MEGABYTE = 1_000_000


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    path = tmp_path / "payload"
    path.write_bytes(os.urandom(4 * MEGABYTE))
    return path


def _no_trace(device: AdbDevice) -> None:
    """Nothing lies under the final name once the device is back."""
    device.fault("--clear")
    device.reconnect()
    assert "file" not in device.open().list_files("/data/local/tmp/faults")


def test_no_adb_program(run_cli: RunCli, tmp_path: Path) -> None:
    environment = {"ADBUTILS_ADB_PATH": "/no/such/adb", "ANDROID_ADB_SERVER_PORT": str(free_port())}
    result = run_cli(["devices"], cwd=tmp_path, env=environment)
    assert (result.exit_code, result.stdout) == (4, "")
    assert "/no/such/adb" in result.stderr
    assert "hint: unset ADBUTILS_ADB_PATH" in result.stderr


def test_a_remote_server_that_is_not_there(run_cli: RunCli, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    result = run_cli(["devices", "--adb-server", address], cwd=tmp_path)
    assert (result.exit_code, result.stdout) == (4, "")
    assert f"adb server at {address}" in result.stderr
    assert "hint: " in result.stderr


def test_a_local_server_is_started(run_cli: RunCli, tmp_path: Path) -> None:
    host = AdbHost(port=free_port(), home=tmp_path)
    try:
        result = run_cli(["devices", "--json"], cwd=tmp_path, env={**host.environment, "HOME": str(tmp_path)})
        assert (result.exit_code, result.stdout.strip()) == (0, "[]")
    finally:
        host.stop()


def test_no_device(run_cli: RunCli, tmp_path: Path) -> None:
    host = AdbHost(port=free_port(), home=tmp_path)
    host.start()
    try:
        result = run_cli(["push", "--engine", "onnxruntime"], cwd=tmp_path, env=host.environment)
    finally:
        host.stop()
    assert (result.exit_code, result.stdout) == (6, "")
    assert "none is attached" in result.stderr
    assert "edgekit virtual start" in result.stderr
    assert "--host" in result.stderr


def test_several_devices_and_none_named(
    run_cli: RunCli, tmp_path: Path, device: AdbDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_virtual_device(device.host) as other:
        result = run_cli(["push", "--clean"], cwd=tmp_path)
        assert (result.exit_code, result.stdout) == (6, "")
        assert device.serial in result.stderr
        assert other.serial in result.stderr
        monkeypatch.setenv("ANDROID_SERIAL", other.serial)
        assert [transport.serial for transport in open_devices([])] == [other.serial]
        listed = run_cli(["devices"], cwd=tmp_path)
        assert listed.exit_code == 0
        assert {device.serial, other.serial} <= set(listed.stdout.split())


def test_a_device_that_is_not_attached(device: AdbDevice) -> None:
    with pytest.raises(DeviceError, match="NOSUCH") as raised:
        open_devices(["NOSUCH"])
    assert device.serial in raised.value.message


def test_refused(fails: Fails, device: AdbDevice) -> None:
    device.host.adb("disconnect", device.serial)
    device.fault("refuse")
    with fails(6, "onnect", within_s=12):
        open_devices([device.serial])


def test_unauthorised(fails: Fails, device: AdbDevice) -> None:
    device.fault("unauthorized")
    device.host.adb("disconnect", device.serial)
    with fails(6, "unauthorised", within_s=12) as caught:
        open_devices([device.serial])
    assert "Allow USB debugging" in str(caught[0].hint)


def test_unauthorised_is_listed_with_its_state(device: AdbDevice, run_cli: RunCli, tmp_path: Path) -> None:
    device.fault("unauthorized")
    device.host.adb("disconnect", device.serial)
    device.host.adb("connect", device.serial)
    result = run_cli(["devices"], cwd=tmp_path)
    assert result.exit_code == 0
    assert f"{device.serial}  unauthorized" in result.stdout
    assert "Allow USB debugging" in result.stderr


@pytest.mark.slow
def test_offline(fails: Fails, device: AdbDevice) -> None:
    device.fault("offline")
    device.host.adb("disconnect", device.serial)
    with fails(6, within_s=20):
        open_devices([device.serial])


def test_server_killed_in_a_command(fails: Fails, device: AdbDevice) -> None:
    transport = device.open()
    threading.Timer(1.0, device.host.stop).start()
    with fails(7, f"adb server at 127.0.0.1:{device.host.port} went away", within_s=8):
        transport.run(["sleep", "20"], timeout_s=30)


def test_link_cut_in_a_push(fails: Fails, device: AdbDevice, payload: Path) -> None:
    device.fault("drop_after_push", str(MEGABYTE))
    with fails(7, "pushing payload", within_s=10):
        device.open().push(payload, FAR)
    _no_trace(device)


def test_link_cut_in_a_pull(fails: Fails, device: AdbDevice, payload: Path, tmp_path: Path) -> None:
    device.open().push(payload, FAR)
    device.fault("drop_after_pull", str(MEGABYTE))
    with fails(7, f"pulling {FAR}", within_s=10):
        device.open().pull(FAR, tmp_path / "got")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["payload"]


def test_link_cut_in_a_command(fails: Fails, device: AdbDevice) -> None:
    device.fault("drop_after_shell", "1000")
    with fails(7, "running sh", within_s=10):
        device.open().run(["sh", "-c", "while echo line; do :; done"])


def test_link_cut_in_a_dialogue(fails: Fails, device: AdbDevice) -> None:
    process = device.open().open(["cat"])
    process.write_line("one")
    assert process.read_line(10) == "one"
    threading.Timer(0.5, lambda: device.host.adb("disconnect", device.serial)).start()
    with fails(7, "running cat", within_s=10):
        process.read_line(20)


def test_hang_when_a_service_is_opened(fails: Fails, device: AdbDevice) -> None:
    transport = device.open()
    device.fault("hang_open")
    with fails(7, "no answer within 2 s", within_s=8):
        transport.run(["true"], timeout_s=2)


def test_hang_in_a_push(fails: Fails, device: AdbDevice, payload: Path) -> None:
    device.fault("hang_push", str(MEGABYTE))
    with fails(7, "pushing payload", "stalled", within_s=12):
        device.open().push(payload, FAR, standstill_s=3)
    _no_trace(device)


def test_hang_in_a_pull(fails: Fails, device: AdbDevice, payload: Path, tmp_path: Path) -> None:
    device.open().push(payload, FAR)
    device.fault("hang_pull", str(MEGABYTE))
    with fails(7, f"pulling {FAR}", "stalled", within_s=8):
        device.open().pull(FAR, tmp_path / "got", standstill_s=3)
    assert not (tmp_path / "got").exists()


def test_hang_in_a_command(fails: Fails, device: AdbDevice) -> None:
    device.fault("hang_shell", "100")
    with fails(7, "running sh", "2 s", within_s=15):
        device.open().run(["sh", "-c", "while echo line; do :; done"], timeout_s=2)


def test_a_slow_link_is_no_fault(device: AdbDevice, payload: Path) -> None:
    device.fault("slow", str(2 * MEGABYTE))
    started = time.monotonic()
    device.open().push(payload, FAR)
    assert time.monotonic() - started > 1
    assert device.open().list_files("/data/local/tmp/faults") == ["file"]


def test_a_push_that_moves_is_not_cut(device: AdbDevice, payload: Path) -> None:
    """It takes many times as long as the link may stand still."""
    device.fault("slow", str(2 * MEGABYTE))
    arrived: list[int] = []
    started = time.monotonic()
    device.open().push(payload, FAR, standstill_s=0.4, progress=arrived.append)
    assert time.monotonic() - started > 1.2
    assert sum(arrived) == payload.stat().st_size
    assert device.open().sha256([FAR]) == {FAR: sha256_file(payload)}


def test_a_shell_that_greets_is_understood(device: AdbDevice) -> None:
    device.fault("greeting", "Welcome to the board!")
    transport = device.open()
    assert transport.run(["echo", "one"], timeout_s=5).stdout == "one\n"
    process = transport.open(["cat"])
    process.write_line("two")
    assert process.read_line(5) == "two"
    process.close()


def test_disk_full(fails: Fails, device: AdbDevice, payload: Path) -> None:
    device.fault("disk_full", str(2 * MEGABYTE))
    with fails(6, "No space left", within_s=10) as caught:
        device.open().push(payload, FAR)
    assert "push --clean" in str(caught[0].hint)
    assert device.open().list_files("/data/local/tmp/faults") == []


def test_read_only_directory(fails: Fails, device: AdbDevice, payload: Path) -> None:
    device.open().run(["mkdir", "-p", "/data/local/tmp/faults"])
    device.fault("read_only", "/data/local/tmp/faults")
    with fails(6, "pushing payload", within_s=10):
        device.open().push(payload, FAR)


def test_reboot_in_a_command(fails: Fails, device: AdbDevice) -> None:
    device.fault("reboot_at_shell", "500", "--once")
    with fails(7, "running sleep", within_s=10):
        device.open().run(["sleep", "20"], timeout_s=30)


def test_a_device_that_came_back_is_connected_anew(device: AdbDevice) -> None:
    device.fault("reboot")
    time.sleep(2.5)
    deadline = time.monotonic() + 20
    while True:
        try:
            transport = open_devices([device.serial])[0]
            break
        except EdgekitError:
            assert time.monotonic() < deadline
            time.sleep(0.5)
    assert transport.run(["echo", "back"]).stdout == "back\n"
