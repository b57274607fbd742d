"""`edgekit devices`, `push`, `bench` and `verify` on devices, as users run them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import RunCli
from tests.devices import AdbDevice, AdbHost, running_virtual_device
from tests.transports.sshd import Sshd

ENGINE = ("--engine", "onnxruntime")


def test_devices_as_a_table(run_cli: RunCli, virtual_device: AdbDevice, tmp_path: Path) -> None:
    result = run_cli(["devices"], cwd=tmp_path)
    assert (result.exit_code, result.stderr) == (0, "")
    for words in (
        f"{virtual_device.serial}  device  (emulated)",
        "SM8150",
        "arm64-v8a",
        "0-3 at 1.79 GHz (0x805), 4-6 at 2.42 GHz (0x804), 7 at 2.84 GHz (0x804)",
        "fp16, dotprod",
        "87 %",
    ):
        assert words in result.stdout


def test_devices_as_json(run_cli: RunCli, virtual_device: AdbDevice, tmp_path: Path) -> None:
    result = run_cli(["devices", "--device", virtual_device.serial, "--json"], cwd=tmp_path)
    assert result.exit_code == 0
    (device,) = json.loads(result.stdout)
    assert (device["serial"], device["state"], device["emulated"]) == (virtual_device.serial, "device", True)
    assert [cluster["cores"] for cluster in device["clusters"]] == [[0, 1, 2, 3], [4, 5, 6], [7]]


def test_a_board_over_ssh(run_cli: RunCli, sshd: Sshd, tmp_path: Path) -> None:
    result = run_cli(["devices", "--device", sshd.url, "--json"], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    (device,) = json.loads(result.stdout)
    assert (device["transport"], device["state"]) == ("ssh", "device")
    assert device["memory_bytes"] > 0


def test_a_board_that_does_not_answer(run_cli: RunCli, tmp_path: Path) -> None:
    result = run_cli(["devices", "--device", "ssh://nobody@127.0.0.1:1"], cwd=tmp_path)
    assert result.exit_code == 6
    assert "ssh://nobody@127.0.0.1:1  not answering" in result.stdout
    assert result.stderr.count("Connection refused") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["push", "--engine", "openvino"], "runs on the host only"),
        (["push", "--clean", "PPLCNet_x0_25"], "--clean"),
        (["bench", "--host", "--device", "X"], "--host excludes --device"),
        (["devices", "--adb-server", "nowhere:port"], "not HOST:PORT"),
    ],
)
def test_wrong_command_lines(
    run_cli: RunCli, adb_host: AdbHost, tmp_path: Path, arguments: list[str], words: str
) -> None:
    result = run_cli(arguments, cwd=tmp_path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr


def test_resume_takes_its_options_from_the_file(run_cli: RunCli, tmp_path: Path) -> None:
    result = run_cli(["bench", "--resume", "gone.json", "--threads", "2"], cwd=tmp_path)
    assert result.exit_code == 2
    assert "leave the other options out" in result.stderr
    assert run_cli(["bench", "--resume", "gone.json"], cwd=tmp_path).exit_code == 3


@pytest.mark.slow
def test_push_twice_and_clean(
    run_cli: RunCli, virtual_device: AdbDevice, exported: Path, tmp_path: Path
) -> None:
    where = ["--device", virtual_device.serial, "--json"]
    names = [str(exported / "PPLCNet_x0_25"), str(exported / "PPLCNet_x1_0_doc_ori")]
    run_cli(["push", "--clean", *where], cwd=tmp_path)
    first = run_cli(["push", *names, *ENGINE, *where], cwd=tmp_path, timeout_s=400)
    assert first.exit_code == 0, first.stderr
    (report,) = json.loads(first.stdout)
    assert report["models"] == ["PPLCNet_x0_25", "PPLCNet_x1_0_doc_ori"]
    assert report["sent_bytes"] > 20e6
    (again,) = json.loads(run_cli(["push", *names, *ENGINE, *where], cwd=tmp_path).stdout)
    assert (again["sent_files"], again["present_files"]) == (0, report["sent_files"])
    (listed,) = json.loads(run_cli(["devices", *where], cwd=tmp_path).stdout)
    assert "onnxruntime" in listed["runtimes"]
    (cleaned,) = json.loads(run_cli(["push", "--clean", *where], cwd=tmp_path).stdout)
    assert cleaned["freed_bytes"] > 20e6


@pytest.mark.slow
def test_verify_adds_the_devices_rung(
    run_cli: RunCli, virtual_device: AdbDevice, doc_ori: Path, tmp_path: Path
) -> None:
    arguments = ["verify", str(doc_ori), "--device", virtual_device.serial, *ENGINE, "--json"]
    result = run_cli(arguments, cwd=tmp_path, timeout_s=400)
    assert result.exit_code == 0, result.stderr
    rungs = {rung["name"]: rung for rung in json.loads(result.stdout)["rungs"]}
    assert rungs[f"onnx@{virtual_device.serial}"]["parity"]["passed"]


@pytest.mark.slow
def test_two_devices_and_a_power_mode(
    run_cli: RunCli, virtual_device: AdbDevice, x0_25: Path, tmp_path: Path
) -> None:
    with running_virtual_device(virtual_device.host) as other:
        devices = ["--device", virtual_device.serial, "--device", other.serial]
        short = ["--threads", "8", "--power-mode", "HIGH", "--warmup", "1", "--repeats", "1"]
        arguments = ["bench", str(x0_25), *devices, *ENGINE, *short, "--json"]
        result = run_cli(arguments, cwd=tmp_path, timeout_s=500)
    assert result.exit_code == 0, result.stderr
    first, second = json.loads(result.stdout)
    assert {first["target"]["serial"], second["target"]["serial"]} == {virtual_device.serial, other.serial}
    for document in (first, second):
        (point,) = document["points"]
        # The Snapdragon 855 has four big cores.
        assert (point["requested_threads"], point["effective_threads"]) == (8, 4)
        assert point["power_mode"] == "HIGH"
        assert point["parity"]["passed"]
    assert len(list((tmp_path / "results").glob("*.json"))) == 2
