"""Installing the app and measuring in it: a virtual device refuses; a stand-in for a phone goes along.

The stand-in is a virtual device, reached over the real adb, whose `pm`, `am` and `pidof` are the scripts in
`invented/`. Their answers have the form that AOSP documents and were not recorded on a device. The result
file in `tests/data/android` was written by the app itself under Robolectric on an x86-64 host.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edgekit.android import bench as app_bench
from edgekit.android.bench import AppSweep, run_in_app
from edgekit.android.package_manager import install, require_app_runtime
from edgekit.android.side_by_side import pair_up
from edgekit.core.bench_options import PowerMode
from edgekit.core.measurement import Point, Result, Status
from edgekit.errors import DeviceError, InputError, RunnerError
from edgekit.toolchain.cache import cache_directory
from edgekit.transports.adb import AdbTransport
from edgekit.virtual import lifecycle
from tests.conftest import RunCli
from tests.devices import AdbDevice, AdbHost

INVENTED = Path(__file__).parent / "invented"
RECORDED = Path(__file__).parent.parent / "data/android/app_result.json"
STATE = "data/local/tmp/.phone"


class Phone:
    """The stand-in: its transport, and its storage as this machine sees it."""

    def __init__(self, device: AdbDevice, state: Path) -> None:
        self.device = device
        self.state = state
        self.transport: AdbTransport = device.open()

    def reset(self) -> None:
        """Nothing installed, nothing running, the default manners."""
        self.transport.run(["rm", "-rf", f"/{STATE}", app_bench.RESULTS])
        self.transport.run(["mkdir", "-p", f"/{STATE}"])
        document = msgspec.json.decode(RECORDED.read_bytes(), type=dict)
        self.put("whole.json", json.dumps(document))
        half = {**document, "ended_at": None, "points": document["points"][:1]}
        self.put("half.json", json.dumps(half))

    def put(self, name: str, text: str) -> None:
        local = self.state / "put"
        local.write_text(text)
        self.transport.push(local, f"/{STATE}/{name}")

    def read(self, name: str) -> str:
        return self.transport.read_text(f"/{STATE}/{name}") or ""


@pytest.fixture(scope="module")
def booted(adb_host: AdbHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phone]:
    cache = tmp_path_factory.mktemp("cache")
    cache_directory("apt").mkdir(parents=True, exist_ok=True)
    (cache / "apt").symlink_to(cache_directory("apt"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKIT_CACHE", str(cache))
        for name, value in adb_host.environment.items():
            patch.setenv(name, value)
        instance = lifecycle.start(serial="phone", storage_bytes=256 << 20, boot_ms=300)
        system = cache / "virtual" / "phone" / "root" / "system" / "bin"
        for script in INVENTED.iterdir():
            (system / script.name).unlink(missing_ok=True)
            shutil.copy(script, system / script.name)
        device = AdbDevice(serial=instance.config.address, host=adb_host)
        device.reconnect()
        yield Phone(device, tmp_path_factory.mktemp("state"))
        lifecycle.stop_all()


@pytest.fixture
def phone(booted: Phone) -> Phone:
    booted.reset()
    return booted


@pytest.fixture
def apk(tmp_path: Path) -> Path:
    path = tmp_path / "demo.apk"
    write_apk(path, "arm64-v8a")
    return path


def write_apk(path: Path, abi: str) -> None:
    """Write an invented APK with a native library."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"lib/{abi}/libx.so", bytes(100_000))


def test_a_virtual_device_has_no_app_runtime(
    virtual_device: AdbDevice, run_cli: RunCli, apk: Path, tmp_path: Path
) -> None:
    with pytest.raises(DeviceError, match="no Android app runtime") as caught:
        require_app_runtime(virtual_device.open())
    assert caught.value.hint == f"edgekit bench --device {virtual_device.serial}"
    environment = virtual_device.host.environment
    for words in (["install", apk], ["bench", "--threads", "1,2"]):
        done = run_cli(["apk", *words, "--device", virtual_device.serial], cwd=tmp_path, env=environment)
        assert (done.exit_code, done.stdout) == (6, "")
        assert "no Android app runtime" in done.stderr


def test_install_sends_the_apk_and_clears_up(phone: Phone, apk: Path) -> None:
    app = install(phone.transport, apk)
    assert app.path.startswith("/data/app/")
    arrived = phone.transport.sha256([f"/{STATE}/installed"])
    assert arrived == {f"/{STATE}/installed": app.apk_sha256}
    left = phone.transport.run(["ls", "/data/local/tmp"]).stdout
    assert ".apk" not in left


def test_an_apk_for_another_machine_is_refused(phone: Phone, tmp_path: Path) -> None:
    write_apk(tmp_path / "emulator.apk", "x86_64")
    with pytest.raises(DeviceError, match=r"it runs arm64-v8a.*, the app is x86_64") as caught:
        install(phone.transport, tmp_path / "emulator.apk")
    assert str(caught.value.hint).startswith("edgekit apk build --abi arm64-v8a")
    (tmp_path / "text.apk").write_text("no zip")
    with pytest.raises(InputError, match="it is no APK"):
        install(phone.transport, tmp_path / "text.apk")


@pytest.mark.parametrize(
    ("answer", "said", "hint"),
    [
        (
            "Failure [INSTALL_FAILED_UPDATE_INCOMPATIBLE: Existing package org.edgekit.demo signatures do "
            "not match newer version; ignoring!]",
            "another signature",
            "uninstall org.edgekit.demo",
        ),
        ("Failure [INSTALL_FAILED_INSUFFICIENT_STORAGE]", "storage is full", "free space"),
        (
            "Failure [INSTALL_FAILED_USER_RESTRICTED: Install canceled by user]",
            "refuse it",
            "developer options",
        ),
        ("Failure [INSTALL_FAILED_NEVER_HEARD_OF: why]", "INSTALL_FAILED_NEVER_HEARD_OF", "screen"),
    ],
)
def test_refusals_of_the_package_manager(phone: Phone, apk: Path, answer: str, said: str, hint: str) -> None:
    phone.put("refusal", answer + "\n")
    with pytest.raises(DeviceError, match=said) as caught:
        install(phone.transport, apk)
    assert hint in str(caught.value.hint)
    assert ".apk" not in phone.transport.run(["ls", "/data/local/tmp"]).stdout


def test_a_missing_apk_is_the_users_mistake(phone: Phone, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        install(phone.transport, tmp_path / "none.apk")


def test_the_sweep_is_started_awaited_and_collected(phone: Phone, apk: Path) -> None:
    install(phone.transport, apk)
    seen: list[Point] = []
    sweep = AppSweep(models=("A", "B"), threads=(1, 2, 64), power_mode=PowerMode.HIGH, repeats=12, min_s=0.25)
    result = run_in_app(phone.transport, sweep, command=["edgekit", "apk", "bench"], report=seen.append)
    assert list(result.points) == seen
    assert [point.status for point in seen] == [Status.DONE, Status.DONE, Status.SKIPPED]
    assert result.command == ("edgekit", "apk", "bench")
    assert (result.target.serial, result.target.soc) == (phone.device.serial, "SM8150")
    intent = phone.read("started")
    for words in (
        "-a org.edgekit.demo.BENCH", "-n org.edgekit.demo/.ui.BenchmarkActivity", "--es models A,B",
        "--es threads 1,2,64", "--es power_mode HIGH", "--es repeats 12", "--es min_ms 250",
    ):  # fmt: skip
        assert words in intent
    assert phone.transport.list_files(app_bench.RESULTS) == []
    assert phone.transport.run([app_bench.PIDOF, "org.edgekit.demo"]).exit_code == 1


def _fails(phone: Phone, mode: str) -> RunnerError:
    phone.put("mode", mode)
    phone.transport.run(["touch", f"/{STATE}/installed"])
    with pytest.raises(RunnerError) as caught:
        run_in_app(phone.transport, AppSweep(), command=[], report=lambda _point: None)
    return caught.value


def test_an_activity_that_is_not_there(phone: Phone) -> None:
    error = _fails(phone, "absent")
    assert "Error type 3" in error.message
    assert "apk install" in str(error.hint)


def test_the_app_says_no(phone: Phone) -> None:
    assert "The plan names [Nobody]" in _fails(phone, "refuse").message


@pytest.mark.slow
def test_the_app_ends_early(phone: Phone) -> None:
    assert "it has ended before the sweep" in _fails(phone, "crash").message


@pytest.mark.slow
def test_the_app_makes_no_headway(phone: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_bench, "POINT_MARGIN_S", -58.0)
    error = _fails(phone, "hang")
    assert "no headway" in error.message
    assert phone.transport.run([app_bench.PIDOF, "org.edgekit.demo"]).exit_code == 1, (
        "the app was left running"
    )


def test_not_installed(phone: Phone) -> None:
    with pytest.raises(DeviceError, match="not installed"):
        run_in_app(phone.transport, AppSweep(), command=[], report=lambda _point: None)


def test_app_and_shell_side_by_side(phone: Phone, apk: Path, run_cli: RunCli, tmp_path: Path) -> None:
    install(phone.transport, apk)
    recorded = msgspec.json.decode(RECORDED.read_bytes(), type=Result)
    target = msgspec.structs.replace(recorded.target, serial=phone.device.serial)
    twice = [
        msgspec.structs.replace(
            point,
            processes=tuple(
                msgspec.structs.replace(run, samples_ns=tuple(2 * sample for sample in run.samples_ns))
                for run in (*point.processes, *point.processes)
            ),
        )
        for point in recorded.points[:1]
    ]
    shell = tmp_path / "shell.json"
    shell.write_bytes(
        msgspec.json.encode(msgspec.structs.replace(recorded, target=target, points=tuple(twice)))
    )
    words = ["apk", "bench", "--device", phone.device.serial, "--shell", shell, "--processes", "2"]
    done = run_cli(words, cwd=tmp_path, env=phone.device.host.environment)
    assert done.exit_code == 0, done.stderr
    rows = [line.split()[-4:] for line in done.stdout.splitlines() if "onnxruntime" in line][-3:]
    assert rows[0] == ["0.50", "0.50", "to", "0.50"]
    assert [row[-2:] for row in rows[1:]] == [["-", "-"]] * 2
    (saved,) = (tmp_path / "results").glob("*-app.json")
    result = msgspec.json.decode(saved.read_bytes(), type=Result)
    assert [len(point.processes) for point in result.points] == [
        2 * len(point.processes) for point in recorded.points
    ]
    other = msgspec.structs.replace(result, target=recorded.target)
    with pytest.raises(InputError, match="comparing the app with the shell"):
        pair_up(other, msgspec.json.decode(shell.read_bytes(), type=Result))


def test_a_device_that_fails_takes_no_result_of_another(
    phone: Phone, virtual_device: AdbDevice, run_cli: RunCli, apk: Path, tmp_path: Path
) -> None:
    """The virtual device has no app runtime, which is found when the first device has been measured."""
    install(phone.transport, apk)
    words = ["apk", "bench", "--device", phone.device.serial, "--device", virtual_device.serial]
    done = run_cli([*words, "--processes", "1"], cwd=tmp_path, env=phone.device.host.environment)
    assert done.exit_code == 6, done.stderr
    (saved,) = (tmp_path / "results").glob("*-app.json")
    assert f"saved {saved.relative_to(tmp_path)}" in done.stderr
