"""Interpreters are found by running them; what does not answer like one is left out."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from edgekit.toolchain.opt import interpreters
from edgekit.toolchain.opt.interpreters import find_interpreters, query


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without interpreters; `bin` in it is all of PATH."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("PYENV_ROOT", "CONDA_PREFIX", "CONDA_EXE", "UV_PYTHON_INSTALL_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def script(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def answering(path: Path, version: str) -> None:
    """Stands for an interpreter of another version: answers as one would."""
    answer = (
        f'{{"version": [{version.replace(".", ", ")}], "machine": "x86_64", "implementation": "CPython", '
        '"bits": 64, "has_venv": true, "has_pip": true}'
    )
    script(path, f"echo '{answer}'")


def test_this_interpreter_answers() -> None:
    answer = query(Path(sys.executable))
    assert answer is not None
    assert answer.version == sys.version_info[:3]
    assert answer.tag == f"cp3{sys.version_info[1]}"
    assert answer.bits == 64


def test_every_place_is_looked_in(places: Path) -> None:
    answering(places / "bin" / "python3.9", "3.9.2")
    answering(places / ".pyenv" / "versions" / "3.7.16" / "bin" / "python3.7", "3.7.16")
    answering(places / ".local" / "share" / "uv" / "python" / "cpython-3.10" / "bin" / "python3.10", "3.10.1")
    answering(places / "miniconda3" / "envs" / "old" / "bin" / "python", "3.8.1")
    elsewhere = places / "elsewhere" / "env"
    answering(elsewhere / "bin" / "python", "3.6.15")
    (places / ".conda").mkdir()
    (places / ".conda" / "environments.txt").write_text(f"{elsewhere}\n\n/gone\n")
    found = {each.version_text: each.source for each in find_interpreters()}
    assert found == {"3.10.1": "uv", "3.9.2": "PATH", "3.8.1": "conda", "3.7.16": "pyenv", "3.6.15": "conda"}
    assert list(found) == ["3.10.1", "3.9.2", "3.8.1", "3.7.16", "3.6.15"]


def test_each_executable_counts_once(places: Path) -> None:
    answering(places / "bin" / "python3.9", "3.9.2")
    for name in ("python", "python3"):
        (places / "bin" / name).symlink_to("python3.9")
    assert len(find_interpreters()) == 1


def test_what_is_no_interpreter_is_left_out(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreters, "QUERY_TIMEOUT_S", 0.5)
    script(places / "bin" / "python", "echo nonsense")
    script(places / "bin" / "python3", "exec sleep 30")
    script(places / "bin" / "python3.8", "exit 127")
    (places / "bin" / "python3.10").write_text("not executable")
    (places / "bin" / "python3.11").symlink_to("nowhere")
    answering(places / "bin" / "python3-config", "3.9.1")
    assert os.environ["PATH"] == str(places / "bin")
    monkeypatch.setenv("PATH", f"{places / 'bin'}:/bin:/usr/bin")
    assert [each for each in find_interpreters() if str(places) in str(each.path)] == []


def test_pyenvs_shims_are_passed_over(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(places / ".pyenv" / "shims" / "python3.9", "3.9.2")
    monkeypatch.setenv("PATH", str(places / ".pyenv" / "shims"))
    assert find_interpreters() == []
