"""Every hint of import, export and verify is a command that works in that very situation: they are run."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import edgekit
from edgekit.convert.remedy import with_options, without_option
from edgekit.errors import ParityError
from tests.cli.test_import import save_legacy
from tests.conftest import RunCli
from tests.convert.onnx_graphs import FLOAT, model, node
from tests.convert.onnx_models import classifier
from tests.convert.test_examine import two_inputs

Build = Callable[[Path], object]


def hint_of(stderr: str) -> list[str]:
    """The words of the first command in the hint, without `edgekit`."""
    [line] = [line for line in stderr.splitlines() if line.startswith("hint: ")]
    command = line.removeprefix("hint: ").split(" overwrites it")[0].split(" shows it anew")[0]
    words = shlex.split(command.split(" with ")[0])
    assert words[0] == "edgekit", line
    return words[1:]


def plain(directory: Path) -> None:
    classifier(directory / "net.onnx")


def unknown_operator(directory: Path) -> None:
    classifier(directory / "net.onnx", strange=True)


def free_sizes(directory: Path) -> None:
    classifier(directory / "net.onnx", side="S")


def free_named_sizes(directory: Path) -> None:
    two_inputs(directory / "net.onnx")


def chaotic(directory: Path) -> None:
    classifier(directory / "net.onnx", chaotic=True)


def chaotic_and_kept(directory: Path) -> None:
    chaotic(directory)
    with pytest.raises(ParityError):
        edgekit.import_model("net.onnx", "mine", formats=["paddle"], keep_failed=True)


def imported_as_onnx(directory: Path) -> None:
    plain(directory)
    edgekit.import_model("net.onnx", "mine", formats=["onnx"], verify=False)


def named_by_somebody(directory: Path) -> None:
    plain(directory)
    (directory / "names.txt").write_text("one\ntwo\n")


def sampled_to_another_size(directory: Path) -> None:
    grid = np.zeros((1, 2, 2, 2), np.float32)
    nodes = [node("GridSample", ["x", "grid"], ["y"])]
    inputs, outputs = [("x", FLOAT, [1, 3, 4, 4])], [("y", FLOAT, [1, 3, 2, 2])]
    model(directory / "net.onnx", nodes, inputs, outputs, {"grid": grid})


def legacy_without_onnx(directory: Path) -> None:
    save_legacy(directory, "x = paddle.erfinv(paddle.tanh(x))")


IMPORT = "import net.onnx --name mine"
# What is there, the command, its exit code, and the exit code of what its hint says.
SITUATIONS: dict[str, tuple[Build, str, int]] = {
    "an operator that Paddle lacks": (unknown_operator, IMPORT, 5),
    "free sizes": (free_sizes, f"{IMPORT} --formats onnx", 3),
    "free sizes of one of several inputs": (free_named_sizes, f"{IMPORT} --formats onnx", 3),
    "sizes of an input that there is not": (plain, f"{IMPORT} --formats onnx --input-shape y=3,3", 2),
    "sizes that are fixed": (plain, f"{IMPORT} --formats onnx --input-shape 3,48,48", 3),
    "too many sizes": (plain, f"{IMPORT} --formats onnx --input-shape 1,1,3,32,32", 3),
    "a name that is none": (plain, "import net.onnx --name a/b --formats onnx", 2),
    "targets without nb": (plain, f"{IMPORT} --formats onnx --nb-targets arm", 2),
    "labels that do not fit": (named_by_somebody, f"{IMPORT} --formats onnx --labels names.txt", 3),
    "a program that is wrong": (chaotic, f"{IMPORT} --formats paddle,onnx", 5),
    "a program that is wrong, verified": (chaotic_and_kept, "verify mine", 5),
    "a program that is wrong, used": (chaotic_and_kept, "bench mine --host --engine paddle", 5),
    "an artifact that was not made": (
        imported_as_onnx, "bench mine --host --engine paddle --warmup 0 --repeats 1 --min-secs 0", 3,
    ),
    "a model that was not imported": (plain, "verify mine", 3),
    "an operator that paddle2onnx lacks": (
        legacy_without_onnx, "import legacy --name mine --formats paddle,onnx", 5,
    ),
    "an operator that opt lacks": (legacy_without_onnx, "import legacy --name mine --formats paddle,nb", 5),
    "an operator that Paddle Lite gets wrong": (sampled_to_another_size, f"{IMPORT} --formats paddle,nb", 5),
    "no square": (plain, "export PPLCNet_x0_25 --weights random --formats paddle --input-shape 3,64,32", 2),
    "other channels": (
        plain, "export PPLCNet_x0_25 --weights random --formats paddle --input-shape 1,64,64", 2,
    ),
}  # fmt: skip


# What the quick tests leave out: conversions of a network that has to be built with Paddle first.
LONG = {"an operator that opt lacks", "an operator that paddle2onnx lacks", "no square", "other channels"}


@pytest.mark.usefixtures("warm_children")
@pytest.mark.parametrize(
    "situation",
    [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in SITUATIONS],
)
def test_the_hint_helps(
    situation: str, tmp_path: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    build, command, code = SITUATIONS[situation]
    build(tmp_path)
    (tmp_path / "five.txt").write_text("ant\nbee\ncow\ndog\neel\n")
    failed = run_cli(shlex.split(command), cwd=tmp_path)
    assert failed.exit_code == code, failed.stderr
    places = {"FILE": "five.txt", "PATH": "net.onnx"}
    words = [places.get(word, word) for word in hint_of(failed.stderr)]
    if words[0] == "verify":
        return  # shows the verdict anew, which is that of the situation before
    assert command.split()[0] == words[0] or words[0] == "import", "an import is mended by an import"
    done = run_cli(words, cwd=tmp_path)
    assert done.exit_code == 0, (words, done.stderr)


def test_the_hint_of_a_copy_mends_the_copy(tmp_path: Path, run_cli: RunCli) -> None:
    plain(tmp_path)
    made = run_cli([*shlex.split(IMPORT), "--formats", "onnx", "--no-verify"], cwd=tmp_path)
    assert made.exit_code == 0, made.stderr
    original, copy = tmp_path / "models" / "mine" / "inference.onnx", tmp_path / "copy" / "inference.onnx"
    shutil.copytree(original.parent, copy.parent)
    copy.unlink()
    before = original.stat().st_mtime_ns
    failed = run_cli(["verify", "copy"], cwd=tmp_path)
    assert failed.exit_code == 3, failed.stderr
    done = run_cli(hint_of(failed.stderr), cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert copy.is_file() and original.stat().st_mtime_ns == before


def test_a_model_that_cannot_become_paddle_is_imported_as_onnx(tmp_path: Path, run_cli: RunCli) -> None:
    """`--formats onnx` is honoured before anything is converted."""
    nodes = [node("Det", ["x"], ["y"])]
    model(tmp_path / "net.onnx", nodes, [("x", FLOAT, [2, 3, 3])], [("y", FLOAT, [2])])
    done = run_cli(["import", "net.onnx", "--name", "mine", "--formats", "onnx"], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "Paddle program" not in done.stderr
    assert onnx.load(tmp_path / "models" / "mine" / "inference.onnx").graph.node[0].op_type == "Det"


def test_command_lines_are_changed_where_they_say_otherwise() -> None:
    command = "edgekit import 'a b.onnx' --name x --formats onnx,nb --nb-targets arm --input-shape a=1"
    assert with_options(command, "--formats onnx") == (
        "edgekit import 'a b.onnx' --name x --input-shape a=1 --formats onnx"
    )
    assert with_options(command, "--nb-targets x86").endswith("--input-shape a=1 --nb-targets x86")
    assert "--input-shape" not in without_option(command, "--input-shape")
