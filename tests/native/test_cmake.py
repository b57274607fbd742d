"""CMakeLists.txt builds what edgekit builds."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edgekit.engines.registry import native_engines, native_runner
from edgekit.toolchain.build.native import CORE, SOURCES


def test_it_names_every_source() -> None:
    text = (SOURCES / "CMakeLists.txt").read_text()
    named = set(re.findall(r"\b[\w]+\.cc?\b", text))
    assert named == {f"{name}.c" for name in CORE} | {
        native_runner(engine).backend for engine in native_engines()
    }
    assert named == {path.name for path in SOURCES.iterdir() if path.suffix in (".c", ".cc")}


def test_it_builds_the_onnxruntime_runner(tmp_path: Path) -> None:
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("needs cmake")
    for arguments in (["-S", SOURCES, "-B", tmp_path, "-DEDGEKIT_BUILD_ID=by-cmake"], ["--build", tmp_path]):
        done = subprocess.run([cmake, *arguments], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert not list(tmp_path.glob("edgekit-runner-paddlelite*"))
    said = subprocess.run(
        [tmp_path / "edgekit-runner-onnxruntime", "--version"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert json.loads(said.stdout)["build_id"] == "by-cmake"
