"""The APK's ZIP: readable by others, aligned, equal for equal input."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.android.archive import LIBRARY_ALIGNMENT, Entry, read_entries, write_archive

ENTRIES = [
    Entry(name="AndroidManifest.xml", data=b"manifest" * 100),
    Entry(name="lib/arm64-v8a/liba.so", data=b"\x7fELF" + bytes(1000), stored=True),
    Entry(name="assets/näme.png", data=b"png", stored=True),
    Entry(name="lib/arm64-v8a/libb.so", data=b"\x7fELF" + bytes(70000), stored=True),
]


def test_others_read_it(tmp_path: Path) -> None:
    path = tmp_path / "a.apk"
    write_archive(path, ENTRIES)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            entry.name: entry.data for entry in ENTRIES
        }


def test_libraries_begin_at_16_kb_and_other_stored_files_at_4_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.apk"
    write_archive(path, ENTRIES)
    content = path.read_bytes()
    for entry, source in zip(read_entries(path), ENTRIES, strict=True):
        if source.stored:
            assert content[entry.data_offset : entry.data_offset + entry.size_bytes] == source.data
            assert entry.data_offset % (LIBRARY_ALIGNMENT if entry.name.endswith(".so") else 4) == 0
        else:
            assert entry.stored_bytes < entry.size_bytes


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_archive(tmp_path / name, ENTRIES)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.text("abc/_.ä", min_size=1, max_size=40), st.tuples(st.binary(max_size=5000), st.booleans())
    )
)
def test_any_content_comes_back(tmp_path: Path, content: dict[str, tuple[bytes, bool]]) -> None:
    path = tmp_path / "any.zip"
    write_archive(
        path, [Entry(name=name, data=data, stored=stored) for name, (data, stored) in content.items()]
    )
    with zipfile.ZipFile(path) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            name: data for name, (data, _) in content.items()
        }
    assert all(entry.data_offset % 4 == 0 for entry in read_entries(path) if entry.stored)


@pytest.mark.parametrize("count", [0, 1])
def test_an_archive_may_be_empty(tmp_path: Path, count: int) -> None:
    path = tmp_path / "few.zip"
    write_archive(path, ENTRIES[:count])
    assert len(read_entries(path)) == count
