"""The tools that build the app end with the edgekit that started them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes import alive

BUILD = """
import sys
from pathlib import Path
from edgekit.android.tools import BuildTools
jdk = Path(sys.argv[1])
nothing = dict.fromkeys(("aapt2", "zipalign", "r8", "android", "onnxruntime"), jdk)
BuildTools(jdk=jdk, native=(), apksigner=(), versions={}, **nothing).run_javac([], "compiling")
"""


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs util-linux's setpriv")
def test_a_compiler_ends_with_a_killed_build(tmp_path: Path) -> None:
    compiler, told = tmp_path / "bin" / "javac", tmp_path / "pid"
    compiler.parent.mkdir()
    compiler.write_text(f"#!/bin/sh\necho $$ > {told}.part && mv {told}.part {told}\nexec sleep 120\n")
    compiler.chmod(0o755)
    build = subprocess.Popen([sys.executable, "-c", BUILD, tmp_path])
    deadline = time.monotonic() + 30
    while not told.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    pid = int(told.read_text())
    assert alive(pid)
    build.kill()
    build.wait()
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(pid)
