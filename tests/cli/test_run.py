"""`edgekit run`: every step with one summary, and what a failed step leaves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edgekit.bench.bench import Outcome
from edgekit.bench.several import TargetOutcome
from edgekit.cli.commands.run import _Run
from tests import points
from tests.conftest import RunCli
from tests.devices import AdbDevice


def test_what_fails_first_ends_the_run(
    run_inside: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run_inside("run", "PPLCNet_x9", "--no-install", "--json")
    assert done.exit_code in (2, 3)
    report = json.loads(done.stdout)
    assert [(step["name"], step["failed"]) for step in report["steps"]] == [("export", True)]
    assert report["results"] == [] and "PPLCNet_x9" in report["steps"][0]["outcome"]
    assert run_inside("run", "PPLCNet_x1_0", "--adb-server", "a:1").exit_code == 2


@pytest.mark.slow
def test_a_model_is_checked_measured_and_reported(run_cli: RunCli, doc_ori: Path, tmp_path: Path) -> None:
    shutil.copytree(doc_ori, tmp_path / "models" / doc_ori.name)
    words = ["run", doc_ori.name, "--engine", "onnxruntime", "--html", "report.html"]
    done = run_cli(words, cwd=tmp_path, timeout_s=600)
    assert done.exit_code == 0, done.stderr
    summary = done.stdout[done.stdout.rindex(f"\n{doc_ori.name}\n") + 1 :]
    assert [line.split()[:2] for line in summary.splitlines()[3:]] == [
        [step, "done"] for step in ("export", "verify", "bench", "report")
    ]
    assert "is there already" in summary and "1 point: " in summary
    assert "<html" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(list((tmp_path / "results").glob("*.json"))) == 1


@pytest.mark.slow
def test_a_device_is_checked_with_what_measures_it(
    run_cli: RunCli, virtual_device: AdbDevice, x0_25: Path, tmp_path: Path
) -> None:
    """Runners of engines that bench does not measure are not even built."""
    shutil.copytree(x0_25, tmp_path / "models" / x0_25.name)
    words = ["run", x0_25.name, "--device", virtual_device.serial, "--html", "report.html"]
    done = run_cli(words, cwd=tmp_path, timeout_s=600)
    assert done.exit_code in (0, 9), done.stderr
    where = f"@{virtual_device.serial}"
    passed = [line.split()[1] for line in done.stderr.splitlines() if line.strip().startswith("passed")]
    assert [name for name in passed if name.endswith(where)] == [f"onnx{where}"]
    assert (tmp_path / "report.html").exists()


def test_a_bench_in_which_nothing_ran_leaves_no_name_of_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    run = _Run("mine", install=False)
    run._outcomes = [TargetOutcome(serial="host", outcome=Outcome(result=points.result(), path=None))]
    run.show(as_json=True)
    assert json.loads(capsys.readouterr().out)["results"] == []
    with pytest.raises(OSError, match="gone"), run._step("bench"):
        raise OSError("gone")
    run.show(as_json=True)
    assert json.loads(capsys.readouterr().out)["steps"][0]["outcome"] == "OSError: gone"
