"""Files that tests read are those of a clean clone: what lies about in a working tree hides a missing one."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

READ = ("android_demo", "docs", "examples", "models", "tests")


def untracked(repository: Path) -> list[str]:
    """Files that tests may read and git does not track, but for sources, exported models and hidden files."""
    git = shutil.which("git")
    if git is None or not (repository / ".git").exists():
        pytest.skip("needs git and its repository")
    words = [git, "ls-files", "--others", "-z", "--", *READ]
    listed = subprocess.run(words, cwd=repository, capture_output=True, check=True, timeout=60)
    paths = [Path(name) for name in listed.stdout.decode().split("\0") if name]
    return [
        str(path)
        for path in paths
        if path.suffix not in {".py", ".pyc"}
        and not any(part.startswith(".") for part in path.parts)
        and not any((repository / parent / "manifest.json").exists() for parent in path.parents)
    ]


def test_nothing_that_tests_read_is_missing_in_a_clone() -> None:
    assert untracked(REPOSITORY) == [], "git add these, or delete them"


def test_a_picture_that_was_moved_and_left_behind_is_found(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True, timeout=60)
    (tmp_path / ".gitignore").write_text("/models/*/\n")
    for name in ("models/samples/page.png", "models/net/manifest.json", "models/net/inference.onnx"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert untracked(tmp_path) == ["models/samples/page.png"]


def test_every_room_is_in_the_wheel() -> None:
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    sources = REPOSITORY / "edgekit"
    rooms = {".".join(("edgekit", *path.parent.relative_to(sources).parts)) for path in sources.rglob("*.py")}
    listed = set(setup["options"]["packages"].split())
    assert listed == {
        *rooms,
        *(line.split()[0] for line in setup["options"]["package_dir"].strip().splitlines()),
    }
