"""Paddle's own environment: its packages, its interpreter, and how a command gets there."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edgekit._process import CHILD
from edgekit.convert.manifest import load_manifest
from edgekit.errors import UsageError
from edgekit.toolchain import paddle
from edgekit.toolchain.component import InstallRequest
from edgekit.toolchain.opt.environments import MARKER, Environment
from edgekit.toolchain.opt.interpreters import Interpreter
from tests.conftest import NEEDS_PADDLE, REPOSITORY


def interpreter(minor: int, *, has_pip: bool = True) -> Interpreter:
    return Interpreter(
        path=Path(f"/python3.{minor}"),
        version=(3, minor, 1),
        source="explicit",
        machine="x86_64",
        implementation="CPython",
        bits=64,
        has_venv=True,
        has_pip=has_pip,
    )


@pytest.mark.parametrize(
    ("present", "chosen"),
    [
        ([14, 13, 12, 11, 10], 11),
        ([14, 12], 12),
        ([14, 10], 10),
        ([14, 13, 9, 7], None),
    ],
)
def test_an_interpreter_with_wheels_is_chosen(present: list[int], chosen: int | None) -> None:
    found = paddle._suitable([interpreter(minor) for minor in present])
    assert (found and found.version[1]) == chosen


def test_an_interpreter_with_pip_comes_before_one_without() -> None:
    found = paddle._suitable([interpreter(11, has_pip=False), interpreter(12)])
    assert found is not None and found.version[1] == 12


def test_the_environment_has_what_edgekit_declares_without_markers() -> None:
    names = paddle.requirements()
    assert {"paddlepaddle==3.1.1", "paddle2onnx==2.1.0"} <= set(names)
    assert any(name.startswith("msgspec") for name in names)
    assert not any(name.startswith(("edgekit", "mlserver", "pytest")) or ";" in name for name in names)


def test_nothing_else_can_be_asked_for() -> None:
    with pytest.raises(UsageError, match="installing paddle"):
        paddle.install_paddle(InstallRequest(version="2.6.2"))


def make_environment(cache: Path, packages: tuple[str, ...]) -> None:
    """An environment whose Python is this one with what it has installed."""
    directory = cache / "paddle"
    (directory / "bin").mkdir(parents=True)
    python = directory / "bin" / "python"
    python.write_text(
        f'#!/bin/sh\necho "in the environment" >&2\ntouch {directory}/started\nexec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    marker = Environment(packages=packages, interpreter="", python_version="3.11.2", libraries={})
    (directory / MARKER).write_bytes(msgspec.json.encode(marker))


# Packages are out of sight, as on a Python without wheels of them.
WITHOUT = """
import importlib.util as util, sys
hidden, real = sys.argv.pop(1).split(","), util.find_spec
util.find_spec = lambda name, package=None: None if name in hidden else real(name, package)
from edgekit.cli.root import main
main()
"""


@pytest.mark.parametrize(
    ("words", "fresh", "there"),
    [
        (["train", "--help"], True, True),
        (["train", "--help"], False, False),
        (["export", "--help"], True, False),
    ],
)
def test_a_command_goes_on_where_paddle_is(
    tmp_path: Path, words: list[str], fresh: bool, there: bool
) -> None:
    if there and not paddle.is_here():
        pytest.skip(NEEDS_PADDLE)
    make_environment(tmp_path, paddle.requirements() if fresh else ("paddlepaddle==2.6.2",))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, "paddle2onnx", *words],
        env={**os.environ, "EDGEKIT_CACHE": str(tmp_path), "PYTHONPATH": str(CHILD.parent.parent)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: edgekit {words[0]}")
    assert done.stderr == ("in the environment\n" if there else "")


def test_a_network_is_exported_there_and_read_with_what_is_there(tmp_path: Path) -> None:
    found = importlib.util.find_spec("paddle")
    if found is None or not paddle.is_here():
        pytest.skip(NEEDS_PADDLE)
    make_environment(tmp_path, paddle.requirements())
    work, started = tmp_path / "work", tmp_path / "paddle" / "started"
    library = tmp_path / "paddle" / "lib" / "python3.11"
    work.mkdir()
    library.mkdir(parents=True)
    (library / "site-packages").symlink_to(Path(str(found.origin)).parents[1])

    def run(*words: str | Path) -> str:
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT, "paddle,paddle2onnx", *words],
            cwd=work,
            env={**os.environ, "EDGEKIT_CACHE": str(tmp_path), "PYTHONPATH": str(CHILD.parent.parent)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("export", "PPLCNet_x0_25", "--weights", "random", "--formats", "paddle,onnx")
    started.unlink()
    made = load_manifest(work / "models" / "PPLCNet_x0_25")
    assert made.artifacts["paddle"].tool_version == importlib.metadata.version("paddlepaddle")
    assert made.parity["onnx"].passed
    unchanged = run("export", "PPLCNet_x0_25", "--weights", "random", "--formats", "paddle,onnx", "--json")
    assert json.loads(unchanged)[0]["status"] == "unchanged"
    assert not started.exists()
    picture = REPOSITORY / "models" / "samples" / "page_0.png"
    assert len(json.loads(run("predict", "PPLCNet_x0_25", picture, "--engine", "paddle", "--json"))) == 1
    assert started.exists()
