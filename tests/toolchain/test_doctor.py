"""What `edgekit doctor` says of a machine that lacks something."""

from __future__ import annotations

from pathlib import Path

import adbutils._utils
import pytest
from adbutils.errors import AdbError

from edgekit.toolchain.doctor import State, examine


def test_an_adb_that_fails_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "adb"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("ADBUTILS_ADB_PATH", str(program))
    [found] = [each for each in examine() if each.name == "adb"]
    assert found.state is State.BROKEN
    assert found.where == f"{program}: exit code 3"
    assert "ADBUTILS_ADB_PATH" in str(found.remedy)


def test_a_machine_without_adb_is_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    def adb_path() -> str:
        raise AdbError("No adb exe could be found")

    monkeypatch.setattr(adbutils._utils, "adb_path", adb_path)
    [found] = [each for each in examine() if each.name == "adb"]
    assert found.state is State.BROKEN
    assert found.where == "looking for adb: No adb exe could be found"
