"""Peculiarities of the local transport; test_contract.py has the rest."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from edgekit.errors import DeviceError, DeviceLostError
from edgekit.transports.local import LocalTransport


def test_stderr_survives_the_process_and_its_file_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    process = LocalTransport().open(["sh", "-c", "echo trouble >&2; cat"])
    process.write_line("hello")
    assert process.read_line(5.0) == "hello"
    assert process.close() == 0
    assert process.stderr_text() == "trouble\n"
    process.kill()
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_cannot_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(DeviceError, match="/no/such"):
        LocalTransport().open(["/no/such"])
    assert list(tmp_path.iterdir()) == []


def test_exit_codes_of_what_cannot_run_are_a_shells(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")
    assert LocalTransport().run(["/no/such"]).exit_code == 127
    assert LocalTransport().run([str(plain)]).exit_code == 126


def test_an_overrun_is_the_device_being_lost() -> None:
    with pytest.raises(DeviceLostError, match="no end after"):
        LocalTransport().run(["sleep", "60"], timeout_s=0.2)


def test_pushed_files_are_whole_and_have_their_mode(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "deep" / "target"
    source.write_bytes(os.urandom(3_000_000))
    sent: list[int] = []
    LocalTransport().push(source, str(target), mode=0o755, progress=sent.append)
    assert target.read_bytes() == source.read_bytes()
    assert stat.S_IMODE(target.stat().st_mode) == 0o755
    assert sum(sent) == 3_000_000
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_a_place_that_cannot_be_written_is_a_refusal(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("x")
    with pytest.raises(DeviceError, match="/proc/nowhere"):
        LocalTransport().push(source, "/proc/nowhere/file")


def test_a_command_started_ahead_is_taken_over_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    transport, argv, env = LocalTransport(), ["sh", "-c", "cat; echo $WORD"], {"WORD": "end"}
    transport.start_ahead(argv, env, "ahead")
    other = transport.open(argv, env={"WORD": "other"})
    taken, second = transport.open(argv, env=env), transport.open(argv, env=env)
    assert taken.read_line(5.0) == "ahead"
    for process in (other, taken, second):
        process.end_stdin()
    said = [process.read_line(5.0) for process in (other, taken, second)]
    assert said == ["other", "end", "end"]
    for process in (other, taken, second):
        process.close()
    transport.start_ahead(argv, env, "nobody takes this one")
    transport.close()
    assert list(tmp_path.iterdir()) == []
