"""Downloads without a published hash: opt's program and Paddle Lite's library, which are run."""

from __future__ import annotations

import hashlib
import io
import logging
import subprocess
import tarfile
from pathlib import Path

import pytest

from edgekit.errors import ToolError
from edgekit.toolchain.build import paddlelite_runtime
from edgekit.toolchain.component import InstallRequest
from edgekit.toolchain.opt import sources
from edgekit.toolchain.opt.opt import RELEASES


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in the place of every server, and a cache of its own."""
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EDGEKIT_MIRROR", str(tmp_path / "mirror"))
    return tmp_path / "mirror"


def publish(mirror: Path, url: str, content: bytes) -> None:
    path = mirror / url.removeprefix("https://")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def program(note: bytes) -> bytes:
    """A Linux program; what follows its end is not read."""
    return Path("/bin/true").read_bytes() + note


def opt_error(request: InstallRequest) -> ToolError:
    """Return the error for a download that is a program but no opt, its hash accepted or not."""
    with pytest.raises(ToolError) as caught:
        sources.from_release(RELEASES, request)
    return caught.value


def test_opt_is_held_to_its_first_hash(mirror: Path, caplog: pytest.LogCaptureFixture) -> None:
    publish(mirror, sources.BINARY_URL, program(b"one"))
    with caplog.at_level(logging.INFO, "edgekit"):
        assert "does not tell its version" in opt_error(InstallRequest()).message
    digest = hashlib.sha256(program(b"one")).hexdigest()
    assert digest in caplog.text
    record = mirror.parent / "cache" / "opt" / "opt_linux-2.12.sha256"
    origin, line = record.read_text().splitlines()
    assert line == f"{digest}  opt_linux-2.12"
    assert origin.startswith("# 20") and " from " in origin
    assert "does not tell its version" in opt_error(InstallRequest()).message

    publish(mirror, sources.BINARY_URL, program(b"two"))
    changed = opt_error(InstallRequest())
    assert digest in changed.message, "it is not run"
    assert "edgekit toolchain install opt --trust-new" in str(changed.hint)
    assert "does not tell its version" in opt_error(InstallRequest(trust_new=True)).message
    assert "does not tell its version" in opt_error(InstallRequest()).message
    (record.parent / "opt_linux-2.12").write_bytes(program(b"two"))
    done = subprocess.run(["sha256sum", "--check", record.name], cwd=record.parent, capture_output=True)
    assert done.returncode == 0, done.stderr


def release(note: bytes) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        info = tarfile.TarInfo(f"inference_lite_lib/cxx/lib/{paddlelite_runtime.LIBRARY}")
        info.size = len(note)
        tar.addfile(info, io.BytesIO(note))
    return content.getvalue()


def test_paddle_lite_is_held_to_its_first_hash(mirror: Path) -> None:
    url = paddlelite_runtime._release_url("2.12")
    request = InstallRequest(version="2.12")

    def install(request: InstallRequest) -> ToolError:
        with pytest.raises(ToolError) as caught:
            paddlelite_runtime.install_paddlelite_runtime(request)
        return caught.value

    publish(mirror, url, release(b"one"))
    assert "was seen at first use" not in install(request).message  # refused, for it is no library
    publish(mirror, url, release(b"two"))
    changed = install(request)
    assert "was seen at first use" in changed.message
    assert "edgekit toolchain install paddlelite-runtime --trust-new" in str(changed.hint)
    accepted = install(InstallRequest(version="2.12", trust_new=True, force=True))
    assert "was seen at first use" not in accepted.message
