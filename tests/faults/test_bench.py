"""Faults while a device is measured: what has finished is kept, the exit code says what went wrong."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgekit.bench.journal import journal_path
from edgekit.bench.results import load_result
from edgekit.device.store import ADB_ROOT
from edgekit.errors import InputError, RunnerError
from edgekit.runners.session import RunnerSession
from tests.conftest import CliResult, RunCli
from tests.devices import AdbDevice, running_virtual_device
from tests.ports import free_port
from tests.runners.cases import picture_load

pytestmark = pytest.mark.slow

ENGINE = ("--engine", "onnxruntime")
SHORT = ("--warmup", "1", "--repeats", "1")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "result.json"


def _bench(
    run_cli: RunCli,
    device: AdbDevice,
    model: Path,
    results: Path,
    *options: str,
    env: dict[str, str] | None = None,
) -> CliResult:
    arguments = [
        "bench",
        str(model),
        "--device",
        device.serial,
        *ENGINE,
        *SHORT,
        "-o",
        str(results),
        *options,
    ]
    return run_cli(arguments, cwd=results.parent, env=env, timeout_s=400)


def _started(device: AdbDevice, model: Path, results: Path, *options: str) -> subprocess.Popen[str]:
    """A bench that runs on while the test goes on."""
    command = [sys.executable, "-m", "edgekit", "bench", str(model), "--device", device.serial, *ENGINE]
    return subprocess.Popen(
        [*command, *SHORT, *options, "-o", str(results)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=results.parent,
    )


def _statuses(results: Path) -> list[str]:
    """How the points of a bench stand, while it runs too; empty before its first turn."""
    if not (results.exists() or journal_path(results).exists()):
        return []
    try:
        return [point.status.value for point in load_result(results).points]
    except InputError:
        return []


@pytest.fixture
def prepared(device: AdbDevice, x0_25: Path, run_cli: RunCli, tmp_path: Path) -> AdbDevice:
    """The device with runner and model on it, so that a fault strikes the measurement and not the push."""
    arguments = ["push", str(x0_25), "--device", device.serial, *ENGINE]
    done = run_cli(arguments, cwd=tmp_path, timeout_s=400)
    assert done.exit_code == 0, done.stderr
    return device


def test_all_is_well(run_cli: RunCli, prepared: AdbDevice, x0_25: Path, results: Path) -> None:
    done = _bench(run_cli, prepared, x0_25, results, "--threads", "1,2", "--json")
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["target"]["emulated"]
    one, two = document["points"]
    assert one["parity"]["passed"]
    assert two["effective_threads"] == 2
    # PP-LCNet x0_25 has 18.25 M multiply-accumulates; four lanes a vector instruction, and overhead.
    assert 5e6 < one["instruction_count"]["total"] < 60e6
    assert two["instruction_count"]["main_thread"] < one["instruction_count"]["main_thread"]
    assert one["processes"][0]["peak_memory_bytes"] is None
    assert one["environment_before"]["battery_percent"] == 87
    assert document == json.loads(results.read_text())


def test_the_table_says_emulated_and_counts(
    run_cli: RunCli, prepared: AdbDevice, x0_25: Path, results: Path
) -> None:
    done = _bench(run_cli, prepared, x0_25, results)
    assert done.exit_code == 0, done.stderr
    assert "EMULATED" in done.stdout
    assert "Instructions of one inference" in done.stdout
    assert " ms" not in done.stdout + done.stderr


def test_reboot_in_a_sweep_and_resume(
    run_cli: RunCli, prepared: AdbDevice, x0_25: Path, results: Path
) -> None:
    """The first point finishes, the reboot hits the second; resuming measures the second alone."""
    first = _bench(run_cli, prepared, x0_25, results)
    assert first.exit_code == 0, first.stderr
    results.unlink()
    seen = threading.Event()

    def reboot_in_second_point() -> None:
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline and not seen.is_set():
            if "done" in _statuses(results):
                prepared.fault("reboot")
                return
            time.sleep(0.1)

    watcher = threading.Thread(target=reboot_in_second_point)
    watcher.start()
    done = _bench(run_cli, prepared, x0_25, results, "--threads", "1,2", "--cooldown", "2")
    seen.set()
    watcher.join()
    assert done.exit_code == 7, done.stderr
    assert prepared.serial in done.stderr
    assert f"edgekit bench --resume {results}" in done.stderr
    before = json.loads(results.read_text())
    assert [point["status"] for point in before["points"]] == ["done", "failed"]
    prepared.reconnect(30)
    again = run_cli(["bench", "--resume", str(results)], cwd=results.parent, timeout_s=400)
    assert again.exit_code == 0, again.stderr
    after = json.loads(results.read_text())
    assert [point["status"] for point in after["points"]] == ["done", "done"]
    assert after["points"][0]["processes"] == before["points"][0]["processes"]
    assert after["run_id"] == before["run_id"]


def test_link_cut_between_two_points(
    run_cli: RunCli, prepared: AdbDevice, x0_25: Path, results: Path
) -> None:
    def cut() -> None:
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline:
            if "done" in _statuses(results):
                prepared.host.adb("disconnect", prepared.serial)
                return
            time.sleep(0.05)

    watcher = threading.Thread(target=cut)
    watcher.start()
    done = _bench(run_cli, prepared, x0_25, results, "--threads", "1,2,4", "--cooldown", "4")
    watcher.join()
    assert done.exit_code == 7, done.stderr
    assert _statuses(results) == ["done", "failed", "interrupted"]


def test_runner_killed_for_memory(run_cli: RunCli, prepared: AdbDevice, x0_25: Path, results: Path) -> None:
    prepared.fault("kill", "edgekit-runner", "4000", "--once")
    done = _bench(run_cli, prepared, x0_25, results, "--repeats", "30")
    assert done.exit_code == 8, done.stderr
    assert "SIGKILL" in done.stderr
    assert prepared.serial in done.stderr
    assert _statuses(results) == ["failed"]


def test_runner_crash_by_signal(run_cli: RunCli, prepared: AdbDevice, x0_25: Path, results: Path) -> None:
    def crash() -> None:
        # The brackets keep it from finding the shell that looks; a push sums the runner's file.
        script = (
            'for d in /proc/[0-9]*; do case $(tr "\\000" " " < $d/cmdline 2>/dev/null) in '
            "*sha256sum*) ;; *edgekit-run[n]er-*) kill -SEGV ${d#/proc/} ;; esac; done"
        )
        for _ in range(100):
            prepared.open().run(["sh", "-c", script])
            if "failed" in _statuses(results):
                return
            time.sleep(0.5)

    watcher = threading.Thread(target=crash, daemon=True)
    watcher.start()
    done = _bench(run_cli, prepared, x0_25, results, "--repeats", "30")
    assert done.exit_code == 8, done.stderr
    assert "SIGSEGV" in done.stderr
    watcher.join(10)


def test_runner_missing(prepared: AdbDevice) -> None:
    transport = prepared.open()
    with (
        pytest.raises(RunnerError) as raised,
        RunnerSession(
            transport, [f"{ADB_ROOT}/bundles/gone/runner"], label=f"runner on {prepared.serial}"
        ) as session,
    ):
        session.load(picture_load("/none"))
    assert raised.value.exit_code == 8
    assert prepared.serial in raised.value.message
    assert "not found" in raised.value.message


def test_model_corrupted_on_the_device(
    run_cli: RunCli, prepared: AdbDevice, x0_25: Path, results: Path
) -> None:
    """A bench finds out, sends the model again and measures the right one."""
    time.sleep(1.1)
    script = (
        f'for f in {ADB_ROOT}/models/*.onnx; do printf XXXX | dd of="$f" conv=notrunc bs=1 seek=5000; done'
    )
    assert prepared.open().run(["sh", "-c", script]).exit_code == 0
    done = _bench(run_cli, prepared, x0_25, results)
    assert done.exit_code == 0, done.stderr
    assert "pushed PPLCNet_x0_25 onnx" in done.stderr
    assert json.loads(results.read_text())["points"][0]["parity"]["passed"]


def test_clock_jump(run_cli: RunCli, prepared: AdbDevice, x0_25: Path, results: Path) -> None:
    timer = threading.Timer(6, lambda: prepared.fault("clock_jump", "--", "-86400"))
    timer.start()
    done = _bench(run_cli, prepared, x0_25, results, "--repeats", "10")
    timer.join()
    assert done.exit_code == 0, done.stderr
    samples = json.loads(results.read_text())["points"][0]["processes"][0]["samples_ns"]
    assert all(0 < sample < 60e9 for sample in samples)


def test_a_second_edgekit_on_the_device(
    run_cli: RunCli, prepared: AdbDevice, x0_25: Path, results: Path
) -> None:
    first = _started(prepared, x0_25, results, "--repeats", "20")
    deadline = time.monotonic() + 60
    while not journal_path(results).exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    second = _bench(
        run_cli, prepared, x0_25, results.with_name("second.json"), env={"EDGEKIT_DEVICE_WAIT": "1"}
    )
    assert second.exit_code == 6, second.stderr
    assert f"process {first.pid}" in second.stderr
    assert prepared.serial in second.stderr
    assert not results.with_name("second.json").exists()
    assert first.wait(300) == 0


def test_interrupted(prepared: AdbDevice, x0_25: Path, results: Path) -> None:
    process = _started(prepared, x0_25, results, "--threads", "1,2", "--cooldown", "3")
    deadline = time.monotonic() + 200
    while "done" not in _statuses(results):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert _statuses(results) == ["done", "interrupted"]
    assert "--resume" in stderr
    assert "edgekit-runner" not in prepared.open().run(["ps"]).stdout


def test_interrupted_while_the_device_hangs(prepared: AdbDevice, x0_25: Path, results: Path) -> None:
    """Clean-up asks a device that does not answer, but not for long."""
    process = _started(prepared, x0_25, results, "--repeats", "1000")
    deadline = time.monotonic() + 60
    while "edgekit-runner" not in prepared.open().run(["ps"]).stdout:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    time.sleep(2)
    prepared.fault("hang_shell")
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=90)
    assert process.returncode == 130, stderr
    assert time.monotonic() - began < 35


def test_disk_full_before_the_push(run_cli: RunCli, device: AdbDevice, x0_25: Path, results: Path) -> None:
    device.fault("disk_full", "2000000")
    done = _bench(run_cli, device, x0_25, results)
    assert done.exit_code == 6, done.stderr
    assert "are free" in done.stderr
    assert f"push --clean --device {device.serial}" in done.stderr


class Way:
    """A port that leads to another port, which can change."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._links: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", free_port()))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self.port))
                self._links += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def lead_to(self, port: int) -> None:
        self.port = port
        for link in self._links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.lead_to(self.port)
        self._listener.close()


def test_another_device_behind_the_same_address(
    run_cli: RunCli, prepared: AdbDevice, x0_25: Path, results: Path
) -> None:
    """Swapped before a turn: what the second device measures gets no name, and it resumes nothing."""
    with running_virtual_device(prepared.host) as other, contextlib.closing(Way(_port(prepared))) as way:
        swapped = AdbDevice(serial=way.address, host=prepared.host, environment=prepared.environment)
        swapped.reconnect()
        pushed = run_cli(["push", str(x0_25), "--device", other.serial, *ENGINE], cwd=results.parent)
        assert pushed.exit_code == 0, pushed.stderr

        def swap() -> None:
            deadline = time.monotonic() + 200
            while "done" not in _statuses(results) and time.monotonic() < deadline:
                time.sleep(0.05)
            way.lead_to(_port(other))
            swapped.reconnect()

        watcher = threading.Thread(target=swap)
        watcher.start()
        done = _bench(run_cli, swapped, x0_25, results, "--threads", "1,2", "--cooldown", "15")
        watcher.join()
        assert done.exit_code == 7, done.stderr
        assert "another machine answers there now: its machine id is" in done.stderr
        assert _statuses(results) == ["done", "failed"]
        assert load_result(results).points[1].processes == ()
        before = results.read_bytes()
        again = run_cli(["bench", "--resume", results], cwd=results.parent)
        assert again.exit_code == 2, again.stderr
        assert "not the machine that it was measured on: its machine id is" in again.stderr
        assert results.read_bytes() == before
        prepared.host.adb("disconnect", way.address)


def _port(device: AdbDevice) -> int:
    return int(device.serial.rpartition(":")[2])
