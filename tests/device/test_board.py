"""A board over the real ssh, which is this machine: an x86-64 board with real latencies."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.device.probe import probe
from edgekit.targets.bundles import default_engine
from edgekit.transports.ssh import SshTransport
from tests import pages
from tests.conftest import RunCli
from tests.transports.sshd import Sshd

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="needs an x86-64 machine as the board")


@pytest.fixture(scope="module")
def board(sshd: Sshd, run_cli: RunCli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the board's name for `--device`; edgekit's files are gone from the board at the end."""
    yield sshd.url
    run_cli(["push", "--clean", "--device", sshd.url], cwd=tmp_path_factory.mktemp("clean"))


def test_its_engine_is_the_one_that_has_a_runner_for_it(board: str) -> None:
    transport = SshTransport(board)
    info = probe(transport)
    transport.close()
    assert info.abis == ("x86_64",)
    assert not info.emulated
    assert default_engine(info) == "onnxruntime"


@pytest.mark.slow
def test_push_and_predict(board: str, run_cli: RunCli, doc_ori: Path, tmp_path: Path) -> None:
    pages.write_pages(tmp_path / "pages", range(1))
    pushed = run_cli(["push", doc_ori, "--device", board, "--json"], cwd=tmp_path)
    assert pushed.exit_code == 0, pushed.stderr
    report = json.loads(pushed.stdout)[0]
    assert (report["engine"], report["serial"]) == ("onnxruntime", board)
    there = run_cli(["predict", doc_ori, "pages", "--device", board, "--json"], cwd=tmp_path)
    assert there.exit_code == 0, there.stderr
    here = run_cli(["predict", doc_ori, "pages", "--json"], cwd=tmp_path)
    assert json.loads(there.stdout)[0]["class_ids"] == json.loads(here.stdout)[0]["class_ids"]


def test_paddle_lite_is_refused_with_its_reason(
    board: str, run_cli: RunCli, doc_ori: Path, tmp_path: Path
) -> None:
    pushed = run_cli(["push", doc_ori, "--device", board, "--engine", "paddlelite"], cwd=tmp_path)
    assert (pushed.exit_code, pushed.stdout) == (2, "")
    assert "paddlelite on x86_64 devices: its runner is for aarch64" in pushed.stderr
    assert "hint: --engine onnxruntime" in pushed.stderr


@pytest.mark.slow
def test_verify_and_bench(board: str, run_cli: RunCli, doc_ori: Path, tmp_path: Path) -> None:
    verified = run_cli(["verify", doc_ori, "--device", board, "--json"], cwd=tmp_path)
    assert verified.exit_code == 0, verified.stderr
    rungs = {rung["name"]: rung["status"] for rung in json.loads(verified.stdout)["rungs"]}
    assert rungs[f"onnx@{board}"] == "passed"
    assert rungs[f"onnx/onnxruntime-python@{board}"] == "skipped"  # its wheel is for arm64
    assert rungs[f"nb-arm@{board}"] == "skipped"
    arguments = ["bench", doc_ori, "--device", board, "--threads", "1,2", "--processes", "2"]
    benched = run_cli([*arguments, "--min-secs", "0.3", "--repeats", "20", "--json"], cwd=tmp_path)
    assert benched.exit_code == 0, benched.stderr
    result = json.loads(benched.stdout)
    assert not result["target"]["emulated"]
    for point in result["points"]:
        assert point["status"] == "done"
        assert point["parity"]["passed"]
        assert min(min(process["samples_ns"]) for process in point["processes"]) > 100_000
