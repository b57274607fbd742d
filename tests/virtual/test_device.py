"""The device as adb and programs on it see it."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from edgekit.toolchain.adb import find_adb
from edgekit.virtual import lifecycle
from tests.devices import AdbDevice
from tests.virtual.conftest import PROBE


def shell(device: AdbDevice, command: str) -> subprocess.CompletedProcess[str]:
    return device.host.adb("-s", device.serial, "shell", command)


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_exit_codes_arrive(device: AdbDevice, code: int) -> None:
    assert shell(device, f"exit {code}").returncode == code


def test_a_signal_arrives_as_128_and_its_number(device: AdbDevice) -> None:
    assert shell(device, "kill -SEGV $$").returncode == 128 + 11


def test_both_streams_arrive_apart(device: AdbDevice) -> None:
    done = shell(device, "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_features_and_identity(device: AdbDevice) -> None:
    features = device.host.adb("-s", device.serial, "features").stdout.split()
    assert {"shell_v2", "stat_v2", "ls_v2", "cmd", "sendrecv_v2"} <= set(features)
    assert f"{device.serial}" in device.host.adb("devices", "-l").stdout
    assert "model:Snapdragon_855__virtual_" in device.host.adb("devices", "-l").stdout


def test_it_is_an_arm64_machine_of_uid_shell(device: AdbDevice) -> None:
    assert shell(device, "uname -m; id -u; nproc").stdout.split() == ["aarch64", "2000", "8"]


def test_arm64_programs_run(device: AdbDevice) -> None:
    done = shell(device, f"{PROBE} exit 7")
    assert (done.returncode, done.stdout) == (7, "hello\n")


def test_the_soc_decides_which_instructions_there_are(
    device: AdbDevice, own_cache: Path, probe_program: Path
) -> None:
    assert shell(device, f"{PROBE} dot").returncode == 0
    old = AdbDevice(serial=lifecycle.start(soc="a53x8").config.address, host=device.host)
    try:
        assert device.host.adb("-s", old.serial, "push", str(probe_program), PROBE).returncode == 0
        assert shell(old, f"{PROBE} dot").returncode == 128 + 4, "SIGILL: a Cortex-A53 has no sdot"
    finally:
        lifecycle.stop(old.serial)


def test_threads_bind_to_the_cores_of_the_chip_and_not_of_the_host(device: AdbDevice) -> None:
    errno, mask, core = map(int, shell(device, f"{PROBE} cores {0b1010_0000}").stdout.split())
    assert (errno, mask) == (0, 0b1010_0000)
    assert core in (5, 7)
    errno, mask, _ = map(int, shell(device, f"{PROBE} cores {1 << 8}").stdout.split())
    assert (errno, mask) == (22, 0xFF), "there is no core 8"


def test_the_system_is_read_only_and_the_storage_is_not(device: AdbDevice) -> None:
    assert "Read-only file system" in shell(device, "touch /system/bin/x").stderr
    assert shell(device, "echo 1 > /proc/cpuinfo").returncode != 0
    assert "SM8150" in shell(device, "cat /proc/cpuinfo").stdout
    assert shell(device, "touch /data/local/tmp/x && rm /data/local/tmp/x").returncode == 0


def test_properties_can_be_read_and_set(device: AdbDevice) -> None:
    assert shell(device, "getprop ro.soc.model").stdout == "SM8150\n"
    assert shell(device, "getprop ro.edgekit.virtual").stdout == "1\n"
    assert shell(device, "getprop no.such fallback").stdout == "fallback\n"
    assert "[ro.product.cpu.abi]: [arm64-v8a]\n" in shell(device, "getprop").stdout
    assert shell(device, "setprop test.name 'a=b c'; getprop test.name").stdout == "a=b c\n"
    assert shell(device, "setprop ro.soc.model other").returncode == 1


def test_there_is_no_app_runtime_and_it_says_so(device: AdbDevice) -> None:
    for command in ("pm list packages", "am start -n a/b", "cmd package list"):
        done = shell(device, command)
        assert done.returncode == 1
        assert "without an app runtime" in done.stderr


def test_battery_and_screen_are_reported(device: AdbDevice) -> None:
    assert "  level: 87\n" in shell(device, "dumpsys battery").stdout
    assert "state=OFF" in shell(device, "dumpsys power").stdout


@pytest.mark.parametrize("size", [0, 1, 65536, 3 * 1024 * 1024 + 17])
def test_files_come_back_as_they_went(device: AdbDevice, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "out").write_bytes(content)
    remote = f"/data/local/tmp/made/here/{size}"
    assert device.host.adb("-s", device.serial, "push", str(tmp_path / "out"), remote).returncode == 0
    digest = shell(device, f"sha256sum {remote}").stdout.split()[0]
    assert digest == hashlib.sha256(content).hexdigest()
    assert device.host.adb("-s", device.serial, "pull", remote, str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back").read_bytes() == content


def test_a_directory_travels_with_its_modes_and_links(device: AdbDevice, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/run").write_text("#!/system/bin/sh\necho ran\n")
    (tree / "sub/run").chmod(0o755)
    place = "/data/local/tmp/directory"
    assert device.host.adb("-s", device.serial, "push", str(tree), place).returncode == 0
    assert shell(device, f"{place}/sub/run").stdout == "ran\n"
    shell(device, f"ln -sf sub/run {place}/link")
    assert device.host.adb("-s", device.serial, "pull", f"{place}/link", str(tmp_path / "b")).returncode == 0
    assert (tmp_path / "b").read_text() == "#!/system/bin/sh\necho ran\n"


def test_paths_never_lead_out_of_the_device(device: AdbDevice, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("host")
    shell(device, f"ln -sf {secret} /data/local/tmp/escape")
    for path in ("/data/local/tmp/escape", f"/data/../..{secret}", f"/proc/self/root{secret}"):
        done = device.host.adb("-s", device.serial, "pull", path, str(tmp_path / "stolen"))
        assert done.returncode != 0, path
    assert not (tmp_path / "stolen").exists()


def test_a_push_that_may_not_be_leaves_nothing(device: AdbDevice, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = device.host.adb("-s", device.serial, "push", str(tmp_path / "file"), "/system/bin/file")
    assert done.returncode != 0
    assert "Read-only file system" in done.stderr
    assert shell(device, "ls /system/bin/file").returncode != 0


def test_stdin_reaches_a_command_and_ends(device: AdbDevice) -> None:
    content = os.urandom(300_000)
    done = subprocess.run(
        [find_adb(), "-P", str(device.host.port), "-s", device.serial, "shell", "sha256sum"],
        input=content,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.stdout.split()[0].decode() == hashlib.sha256(content).hexdigest()


def test_exec_out_is_raw(device: AdbDevice) -> None:
    done = device.host.adb("-s", device.serial, "exec-out", "printf 'a\\r\\nb'; exit 3")
    assert done.stdout == "a\nb"  # text mode reads \r\n so; nothing was framed


def test_a_terminal_is_one(device: AdbDevice) -> None:
    done = device.host.adb("-s", device.serial, "shell", "-tt", "tty; stty size")
    assert done.stdout.split()[0] == "/dev/pts/0"


def test_an_unknown_service_is_refused(device: AdbDevice) -> None:
    done = device.host.adb("-s", device.serial, "jdwp")
    assert done.returncode != 0


def test_a_command_whose_client_goes_away_is_hung_up(device: AdbDevice) -> None:
    client = subprocess.Popen(
        [find_adb(), "-P", str(device.host.port), "-s", device.serial, "shell", "sleep 777"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    _wait_for(device, "ps | grep -q 'sleep 77[7]'")
    client.kill()
    client.wait()
    _wait_for(device, "! ps | grep -q 'sleep 77[7]'")


def _wait_for(device: AdbDevice, condition: str) -> None:
    done = shell(device, f"for i in $(seq 100); do {condition} && exit 0; sleep 0.05; done; exit 1")
    assert done.returncode == 0, condition
