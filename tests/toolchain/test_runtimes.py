"""Device runtimes: what is accepted into the cache, and what is refused before it gets there."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from edgekit.errors import ToolError
from edgekit.toolchain.build import onnxruntime_runtime, paddlelite_runtime
from edgekit.toolchain.build.elf import read_elf
from edgekit.toolchain.build.runtimes import find_runtime
from edgekit.toolchain.component import InstallRequest

GOOD = b"\0v2.12\0 polygon_box_transform \0"


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGEKIT_OPT", raising=False)
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def make_library(shared_directory: Path):
    """A real shared library for ARM64 (by zig), with a section of given content appended in its data."""
    pytest.importorskip("ziglang")
    import hashlib
    import sys

    def make(content: bytes, *, triple: str = "aarch64-linux-gnu.2.28", flags: tuple[str, ...] = ()) -> Path:
        name = hashlib.sha256(content + triple.encode() + repr(flags).encode()).hexdigest()[:12]
        output = shared_directory / f"library-{name}.so"
        if not output.exists():
            source = shared_directory / f"library-{name}.c"
            values = ",".join(map(str, content))
            source.write_text(f"const unsigned char edgekit_content[] = {{{values}}};\n")
            partial = output.with_suffix(".part")
            subprocess.run(
                [sys.executable, "-m", "ziglang", "cc", "-target", triple, "-shared", "-fPIC", "-nostdlib",
                 *flags, source, "-o", partial],
                check=True, timeout=300,
                env={"PATH": "/usr/bin:/bin", "HOME": str(shared_directory),
                     "ZIG_GLOBAL_CACHE_DIR": str(shared_directory / "zig"),
                     "ZIG_LOCAL_CACHE_DIR": str(shared_directory / "zig")},
            )  # fmt: skip
            partial.rename(output)
        return output

    return make


def lay_out(root: Path, library: Path) -> Path:
    """A release's tree: inference_lite_lib.…/cxx/{include,lib}."""
    cxx = root / "inference_lite_lib.armlinux.armv8" / "cxx"
    (cxx / "include").mkdir(parents=True)
    (cxx / "lib").mkdir()
    (cxx / "include" / "paddle_api.h").write_text("// API\n")
    (cxx / "include" / "paddle_place.h").write_text("// places\n")
    shutil.copy(library, cxx / "lib" / paddlelite_runtime.LIBRARY)
    return cxx.parent


def pack(tree: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tree, arcname=tree.name)
    return archive


def test_elf_of_programs_and_libraries(make_library, tmp_path: Path) -> None:
    library = read_elf(make_library(GOOD, flags=("-Wl,-soname,libx.so.1",)))
    assert (library.machine, library.soname, library.needed) == ("aarch64", "libx.so.1", ())
    shell = read_elf(Path("/bin/sh").resolve())
    expected = subprocess.run(["ldd", "/bin/sh"], capture_output=True, text=True, check=True).stdout
    assert shell.soname is None
    assert shell.needed
    assert all(name in expected for name in shell.needed)
    for content in (b"", b"\x7fELF", b"#!/bin/sh\n" * 20):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(ToolError, match=r"no .*ELF"):
            read_elf(tmp_path / "x")


def test_damaged_elf_headers_are_refused(make_library, tmp_path: Path) -> None:
    data = make_library(GOOD).read_bytes()
    for length in (64, 200, 600):
        (tmp_path / "cut").write_bytes(data[:length])
        with pytest.raises(ToolError, match="damaged or cut"):
            read_elf(tmp_path / "cut")


def test_paddlelite_from_a_directory_and_from_an_archive(make_library, tmp_path: Path) -> None:
    tree = lay_out(tmp_path / "tree", make_library(GOOD))
    first = paddlelite_runtime.install_paddlelite_runtime(InstallRequest(directory=tree))
    archive = pack(tree, tmp_path / "lite.tar.gz")
    second = paddlelite_runtime.install_paddlelite_runtime(InstallRequest(archive=archive))
    for runtime in (first, second):
        assert (runtime.version, runtime.target, runtime.fp16) == ("2.12", "aarch64", False)
        assert runtime.library_path.is_file()
        assert (runtime.include_directory / "paddle_api.h").is_file()
        assert (runtime.include_directory / "paddle_place.h").is_file()
    assert second.source == "lite.tar.gz"
    assert second.source_sha256
    assert find_runtime("paddlelite", "aarch64") == second
    found = paddlelite_runtime.COMPONENT.find()
    assert found is not None
    assert found.version == "2.12"


def test_a_library_with_fp16_kernels_or_opencl_is_known(make_library, tmp_path: Path) -> None:
    opened = b"/vendor/lib64/libOpenCL.so\0"
    for content, found in ((b"fp32_to_fp16\0", (True, False)), (opened, (False, True))):
        tree = lay_out(tmp_path / str(found), make_library(GOOD + content))
        runtime = paddlelite_runtime.install_paddlelite_runtime(InstallRequest(directory=tree))
        assert (runtime.fp16, runtime.opencl) == found


@pytest.mark.parametrize(
    ("content", "triple", "message"),
    [
        (b"\0v2.12\0", "aarch64-linux-gnu.2.28", "without extra operators"),
        (GOOD.replace(b"v2.12", b"v2.11"), "aarch64-linux-gnu.2.28", "version 2.11, expected 2.12"),
        (GOOD.replace(b"v2.12", b"f29496"), "aarch64-linux-gnu.2.28", "tells no version"),
        (GOOD, "arm-linux-gnueabihf.2.28", "it is for arm"),
    ],
)
def test_unsuitable_paddlelite_libraries(
    make_library, tmp_path: Path, content: bytes, triple: str, message: str
) -> None:
    tree = lay_out(tmp_path, make_library(content, triple=triple))
    with pytest.raises(ToolError, match=message) as refused:
        paddlelite_runtime.install_paddlelite_runtime(InstallRequest(directory=tree))
    assert refused.value.hint
    assert find_runtime("paddlelite", "aarch64") is None


def test_a_version_that_is_named_is_taken(make_library, tmp_path: Path) -> None:
    other = lay_out(tmp_path / "a", make_library(GOOD.replace(b"v2.12", b"v2.11")))
    untagged = lay_out(tmp_path / "b", make_library(GOOD.replace(b"v2.12", b"f29496")))
    install = paddlelite_runtime.install_paddlelite_runtime
    assert install(InstallRequest(directory=other, version="2.11")).version == "2.11"
    assert install(InstallRequest(directory=untagged, version="2.12")).version == "2.12"
    with pytest.raises(ToolError, match=r"version 2\.11, expected 2\.13rc0"):
        install(InstallRequest(directory=other, version="2.13rc0"))


@pytest.mark.parametrize("name", ["../../evil.h", "/tmp/evil.h", "lite/cxx/include/../../../evil.h"])
def test_archives_that_reach_outside_are_refused(make_library, tmp_path: Path, name: str) -> None:
    archive = pack(lay_out(tmp_path / "tree", make_library(GOOD)), tmp_path / "lite.tar")
    with tarfile.open(tmp_path / "evil.tar", "w") as evil, tarfile.open(archive) as good:
        for member in good:
            evil.addfile(member, good.extractfile(member) if member.isfile() else None)
        info = tarfile.TarInfo(name)
        info.size = 1
        evil.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(ToolError, match="outside itself"):
        paddlelite_runtime.install_paddlelite_runtime(InstallRequest(archive=tmp_path / "evil.tar"))
    assert find_runtime("paddlelite", "aarch64") is None


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_archives_with_a_link_for_the_library_are_refused(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo(f"lite/cxx/lib/{paddlelite_runtime.LIBRARY}")
    info.type, info.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "link.tar", "w") as tar:
        tar.addfile(info)
    with pytest.raises(ToolError, match="no plain file"):
        paddlelite_runtime.install_paddlelite_runtime(InstallRequest(archive=tmp_path / "link.tar"))


def test_damaged_and_foreign_archives_are_refused(make_library, tmp_path: Path) -> None:
    whole = pack(lay_out(tmp_path / "tree", make_library(GOOD)), tmp_path / "lite.tar.gz")
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (tmp_path / "text").write_text("not found")
    for archive in (cut, tmp_path / "text"):
        with pytest.raises(ToolError, match="unpacking"):
            paddlelite_runtime.install_paddlelite_runtime(InstallRequest(archive=archive))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ToolError, match="0 files"):
        paddlelite_runtime.install_paddlelite_runtime(InstallRequest(directory=tmp_path / "empty"))


def test_an_unreachable_release_names_all_remedies_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that swallows packets, as behind many firewalls: TEST-NET-1 of RFC 5737."""
    monkeypatch.setattr(
        paddlelite_runtime, "RELEASE_URL", "http://192.0.2.1/Paddle-Lite/v{version}/{archive}"
    )
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    started = time.monotonic()
    with pytest.raises(ToolError) as refused:
        paddlelite_runtime.install_paddlelite_runtime(InstallRequest())
    assert time.monotonic() - started < 10
    hint = refused.value.hint or ""
    assert all(word in hint for word in ("--archive", "--dir"))


def test_a_changed_or_lost_library_is_not_installed(make_library, tmp_path: Path) -> None:
    tree = lay_out(tmp_path, make_library(GOOD))
    runtime = paddlelite_runtime.install_paddlelite_runtime(InstallRequest(directory=tree))
    with runtime.library_path.open("ab") as library:
        library.write(b"x")
    assert find_runtime("paddlelite", "aarch64") is None
    paddlelite_runtime.install_paddlelite_runtime(InstallRequest(directory=tree))
    assert find_runtime("paddlelite", "aarch64") is not None
    runtime.library_path.unlink()
    assert find_runtime("paddlelite", "aarch64") is None


def wheel(path: Path, library: Path | None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("onnxruntime/LICENSE", "MIT")
        if library is not None:
            archive.write(library, "onnxruntime/capi/libonnxruntime.so.1.23.2")
    return path


def test_onnxruntime_from_a_wheel(make_library, tmp_path: Path) -> None:
    good = make_library(b"\0VERS_1.23.2\0")
    install = onnxruntime_runtime.install_onnxruntime_runtime
    runtime = install(InstallRequest(archive=wheel(tmp_path / "a.whl", good)))
    assert (runtime.version, runtime.target) == ("1.23.2", "aarch64")
    assert (Path(runtime.directory) / "LICENSE").read_text() == "MIT"
    assert install(InstallRequest(directory=runtime.library_path.parent)).version == "1.23.2"
    with pytest.raises(ToolError, match=r"1\.22\.0.*is version 1\.23\.2"):
        install(InstallRequest(archive=tmp_path / "a.whl", version="1.22.0"))
    with pytest.raises(ToolError, match="0 files"):
        install(InstallRequest(archive=wheel(tmp_path / "b.whl", None)))
    with pytest.raises(ToolError, match="does not tell its version"):
        install(InstallRequest(archive=wheel(tmp_path / "c.whl", make_library(b"nothing"))))
    host = make_library(b"\0VERS_1.23.2\0", triple="x86_64-linux-gnu.2.28")
    with pytest.raises(ToolError, match="is for x86_64"):
        install(InstallRequest(archive=wheel(tmp_path / "d.whl", host)))
    (tmp_path / "e.whl").write_bytes(b"no zip")
    with pytest.raises(ToolError, match="unpacking"):
        install(InstallRequest(archive=tmp_path / "e.whl"))


def test_the_published_onnxruntime_is_the_pinned_one() -> None:
    """Over the package registry, as `toolchain install` does it."""
    runtime = onnxruntime_runtime.install_onnxruntime_runtime(InstallRequest())
    assert runtime.version == onnxruntime_runtime.PINNED_VERSION
    assert runtime.source_sha256 == onnxruntime_runtime.PINNED_SHA256
    assert read_elf(runtime.library_path).soname == "libonnxruntime.so.1"
    again = time.monotonic()
    assert onnxruntime_runtime.install_onnxruntime_runtime(InstallRequest()) == runtime
    assert time.monotonic() - again < 2
