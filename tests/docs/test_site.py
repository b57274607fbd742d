"""Files that `make docs` gathers for the site."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from edgekit.cli.root import COMMANDS

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def build_docs() -> ModuleType:
    place = REPOSITORY / "scripts" / "build_docs.py"
    spec = importlib.util.spec_from_file_location("build_docs", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_has_every_command(build_docs: ModuleType) -> None:
    text = build_docs.commands()
    assert [name for name in COMMANDS if f"\n## edgekit {name}\n" not in text] == []
    assert "\n### edgekit virtual start\n" in text
    assert "| `--html FILE` |" in text and "\n    " not in text


def test_every_page_has_its_place_and_every_link_a_page(
    build_docs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_docs, "PLACE", tmp_path / "docs")
    build_docs.gather()
    pages = {page.stem for page in (tmp_path / "docs").glob("*.md")}
    assert "[](predict.md)" in (tmp_path / "docs" / "index.md").read_text(encoding="utf-8")
    assert {*" ".join(build_docs.CHAPTERS.values()).split(), "index"} == pages
    for page in (tmp_path / "docs").glob("*.md"):
        for target, _ in build_docs.LINK.findall(page.read_text(encoding="utf-8")):
            assert (tmp_path / "docs" / target).exists(), f"{page.name}: {target}"
