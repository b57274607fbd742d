from __future__ import annotations

import importlib.util
import os
import runpy
import subprocess
import sys
from pathlib import Path

import click
import pytest

from edgekit import errors
from edgekit.cli.root import COMMANDS, _continue_where_paddle_is, root
from edgekit.toolchain import paddle
from edgekit.toolchain.opt import environments
from tests.conftest import RunCli


def test_help_names_every_command(run_cli: RunCli, tmp_path: Path) -> None:
    result = run_cli(["--help"], cwd=tmp_path)
    assert result.exit_code == 0
    assert result.stderr == ""
    for name in COMMANDS:
        assert f"\n  {name} " in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    command = root.get_command(click.Context(root), name)
    assert isinstance(command, click.Command)
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


RECORDED = Path(__file__).parents[1] / "data" / "results" / "version1_host.json"
# By the words of a command: modules that it works without, each of which takes long to import.
LIGHT = {
    ("--help",): ("numpy", "rich", "msgspec", "paddle", "cv2", "adbutils", "asyncio", "PIL"),
    ("models", "list"): ("numpy", "paddle", "onnx", "cv2", "requests"),
    ("choose", "--soc", "sd845"): ("numpy", "scipy", "edgekit.convert.manifest", "urllib.request"),
    ("report", str(RECORDED), "--format", "csv"): ("scipy", "edgekit.targets", "urllib.request"),
}


@pytest.mark.parametrize("words", LIGHT, ids=lambda words: words[0])
def test_a_light_command_imports_nothing_heavy(words: tuple[str, ...], tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from edgekit.cli.root import root\n"
        f"try: root.main({list(words)})\n"
        "except SystemExit: pass\n"
        f"print([module for module in {LIGHT[words]} if module in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.endswith("[]\n"), done.stderr


def test_ctrl_c_while_a_command_is_loaded_is_said(tmp_path: Path) -> None:
    """A package whose import Ctrl-C meets, in place of a moment that no test can hit."""
    package = tmp_path / "packages" / "click"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = subprocess.run(
        [sys.executable, "-m", "edgekit", "--help"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(package.parent)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "error: interrupted\n")


def test_ctrl_c_at_a_commands_very_end_changes_nothing(tmp_path: Path) -> None:
    """Python frees a module's objects after it has given signals back to the system."""
    code = (
        "import os, signal\n"
        "from edgekit.__main__ import main\n"
        "class Last:\n"
        "    def __del__(self, kill=os.kill, own=os.getpid(), number=signal.SIGINT): kill(own, number)\n"
        "last = Last()\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, "models", "list", "--json"], cwd=tmp_path, timeout=60)
    assert done.returncode == 0


def test_a_misspelt_command_is_a_usage_error_that_suggests(run_cli: RunCli, tmp_path: Path) -> None:
    result = run_cli(["benhc"], cwd=tmp_path)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "did you mean `edgekit bench`" in result.stderr
    assert "hint:" in result.stderr


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m edgekit models list | head -n 1",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(("prefix", "continues"), [("environment", False), ("elsewhere", True)])
def test_paddles_environment_does_not_start_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str, continues: bool
) -> None:
    python, started = tmp_path / "environment" / "bin" / "python", []
    monkeypatch.setattr(importlib.util, "find_spec", lambda _module: None)  # Paddle is gone
    monkeypatch.setattr(paddle, "find_environment_python", lambda: python)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / prefix))
    monkeypatch.setattr(os, "execv", lambda program, words: started.append((program, words[-1])))
    _continue_where_paddle_is(["train", "PPLCNet_x0_25"])
    assert started == ([(python, "PPLCNet_x0_25")] if continues else [])


def test_the_remedy_makes_paddles_environment_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / environments.MARKER).touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert runpy.run_path(errors.__file__)["PADDLE_REMEDY"] == "edgekit toolchain install paddle --force"
