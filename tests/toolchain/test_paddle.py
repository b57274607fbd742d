"""Paddle's own environment: its packages, its interpreter, and how a command gets there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edgekit._process import CHILD
from edgekit.errors import UsageError
from edgekit.toolchain import paddle
from edgekit.toolchain.component import InstallRequest
from edgekit.toolchain.opt.environments import MARKER, Environment
from edgekit.toolchain.opt.interpreters import Interpreter


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
    assert not any(name.startswith(("mlserver", "openvino", "ruff")) or ";" in name for name in names)


def test_nothing_else_can_be_asked_for() -> None:
    with pytest.raises(UsageError, match="installing paddle"):
        paddle.install_paddle(InstallRequest(version="2.6.2"))


def make_environment(cache: Path, packages: tuple[str, ...]) -> None:
    """An environment whose Python is this one with what it has installed."""
    directory = cache / "paddle"
    (directory / "bin").mkdir(parents=True)
    python = directory / "bin" / "python"
    python.write_text(f'#!/bin/sh\necho "in the environment" >&2\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    marker = Environment(packages=packages, interpreter="", python_version="3.11.2", libraries={})
    (directory / MARKER).write_bytes(msgspec.json.encode(marker))


# Paddle's converter is out of sight, as on a Python without its wheels.
WITHOUT = """
import importlib.util as util, sys
real = util.find_spec
util.find_spec = lambda name, package=None: None if name == "paddle2onnx" else real(name, package)
from edgekit.cli.root import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("words", "fresh", "there"),
    [
        (["export", "--help"], True, True),
        (["bench", "--engine", "onnxruntime,paddle", "--help"], True, True),
        (["bench", "--engine", "onnxruntime", "--help"], True, False),
        (["verify", "--help"], False, False),
    ],
)
def test_a_command_goes_on_where_paddle_is(
    tmp_path: Path, words: list[str], fresh: bool, there: bool
) -> None:
    if there and not paddle.is_here():
        pytest.skip("the environment's Python is this one, which has no Paddle")
    make_environment(tmp_path, paddle.requirements() if fresh else ("paddlepaddle==2.6.2",))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *words],
        env={**os.environ, "EDGEKIT_CACHE": str(tmp_path), "PYTHONPATH": str(CHILD.parent.parent)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: edgekit {words[0]}")
    assert done.stderr == ("in the environment\n" if there else "")
