"""Commands in the documentation exist with all their options; the quick ones are run as they stand there."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import cv2
import numpy as np
import pytest

from edgekit.cli.root import root
from edgekit.toolchain.cache import cache_root
from tests.conftest import REPOSITORY, RunCli
from tests.pages import render_page
from tests.ports import free_port

DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(?:console|sh|bash|)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ENDS = {";", "|", "&&", "||", ">", "&"}


def commands(document: Path) -> list[list[str]]:
    """The arguments of every `edgekit ...` in a fenced block."""
    found = []
    for block in FENCE.findall(document.read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            command = line.removeprefix("$ ")
            if command.startswith("edgekit "):
                words = shlex.split(command, comments=True)
                end = next((at for at, word in enumerate(words) if word in ENDS), len(words))
                found.append(words[1:end])
    return found


EXAMPLES = [
    pytest.param(words, id=f"{document.name}:{' '.join(words)}")
    for document in DOCUMENTS
    for words in commands(document)
]


def parse(words: list[str]) -> None:
    """Split a command line as click does; click.UsageError for what is not there."""
    command: click.Command = root
    while isinstance(command, click.Group):
        context = click.Context(command)
        _, words, _ = command.make_parser(context).parse_args(list(words))
        if not words:
            return
        name, found, words = command.resolve_command(context, words)
        assert found is not None, name
        command = found
    command.make_parser(click.Context(command)).parse_args(list(words))


@pytest.mark.parametrize("words", EXAMPLES)
def test_it_is_a_command(words: list[str]) -> None:
    parse(words)


@pytest.mark.parametrize("words", [["nothing"], ["bench", "--no-such-option"], ["apk", "nothing"]])
def test_what_is_no_command_would_be_noticed(words: list[str]) -> None:
    with pytest.raises(click.UsageError):
        parse(words)


def test_every_page_is_in_the_index_and_every_link_leads_somewhere() -> None:
    index = (REPOSITORY / "docs" / "README.md").read_text()
    beside = [
        REPOSITORY / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")
    ]
    for document in (*DOCUMENTS, *beside):
        inside = document.parent.name == "docs" and document.name != "README.md"
        assert not inside or f"({document.name})" in index, document.name
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def blocks(document: Path) -> list[str]:
    """The lines of a document's fenced blocks of commands, as a shell takes them."""
    return [
        line.removeprefix("$ ")
        for block in FENCE.findall(document.read_text())
        for line in block.replace("\\\n", " ").splitlines()
        if line.removeprefix("$ ").startswith(("edgekit ", "make ", ". ", "pip "))
    ]


def test_the_readme_names_only_files_that_a_clone_has() -> None:
    """Or that an export of an earlier line made; one's own files are in no command of a block."""
    for words in commands(REPOSITORY / "README.md"):
        for word in words:
            made = word.startswith("models/PPLCNet_")
            assert "/" not in word or made or (REPOSITORY / word).exists(), word
    lines = blocks(REPOSITORY / "README.md")
    assert [line.split()[:2] for line in lines[:2]] == [["make", "demo"], [".", ".venv/bin/activate"]]


@pytest.mark.slow
def test_the_readme_runs_in_a_clone(tmp_path: Path) -> None:
    """Line by line as it stands there, but for setting up and testing."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", REPOSITORY, clone], check=True, timeout=120)
    # The devices of others who use this machine are none of these commands' business.
    cache = tmp_path / "cache"
    cache.mkdir()
    for part in cache_root().iterdir():
        if part.name != "virtual":
            (cache / part.name).symlink_to(part)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "EDGEKIT_CACHE": str(cache),
        "HOME": str(tmp_path),
        "ANDROID_ADB_SERVER_PORT": str(free_port()),
        "NO_COLOR": "1",
    }
    try:
        for line in blocks(REPOSITORY / "README.md"):
            if line.startswith("edgekit "):
                words = ["bash", "-c", line]
                done = subprocess.run(
                    words, cwd=clone, env=environment, capture_output=True, text=True, timeout=600
                )
                assert done.returncode == 0, f"{line}\n{done.stderr}"
    finally:
        for line in ("edgekit virtual stop --all", "adb kill-server"):
            subprocess.run(["bash", "-c", line], cwd=clone, env=environment, capture_output=True, timeout=60)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands(run_cli: RunCli, tmp_path: Path, shell: str) -> None:
    assert "_EDGEKIT_COMPLETE" in run_cli(["completion", shell], cwd=tmp_path).stdout
    asked = {"_EDGEKIT_COMPLETE": f"{shell}_complete", "COMP_WORDS": "edgekit be", "COMP_CWORD": "1"}
    said = run_cli([], cwd=tmp_path, env={**asked, **({"COMP_CWORD": "be"} if shell == "fish" else {})})
    assert "bench" in said.stdout


def test_the_prediction_of_the_cpp_page_runs(run_cli: RunCli, exported: Path, tmp_path: Path) -> None:
    words = next(each for each in commands(REPOSITORY / "docs" / "cpp.md") if each[0] == "predict")
    shutil.copytree(exported / words[1], tmp_path / "models" / words[1])
    assert cv2.imwrite(str(tmp_path / words[2]), render_page(0))
    result = run_cli(words, cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["label_names"][0] == "0"


def run_page(run_cli: RunCli, name: str, directory: Path, *, only: str | None = None) -> list[list[str]]:
    """Run a page's commands as they stand there, in order; which ones. Those that download are left out."""
    run = [words for words in commands(REPOSITORY / "docs" / name) if "pretrained" not in words]
    for words in run:
        if only is not None and words[0] != only:
            continue
        done = run_cli(words, cwd=directory, timeout_s=600)
        assert done.exit_code == 0, f"edgekit {shlex.join(words)}\n{done.stderr}"
    return run


@pytest.mark.slow
def test_the_training_page_runs(run_cli: RunCli, tmp_path: Path) -> None:
    lines = []
    for label, folder in enumerate(("cats", "dogs")):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for index in range(4):
            picture = np.ascontiguousarray(np.rot90(render_page(index), label))
            assert cv2.imwrite(str(tmp_path / "data" / folder / f"{index}.jpg"), picture)
            lines.append(f"{folder}/{index}.jpg {label}\n")
    (tmp_path / "data" / "train_list.txt").write_text("".join(lines[::2]))
    (tmp_path / "data" / "val_list.txt").write_text("".join(lines[1::2]))
    # Eight pictures teach nothing that `export` would accept; tests/training exports what has learned.
    run = run_page(run_cli, "training.md", tmp_path, only="train")
    assert [words[0] for words in run] == ["train", "export", "eval"]
    assert (tmp_path / "output" / "best_model.pdparams").is_file()


@pytest.mark.slow
def test_the_int8_page_runs(run_cli: RunCli, exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported / "PPLCNet_x1_0_doc_ori", tmp_path / "models" / "PPLCNet_x1_0_doc_ori")
    for folder, indices in (("pages", range(40)), ("others", range(40, 440))):
        (tmp_path / folder).mkdir()
        for index in indices:
            picture = np.ascontiguousarray(np.rot90(render_page(index), index % 4))
            assert cv2.imwrite(str(tmp_path / folder / f"{index}.png"), picture)
    assert cv2.imwrite(str(tmp_path / "page.png"), render_page(0))
    run = run_page(run_cli, "int8.md", tmp_path)
    assert [words[0] for words in run] == ["quantize", "predict", "bench"]


@pytest.mark.slow
def test_the_page_on_own_models_runs(run_cli: RunCli, exported: Path, tmp_path: Path) -> None:
    if not (exported / "PPLCNet_x0_25" / "inference.x86.nb").exists():
        pytest.skip("opt here makes no x86 .nb")
    (tmp_path / "my_model").mkdir()
    for suffix in ("pdmodel", "pdiparams"):
        shutil.copy(exported / "PPLCNet_x0_25" / f"inference.{suffix}", tmp_path / "my_model")
    (tmp_path / "labels.txt").write_text("".join(f"class {index}\n" for index in range(1000)))
    assert cv2.imwrite(str(tmp_path / "photo.jpg"), render_page(0))
    run = run_page(run_cli, "own-model.md", tmp_path)
    assert [words[0] for words in run][:3] == ["import", "predict", "bench"]
