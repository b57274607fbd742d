"""Commands of this machine, started at once or ahead."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import DeviceError
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
