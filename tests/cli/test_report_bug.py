"""`report-bug`: what is in the file, and what is not."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.cli.last_command import named, redact
from tests.conftest import CliResult


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("reading /home/anna/models/a.onnx", "reading ~/models/a.onnx"),
        ("/Users/anna: no space", "~: no space"),
        ("locking 192.168.1.20:5555: no answer", "locking ADDRESS: no answer"),
        ("ssh://pi@raspberrypi.local:22 lost", "ssh://DEVICE lost"),
        ("pushed to R58M12ABCDE (23.9 MB)", "pushed to SERIAL (23.9 MB)"),
        ("pushed to 3a1f09bc", "pushed to SERIAL"),
        ("exporting PPLCNet_x0_25, inference.onnx", "exporting PPLCNet_x0_25, inference.onnx"),
        ("mail anna@example.org", "mail ADDRESS"),
        ("pushed to wkbyt4ay9hhmm7fa", "pushed to SERIAL"),
        ("pip: http://anna:hunter2@proxy:3128 refused", "pip: http://proxy:3128 refused"),
        ("numpy 2.3.5, Python 3.14.8, opt 2.13rc0", "numpy 2.3.5, Python 3.14.8, opt 2.13rc0"),
    ],
)
def test_what_is_personal_is_taken_out(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_names_on_the_command_line_are_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["bench", "--device", "kitchen", "--api-key=hunter2", "--device=all", "--ray", "lab7:6379"]
    monkeypatch.setenv("ANDROID_SERIAL", "0123456789")
    assert redact("kitchen: hunter2, lab7:6379, 0123456789", named(words)) == "DEVICE: DEVICE, DEVICE, DEVICE"


def test_the_file_has_the_last_failure_and_nothing_personal(
    run_inside: Callable[..., CliResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "someone"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("EDGEKIT_CACHE", str(home / "cache"))
    failed = run_inside("report", str(home / "kitchen.json"))
    assert failed.exit_code == 3
    assert run_inside("report-bug").exit_code == 0
    text = (tmp_path / "edgekit-bug.txt").read_text()
    for wanted in (
        "== versions\nedgekit ",
        "== doctor",
        "ok python",
        "exit code 3",
        "~/kitchen.json",
        "InputError",
    ):
        assert wanted in text
    assert str(home) not in text
    assert socket.gethostname() not in text
    assert getpass.getuser() == "root" or getpass.getuser() not in text
