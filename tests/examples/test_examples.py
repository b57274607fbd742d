"""The programs in examples/ run as their first lines say, on a real exported model."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, require_mlserver
from tests.ports import free_port

EXAMPLES = REPOSITORY / "examples"
SAMPLES = REPOSITORY / "models" / "samples"
MODEL = "PPLCNet_x1_0_doc_ori"
QUICK = ("--repeats", "5", "--warmup", "2", "--min-secs", "0", "--processes", "2", "--threads", "1")


def run(*words: str | Path, cwd: Path, expected: int = 0) -> str:
    env = {**os.environ, "EDGEKIT": str(Path(sys.executable).with_name("edgekit"))}
    done = subprocess.run([*map(str, words)], cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == expected, done.stderr
    return done.stdout


def wait_until_ready(child: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and child.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=10):
            return
        time.sleep(0.1)
    pytest.fail("the service did not become ready")


def test_every_example_is_tested_and_in_the_index() -> None:
    here, index = Path(__file__).read_text(), (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.iterdir():
        if path.suffix in (".py", ".sh"):
            assert f'"{path.name}"' in here and f"({path.name})" in index, path.name


def test_pictures_are_sorted_by_answer(exported: Path, tmp_path: Path) -> None:
    program = EXAMPLES / "classify.py"
    run(sys.executable, program, MODEL, SAMPLES, "--into", tmp_path / "sorted", cwd=exported.parent)
    found = {path.parent.name: path.name for path in (tmp_path / "sorted").rglob("*.png")}
    assert found == {angle: f"page_{angle}.png" for angle in ("0", "90", "180", "270")}


@pytest.mark.slow
def test_the_nightly_benchmark_compares_with_the_run_before(exported: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    run(EXAMPLES / "nightly.sh", results, *QUICK, cwd=exported.parent)
    assert not (results / "nightly-before.json").exists()
    shown = run(sys.executable, EXAMPLES / "read_results.py", results / "nightly-latest.json", cwd=tmp_path)
    assert [line.split()[2] for line in shown.splitlines()] == ["paddle", "onnxruntime"]
    assert all("1 threads, batch 1:" in line and " ms " in line for line in shown.splitlines())


def test_the_service_is_asked(exported: Path, tmp_path: Path) -> None:
    require_mlserver()
    ports = [free_port(), free_port(), free_port()]
    command = [
        sys.executable, "-m", "edgekit", "serve", MODEL,
        "--port", str(ports[0]), "--grpc-port", str(ports[1]), "--metrics-port", str(ports[2]),
    ]  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, cwd=exported.parent)
    try:
        wait_until_ready(child, f"http://localhost:{ports[0]}/v2/models/{MODEL}/ready")
        page = SAMPLES / "page_90.png"
        shown = run(
            sys.executable, EXAMPLES / "ask_service.py", f"localhost:{ports[0]}", MODEL, page, cwd=tmp_path
        )
    finally:
        child.terminate()
        child.wait(30)
    assert shown.startswith(f"{page}: 90 (")
