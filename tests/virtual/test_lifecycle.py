"""Starting, finding and stopping virtual devices."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from edgekit import _process
from edgekit.device.survey import survey
from edgekit.errors import DeviceError, UsageError
from edgekit.toolchain.adb import find_adb
from edgekit.virtual import lifecycle
from edgekit.virtual.config import AuthMode, Backend
from edgekit.virtual.faults.faults import parse_fault
from edgekit.virtual.machine.sandbox import descendants
from edgekit.virtual.state import Instance, end_instance, find_instance, list_instances
from tests.conftest import RunCli
from tests.devices import AdbDevice, AdbHost
from tests.processes import alive
from tests.virtual.conftest import PROBE


@pytest.fixture(autouse=True)
def nothing_left(own_cache: Path, adb_host: AdbHost) -> None:
    lifecycle.stop_all()


def _state(host: AdbHost, instance: Instance) -> str:
    return host.adb("-s", instance.config.address, "get-state").stdout.strip()


def _family(instance: Instance) -> list[int]:
    assert instance.pid is not None
    return [instance.pid, *descendants(instance.pid)]


def test_starting_connects_and_stopping_leaves_nothing(adb_host: AdbHost) -> None:
    instance = lifecycle.start(serial="one")
    assert _state(adb_host, instance) == "device"
    # A program that ignores every polite request, and one that left its session.
    adb_host.adb(
        "-s", instance.config.address, "shell",
        "trap '' HUP TERM INT; (sleep 888 & setsid sleep 889 &) > /dev/null 2>&1",
    )  # fmt: skip
    family = _family(instance)
    assert len(family) >= 4
    lifecycle.stop("one")
    assert not [pid for pid in family if Path(f"/proc/{pid}").exists()]
    assert not instance.directory.exists()
    assert instance.config.address not in adb_host.adb("devices").stdout


def test_several_at_once_do_not_share_anything(adb_host: AdbHost, tmp_path: Path) -> None:
    first, second = lifecycle.start(), lifecycle.start(soc="rpi4", storage_bytes=32 << 20)
    assert first.config.port != second.config.port
    addresses = {first.config.address, second.config.address}
    for named in (["all"], [first.config.address, "all"]):
        found = [one.info.serial for one in survey(named)]
        assert addresses <= set(found) and len(found) == len(set(found))
    shell = {
        instance.config.serial: adb_host.adb(
            "-s", instance.config.address, "shell",
            "echo $$ > /data/local/tmp/mine; ls /data/local/tmp; getprop ro.soc.model; ps | grep -c sleep",
        ).stdout.split()
        for instance in (first, second)
    }  # fmt: skip
    assert shell["sd855-1"][:2] == ["mine", "SM8150"]
    assert shell["rpi4-1"][:2] == ["mine", "BCM2711"]
    lifecycle.stop(first.config.address)
    assert _state(adb_host, second) == "device"
    assert [instance.config.serial for instance in list_instances()] == ["rpi4-1"]


def test_an_interrupted_start_leaves_nothing(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    start_daemon = _process.start_daemon

    def interrupted(argv: Sequence[str | Path], *, log_path: Path) -> int:
        started.append(start_daemon(argv, log_path=log_path))
        patch.setattr(lifecycle, "read_instance", interrupt)
        return started[0]

    def interrupt(directory: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_process, "start_daemon", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lifecycle.start(serial="one", connect=False)
    assert not [pid for pid in started if alive(pid)]
    assert started and not (own_cache / "virtual" / "one").exists()


def test_a_child_without_a_command_line_of_its_own_is_ended(tmp_path: Path) -> None:
    device = tmp_path / "device"
    device.mkdir()
    pid = _process.start_daemon(["sleep", "60"], log_path=tmp_path / "log")
    end_instance(pid, device, is_child=True)
    assert not alive(pid) and not device.exists()


def test_a_port_that_is_none_is_said(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lifecycle.start(serial="one")
    with monkeypatch.context() as patch:
        patch.setenv("ANDROID_ADB_SERVER_PORT", "none")
        with pytest.raises(UsageError, match="'none' is no port number"):
            lifecycle.stop("one")
    lifecycle.stop("one")


def test_starting_twice_is_starting_once(adb_host: AdbHost) -> None:
    first = lifecycle.start(serial="same")
    again = lifecycle.start(serial="same")
    assert (first.pid, first.config.port) == (again.pid, again.config.port)
    with pytest.raises(UsageError, match="running as sd855"):
        lifecycle.start(serial="same", soc="rpi4")


def test_a_device_that_crashed_is_started_afresh(adb_host: AdbHost) -> None:
    instance = lifecycle.start(serial="crash")
    family = _family(instance)
    assert instance.pid is not None
    os.kill(instance.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in family):
        assert time.monotonic() < deadline, "process 1 outlived its parent"
        time.sleep(0.02)
    assert not find_instance("crash").running
    with pytest.raises(DeviceError, match="is not running"):
        lifecycle.list_faults("crash")
    again = lifecycle.start(serial="crash")
    assert again.pid != instance.pid
    assert _state(adb_host, again) == "device"


def test_it_survives_the_end_of_the_adb_server(adb_host: AdbHost) -> None:
    instance = lifecycle.start(serial="survivor")
    address = instance.config.address
    adb_host.adb("-s", address, "shell", "echo kept > /data/local/tmp/kept")
    adb_host.adb("kill-server")
    adb_host.start()
    assert "connected to" in adb_host.adb("connect", address).stdout
    device = AdbDevice(serial=address, host=adb_host)
    device.reconnect()
    assert adb_host.adb("-s", address, "shell", "cat /data/local/tmp/kept").stdout == "kept\n"


def test_a_reboot_ends_programs_and_keeps_files(adb_host: AdbHost) -> None:
    instance = lifecycle.start(serial="reboot", boot_ms=300)
    address = instance.config.address
    adb_host.adb("-s", address, "shell", "echo kept > /data/local/tmp/kept; sleep 999 > /dev/null 2>&1 &")
    assert adb_host.adb("-s", address, "reboot").returncode == 0
    AdbDevice(serial=address, host=adb_host).reconnect()
    done = adb_host.adb("-s", address, "shell", "cat /data/local/tmp/kept; ps | grep -c 'sleep 99[9]'")
    assert done.stdout.split() == ["kept", "0"]


def test_storage_is_as_large_as_asked(adb_host: AdbHost, tmp_path: Path) -> None:
    instance = lifecycle.start(serial="small", storage_bytes=8 << 20)
    address = instance.config.address
    listed = adb_host.adb("-s", address, "shell", "df -k /data/local/tmp | tail -1").stdout.split()
    assert listed[1] == "8192"
    (tmp_path / "large").write_bytes(bytes(9 << 20))
    done = adb_host.adb("-s", address, "push", str(tmp_path / "large"), "/data/local/tmp/large")
    assert done.returncode != 0
    assert "No space left on device" in done.stderr
    assert adb_host.adb("-s", address, "shell", "ls /data/local/tmp").stdout == ""


def test_an_unauthorised_device_becomes_one_when_allowed(adb_host: AdbHost) -> None:
    instance = lifecycle.start(serial="asks", auth=AuthMode.PROMPT)
    address = instance.config.address
    assert "unauthorized" in adb_host.adb("devices").stdout
    lifecycle.set_fault("asks", parse_fault("authorize"))
    AdbDevice(serial=address, host=adb_host).reconnect()
    assert adb_host.adb("-s", address, "shell", "echo in").stdout == "in\n"


def test_a_device_that_denies_stays_unauthorised(adb_host: AdbHost) -> None:
    instance = lifecycle.start(serial="denies", auth=AuthMode.DENY)
    done = adb_host.adb("-s", instance.config.address, "shell", "true")
    assert done.returncode != 0
    assert "unauthorized" in done.stderr


def test_wrong_names_are_refused() -> None:
    with pytest.raises(UsageError, match="serial"):
        lifecycle.start(serial="../up")
    with pytest.raises(DeviceError, match="no virtual device nowhere"):
        lifecycle.stop("nowhere")


def test_without_namespaces_it_runs_on_proot(adb_host: AdbHost, probe_program: Path) -> None:
    instance = lifecycle.start(serial="proot", backend=Backend.PROOT)
    address = instance.config.address
    assert adb_host.adb("-s", address, "push", str(probe_program), PROBE).returncode == 0
    done = adb_host.adb(
        "-s",
        address,
        "shell",
        f"id -u; uname -m; tail -1 /proc/cpuinfo; getprop ro.edgekit.icount; {PROBE} exit 9",
    )
    assert done.returncode == 9
    assert done.stdout.splitlines() == [
        "2000", "aarch64", "Hardware\t: Qualcomm Technologies, Inc SM8150", "0", "hello",
    ]  # fmt: skip
    client = subprocess.Popen(
        [find_adb(), "-P", str(adb_host.port), "-s", address, "shell", "sleep 887 & setsid sleep 886"],
        stdin=subprocess.DEVNULL,
    )
    time.sleep(0.5)
    family = _family(instance)
    assert len(family) >= 3
    lifecycle.stop("proot")
    client.wait(10)
    assert not [pid for pid in family if alive(pid)]


def test_a_storage_limit_needs_namespaces() -> None:
    with pytest.raises(UsageError, match="--storage needs the userns backend"):
        lifecycle.start(backend=Backend.PROOT, storage_bytes=8 << 20)


def test_the_command_line(run_cold_cli: RunCli, tmp_path: Path, adb_host: AdbHost) -> None:
    started = run_cold_cli(["virtual", "start", "--serial", "cli", "--storage", "16M"], cwd=tmp_path)
    assert started.exit_code == 0, started.stderr
    address = started.stdout.strip()
    assert adb_host.adb("-s", address, "get-state").stdout == "device\n"
    listed = json.loads(run_cold_cli(["virtual", "list", "--json"], cwd=tmp_path).stdout)
    assert [(row["serial"], row["address"], row["ready"]) for row in listed] == [("cli", address, True)]
    assert listed[0]["storage_bytes"] == 16 << 20

    armed = run_cold_cli(["virtual", "fault", address, "slow", "1000000", "--once"], cwd=tmp_path)
    assert armed.stdout == "slow 1000000 once\n"
    cleared = run_cold_cli(["virtual", "fault", "cli", "--clear"], cwd=tmp_path)
    assert (cleared.exit_code, cleared.stdout) == (0, "")
    wrong = run_cold_cli(["virtual", "fault", "cli", "explode"], cwd=tmp_path)
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "no fault 'explode'" in wrong.stderr

    described = run_cold_cli(["devices", "--device", "cli", "--json"], cwd=tmp_path)
    assert [one["serial"] for one in json.loads(described.stdout)] == [address]

    stopped = run_cold_cli(["virtual", "stop"], cwd=tmp_path)
    assert (stopped.exit_code, stopped.stdout) == (0, "")
    assert f"stopped {address} (cli)" in stopped.stderr
    missing = run_cold_cli(["virtual", "stop", "cli"], cwd=tmp_path)
    assert missing.exit_code == 6
    assert "no virtual device cli" in missing.stderr
    none = run_cold_cli(["virtual", "stop"], cwd=tmp_path)
    assert none.exit_code == 2
    assert "none running" in none.stderr
