"""Completions of the shell, the text of `help`, and suggestions for a misspelt name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from edgekit.cli.root import root
from tests.cli.test_names import write_manifest
from tests.conftest import CliResult, require_mlserver

RunInside = Callable[..., CliResult]


@pytest.fixture
def offers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Return the completions of a line's last word, in a directory with the model `mynet`."""
    write_manifest(tmp_path / "models" / "mynet", name="mynet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "9")
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))

    def offered(line: str) -> list[str]:
        *words, last = line.split(" ")
        items = ShellComplete(root, {}, "edgekit", "_EDGEKIT_COMPLETE").get_completions(words, last)
        return [item.value if item.type == "plain" else f"<{item.type}>" for item in items]

    return offered


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("predict m", ["mynet"]),
        ("predict elsewhere/m", ["<dir>"]),
        ("predict mynet p", ["<file>"]),
        ("predict --labels l", ["<file>"]),
        ("bench my", ["mynet"]),
        ("verify my", ["mynet"]),
        ("models show my", ["mynet"]),
        ("export PPHGNet_t", ["PPHGNet_tiny", "PPHGNet_tiny_ssld"]),
        ("bench --engine openv", ["openvino"]),
        ("bench --engine paddle,openv", ["paddle,openvino"]),
        ("bench --precision fp", ["fp32", "fp16"]),
        ("bench --precision fp32,in", ["fp32,int8"]),
        ("predict --precision i", ["int8"]),
        ("toolchain install op", ["opt"]),
        ("report r", ["<file>"]),
        ("verify --device x", []),
        ("models sh", ["show"]),
    ],
)
def test_it_is_offered(offers: Callable[[str], list[str]], line: str, expected: list[str]) -> None:
    assert offers(line) == expected


@pytest.mark.parametrize("group", [[], ["models"], ["cache"], ["toolchain"], ["virtual"], ["apk"]])
def test_a_group_alone_shows_its_help(run_inside: RunInside, group: list[str]) -> None:
    done = run_inside(*group)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: edgekit") and "Commands:" in done.stdout


def test_help_is_a_command(run_inside: RunInside) -> None:
    assert run_inside("help").stdout == run_inside("--help").stdout
    done = run_inside("help", "models", "show")
    assert done.exit_code == 0 and "Usage: edgekit models show" in done.stdout


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["predict", "MyNt", "a.jpg"], "did you mean mynet?"),
        (["verify", "mynett"], "did you mean mynet?"),
        (["serve", "mynte"], "did you mean mynet?"),
        (["bench", "PPLCNet_x10", "--host"], "edgekit export PPLCNet_x1_0"),
        (["export", "PPLCNet_x10"], "did you mean PPLCNet_x1_0"),
        (["models", "show", "mynett"], "did you mean mynet? edgekit models show mynet"),
        (["models", "show", "PPLCNet_x0_3"], "? edgekit models show PPLCNet_x0_"),
        (["predict", "PPLCNet_x2_50", "a.jpg"], "did you mean PPLCNet_x2_5? edgekit export PPLCNet_x2_5"),
        (["models", "shwo", "mynet"], "'show'"),
        (["bench", "mynet", "--host", "--engine", "onxruntime"], "did you mean onnxruntime?"),
        (["bench", "mynet", "--host", "--precision", "fp31"], "did you mean fp32?"),
        (["bench", "mynet", "--hots"], "--host"),
        (["toolchain", "install", "otp"], "edgekit toolchain install opt"),
    ],
    ids=" ".join,
)
def test_what_was_meant_is_said(run_inside: RunInside, tmp_path: Path, words: list[str], meant: str) -> None:
    if words[0] == "serve":
        require_mlserver()
    for name in ("mynet", "PPLCNet_x1_0_old"):
        write_manifest(tmp_path / "models" / name, name=name)
    done = run_inside(*words)
    assert done.exit_code in (2, 3)
    assert meant in done.stderr


def test_every_parameter_that_is_a_model_is_completed() -> None:
    context = click.Context(root, resilient_parsing=True)
    for name in ("predict", "eval", "verify", "bench", "push", "serve", "bundle", "quantize", "profile"):
        command = root.get_command(context, name)
        assert command is not None
        argument = next(one for one in command.params if isinstance(one, click.Argument))
        assert argument._custom_shell_complete is not None, name
