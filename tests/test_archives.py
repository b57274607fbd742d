"""Archives that claim more than they hold, or reach outside, are refused before they have done it."""

from __future__ import annotations

import io
import resource
import tarfile
import zipfile
from pathlib import Path

import pytest

from edgekit import _archives
from edgekit._archives import ArchiveError, open_zip, tar_files


def packed(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return path


def member(
    name: str, content: bytes = b"content", kind: bytes = tarfile.REGTYPE
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.type = len(content), kind
    return info, content


def unpack(path: Path, into: Path, **options: object) -> list[str]:
    names = []
    for file in tar_files(path, **options):  # type: ignore[arg-type]
        file.write_to(into / file.path)
        names.append(str(file.path))
    return names


def test_plain_files_are_unpacked(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar.gz", member("x/one", b"1"), member("two", b"22"))
    assert unpack(path, tmp_path / "out") == ["x/one", "two"]
    assert (tmp_path / "out/x/one").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (member("../outside"), "lies outside itself"),
        (member("/absolute"), "lies outside itself"),
        (member("link", b"", tarfile.SYMTYPE), "a link or device"),
        (member("fifo", b"", tarfile.FIFOTYPE), "a link or device"),
    ],
)
def test_what_reaches_outside_is_refused(
    tmp_path: Path, made: tuple[tarfile.TarInfo, bytes], reason: str
) -> None:
    with pytest.raises(ArchiveError, match=reason):
        unpack(packed(tmp_path / "a.tar.gz", made), tmp_path / "out")


def test_what_is_not_wanted_is_passed_over(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar.gz", member("link", b"", tarfile.SYMTYPE), member("file"))
    assert unpack(path, tmp_path / "out", wanted=lambda inside: inside.name == "file") == ["file"]


def test_a_header_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    """A PAX header that claims 6 GiB; tarfile would allocate it."""
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 6 << 30
    path = tmp_path / "a.tar"
    path.write_bytes(header.tobuf(tarfile.USTAR_FORMAT) + b"\0" * (1 << 16))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ArchiveError, match="a header of 6442450944 bytes"):
        unpack(path, tmp_path / "out")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_sparse_member_counts_by_the_size_that_it_unpacks_to(tmp_path: Path) -> None:
    info, _ = member("sparse", b"")
    info.pax_headers = {
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "sparse",
        "GNU.sparse.realsize": str(50 << 30),
    }  # fmt: skip
    content = b"1\n0\n1\n".ljust(512, b"\0") + b"x".ljust(512, b"\0")
    info.size = len(content)
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(content))
    with pytest.raises(ArchiveError, match="unpacks to more than 4 GiB"):
        unpack(path, tmp_path / "out")


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_archives, "MAX_MEMBERS", 3)
    path = packed(tmp_path / "a.tar.gz", *(member(str(index)) for index in range(4)))
    with pytest.raises(ArchiveError, match="more than 3 members"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08 cut"])
def test_a_damaged_tar(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(ArchiveError, match="damaged"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out")


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", b"\0" * (32 << 20))
    with open_zip(path) as files, pytest.raises(ArchiveError, match="unpacks to more than 16 MiB"):
        files.write_to("bomb", tmp_path / "out", most_bytes=16 << 20)
    assert not (tmp_path / "out").exists()


def test_a_member_that_holds_more_than_it_says_stops_there(tmp_path: Path) -> None:
    path = tmp_path / "a.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("file", b"0123456789")
    with pytest.raises(ArchiveError), open_zip(path) as files:
        files._archive.getinfo("file").file_size = 5
        files.write_to("file", tmp_path / "out")


def test_zeros_without_end_are_no_archive(tmp_path: Path) -> None:
    """LZMA would take them for a stream that never begins."""
    path = tmp_path / "zeros.tar"
    with path.open("wb") as file:
        file.truncate(10 << 30)
    with pytest.raises(ArchiveError):
        list(tar_files(path))
