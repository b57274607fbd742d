"""Pages that are written from the code, or must name all of it, agree with it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PACKAGES = sorted(
    str(path.parent.relative_to(REPOSITORY)) for path in (REPOSITORY / "edgekit").rglob("__init__.py")
)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_architecture_names_every_package(package: str) -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    assert f"`{package}`" in page or f"`{package}/" in page


def test_the_architecture_names_no_package_that_is_gone() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    named = {word for word in page.split("`") if word.startswith("edgekit/") and " " not in word}
    assert [word for word in named if not (REPOSITORY / word).exists()] == []


@pytest.mark.parametrize("script", ["write_api.py", "write_engines.py", "write_zoo.py"])
def test_a_page_that_a_script_writes_is_current(script: str) -> None:
    spec = importlib.util.spec_from_file_location("writer", REPOSITORY / "scripts" / script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert Path(module.PAGE).read_text() == module.page(), f"run: python scripts/{script}"
