"""The script that measures the GPU tables, as far as a machine without a GPU can run it."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest

from edgekit.cli.root import root
from tests.conftest import REPOSITORY


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_gpu", REPOSITORY / "scripts" / "bench_gpu.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("action", "count"), [("pack", 1), ("run", 3)])
def test_its_commands_are_edgekits(
    script: ModuleType, action: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["bench_gpu.py", action, str(tmp_path), "--dry-run"])
    assert script.main() == 0
    commands = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    own = [words[words.index("edgekit") + 1 :] for words in commands if "edgekit" in words]
    assert len(own) == count
    for name, *words in own:
        command = root.get_command(root.make_context("edgekit", [], resilient_parsing=True), name)
        assert command is not None
        # Files of results are not there yet, and the parser of `report` leaves that to the command.
        assert command.make_context(name, words).params
    assert list(tmp_path.iterdir()) == []


def test_an_interpreter_that_has_all_is_used_as_it_is(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench_gpu.py", "run", str(tmp_path), "--dry-run", "--python", sys.executable]
    monkeypatch.setattr(sys, "argv", words)
    assert script.main() == 0
    commands = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert [words[:4] for words in commands] == [
        [sys.executable, "-m", "edgekit", name] for name in ("bench", "bench", "report")
    ]


def test_without_a_gpu_it_measures_nothing(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["bench_gpu.py", "run", str(tmp_path)])
    assert script.main() == 6
    assert "nvidia-smi lists none on this machine" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
