"""Fenced blocks of the documentation, and the commands in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import REPOSITORY

DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELLS = ("", "console", "sh", "bash")


@dataclass(frozen=True)
class Step:
    """A command line as a shell takes it, or a block of Python."""

    text: str
    python: bool = False


def steps(document: Path) -> list[Step]:
    """Everything in a document's fenced blocks that can be run, in order."""
    found = []
    for language, block in FENCE.findall(document.read_text()):
        if language == "python":
            found.append(Step(block, python=True))
        elif language in SHELLS:
            whole = re.sub(r"\\\n|(?<=\|)\n", " ", block)
            lines = (line.removeprefix("$ ") for line in whole.splitlines())
            found += [Step(line) for line in lines if line.strip()]
    return found


def command_lines(document: Path) -> list[str]:
    """The shell's lines of a document alone."""
    return [step.text for step in steps(document) if not step.python]
