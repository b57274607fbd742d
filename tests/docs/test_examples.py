"""Commands in the documentation exist with all their options; test_pages_run.py runs them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from edgekit.cli.root import root
from tests.conftest import REPOSITORY, RunCli
from tests.docs.fences import DOCUMENTS, command_lines

ENDS = {";", "|", "&&", "||", ">", "&"}


def commands(document: Path) -> list[list[str]]:
    """The arguments of every `edgekit ...` in a fenced block."""
    found = []
    for line in command_lines(document):
        if line.startswith("edgekit "):
            words = shlex.split(line, comments=True)
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


def test_the_readme_names_only_files_that_a_clone_has() -> None:
    """Or that an export of an earlier line made; one's own files are in no command of a block."""
    for words in commands(REPOSITORY / "README.md"):
        for word in words:
            made = word.startswith("models/PPLCNet_")
            assert "/" not in word or made or (REPOSITORY / word).exists(), word
    lines = command_lines(REPOSITORY / "README.md")
    assert [line.split()[:2] for line in lines[:2]] == [["make", "demo"], [".", ".venv/bin/activate"]]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands(run_cli: RunCli, tmp_path: Path, shell: str) -> None:
    assert "_EDGEKIT_COMPLETE" in run_cli(["completion", shell], cwd=tmp_path).stdout
    asked = {"_EDGEKIT_COMPLETE": f"{shell}_complete", "COMP_WORDS": "edgekit be", "COMP_CWORD": "1"}
    said = run_cli([], cwd=tmp_path, env={**asked, **({"COMP_CWORD": "be"} if shell == "fish" else {})})
    assert "bench" in said.stdout
