"""Entry points of other packages are found wherever the path has them, and cost nothing where it has none."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgekit._packages import entry_points

METADATA = "Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n"
ENTRY_POINTS = "[console_scripts]\nx = y:z\n\n[edgekit.toys]\ntoy = toy_module\n"


def names(group: str) -> list[str]:
    return [point.name for point in entry_points(group)]


@pytest.mark.parametrize("about", ["toy-1.0.dist-info/METADATA", "toy.egg-info/PKG-INFO"])
def test_a_package_in_a_directory_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, about: str
) -> None:
    (metadata := tmp_path / about).parent.mkdir()
    metadata.write_text(METADATA)
    (metadata.parent / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    assert names("edgekit.toys") == ["toy"]
    assert names("edgekit.toy") == []


def test_a_package_in_a_zip_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "toys.zip", "w") as file:
        file.writestr("toy-1.0.dist-info/METADATA", METADATA)
        file.writestr("toy-1.0.dist-info/entry_points.txt", ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path / "toys.zip")
    assert names("edgekit.toys") == ["toy"]


def test_metadata_is_not_imported_where_nothing_is_announced() -> None:
    code = (
        "import sys; from edgekit._packages import entry_points; "
        "print([*entry_points('edgekit.toys')], 'importlib.metadata' in sys.modules)"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[] False\n"
