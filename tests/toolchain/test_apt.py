"""Packages fetched with the real apt client from this machine's own sources."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.errors import ToolError
from edgekit.toolchain.fetch.apt import MARKER, fetch_packages, read_marker

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs apt-get (Debian, Ubuntu)")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("apt cache")  # with a space: paths go into apt's options
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKIT_CACHE", str(directory))
        yield directory


@pytest.fixture(scope="module")
def busybox(cache: Path) -> Path:
    """busybox-static for ARM64, unpacked."""
    into = cache / "busybox"
    versions = fetch_packages(["busybox-static"], architecture="arm64", into=into)
    assert set(versions) == {"busybox-static"}
    return into


def _machine_state() -> list[tuple[str, int]]:
    places = [Path("/var/lib/dpkg/status"), Path("/var/lib/apt/lists"), Path("/var/cache/apt")]
    return [(str(place), place.stat().st_mtime_ns) for place in places if place.exists()]


def test_the_program_is_of_the_asked_architecture(busybox: Path) -> None:
    (program,) = [path for path in busybox.rglob("busybox") if path.is_file() and os.access(path, os.X_OK)]
    header = program.read_bytes()[:20]
    assert header[:4] == b"\x7fELF"
    assert int.from_bytes(header[18:20], "little") == 183, "EM_AARCH64"


def test_nothing_of_the_machine_is_touched(cache: Path) -> None:
    before = _machine_state()
    fetch_packages(["busybox-static"], architecture="arm64", into=cache / "again")
    assert _machine_state() == before


def test_what_is_there_is_used_again_without_apt(busybox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp = (busybox / MARKER).stat().st_mtime_ns
    monkeypatch.setenv("PATH", "/nowhere")
    versions = fetch_packages(["busybox-static"], architecture="arm64", into=busybox)
    assert versions["busybox-static"].startswith("1:1.")
    assert (busybox / MARKER).stat().st_mtime_ns == stamp


def test_only_keeps_what_is_asked_for(cache: Path) -> None:
    into = cache / "only"
    fetch_packages(["busybox-static"], architecture="arm64", into=into, only=["**/bin/busybox"])
    assert [path.name for path in into.rglob("*") if path.is_file() and path.name != MARKER] == ["busybox"]
    marker = read_marker(into)
    assert marker is not None
    assert marker.only == ("**/bin/busybox",)


def test_an_only_that_matches_nothing_is_an_error_and_leaves_nothing(cache: Path) -> None:
    into = cache / "nothing"
    with pytest.raises(ToolError, match="nothing in them matches usr/no/such"):
        fetch_packages(["busybox-static"], architecture="arm64", into=into, only=["usr/no/such"])
    assert not into.exists()


def test_what_an_interruption_left_is_replaced(cache: Path) -> None:
    into = cache / "left"
    (into / "bin").mkdir(parents=True)
    (into / "bin/busybox").write_text("half a file")
    fetch_packages(["busybox-static"], architecture="arm64", into=into)
    assert (into / MARKER).exists()
    assert (into / "bin/busybox").read_bytes()[:4] == b"\x7fELF"


def test_an_unknown_package_is_named_and_leaves_nothing(busybox: Path, cache: Path) -> None:
    before = sorted(path.name for path in cache.iterdir() if not path.name.endswith(".lock"))
    with pytest.raises(ToolError, match="no-such-package-of-edgekit") as caught:
        fetch_packages(["no-such-package-of-edgekit"], architecture="arm64", into=cache / "unknown")
    assert caught.value.exit_code == 4
    assert sorted(path.name for path in cache.iterdir() if not path.name.endswith(".lock")) == before


def test_without_apt_the_error_names_the_packages(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolError, match="no apt-get on this machine") as caught:
        fetch_packages(["busybox-static"], architecture="arm64", into=cache / "without")
    assert caught.value.hint is not None
    assert "busybox-static" in caught.value.hint
    assert caught.value.exit_code == 4


@pytest.mark.slow
def test_dependencies_make_a_program_that_runs_on_its_own(cache: Path) -> None:
    into = cache / "file"
    versions = fetch_packages(["file"], architecture="amd64", into=into, dependencies=True)
    assert {"file", "libmagic1", "libc6"} <= {name.removesuffix("t64") for name in versions}
