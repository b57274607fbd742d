"""The bench command on the host: real engines on a real export."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from edgekit.bench.bench import Outcome, resolve_cores, timing_for
from edgekit.bench.bench import bench as run_bench
from edgekit.bench.results import load_result
from edgekit.bench.several import TargetOutcome
from edgekit.cli.commands.bench import render, tell_outcome
from edgekit.convert.manifest import find_artifacts
from edgekit.core.artifact import MANIFEST_NAME
from edgekit.core.bench_options import BenchOptions
from edgekit.core.device import Cluster, DeviceInfo
from edgekit.core.measurement import Environment, PointError, Result, Status, Verdict
from edgekit.errors import InputError, UsageError
from edgekit.targets.target import HostTarget, Subject
from edgekit.toolchain.doctor import State, _x86
from tests import points
from tests.conftest import RunCli
from tests.processes import alive

QUICK = ["--warmup", "2", "--repeats", "12", "--min-secs", "0", "--processes", "2"]


@pytest.fixture
def copy(x0_25: Path, tmp_path: Path) -> Path:
    """An artifact directory that the test may spoil."""
    return Path(shutil.copytree(x0_25, tmp_path / "models" / "PPLCNet_x0_25"))


def bench(run_cli: RunCli, cwd: Path, *arguments: str | Path) -> tuple[int, str, str, Result | None]:
    output = cwd / "out.json"
    done = run_cli(["bench", "--host", *QUICK, "-o", output, *arguments], cwd=cwd)
    return done.exit_code, done.stdout, done.stderr, load_result(output) if output.exists() else None


class Elsewhere(HostTarget):
    """This machine as a device that runs no fixed workload of its own: its runner does."""

    @property
    def info(self) -> DeviceInfo:
        return msgspec.structs.replace(super().info, transport="ssh")

    def environment(self, engine: str) -> Environment:
        return msgspec.structs.replace(super().environment(engine), reference_ns=None)


def test_the_fixed_workload_of_a_device_is_its_runners(x0_25: Path, tmp_path: Path) -> None:
    directory, manifest = find_artifacts(str(x0_25))
    options = BenchOptions(
        engines=("onnxruntime",), processes=2, repeats=12, min_s=0.0, output=str(tmp_path / "out.json")
    )
    with contextlib.closing(Elsewhere()) as target:
        subject = Subject(directory=directory, manifest=manifest)
        done = run_bench(target, [subject], options, show=lambda _: None)
    [point] = done.result.points
    assert len(point.processes) == 2
    assert all((run.reference_ns or 0) > 100_000 for run in point.processes)


def test_a_sweep_measures_skips_and_records(
    run_cli: RunCli, x0_25: Path, tmp_path: Path, has_x86_nb: bool
) -> None:
    engines = ["onnxruntime", *(["paddlelite"] if has_x86_nb else [])]
    code, stdout, stderr, result = bench(
        run_cli,
        tmp_path,
        x0_25,
        "--engine",
        ",".join(engines),
        "--threads",
        "1,2",
        "--batch-size",
        "1,3",
        "--processes",
        "1",
    )
    assert code == 0, stderr
    assert result is not None
    assert len(result.points) == 4 * len(engines)
    assert result.ended_at is not None
    assert result.target.serial == "host"
    assert result.target.cores
    for point in result.points:
        skipped = point.engine == "paddlelite" and point.requested_threads == 2
        if skipped or point.requested_threads > len(os.sched_getaffinity(0)):
            assert point.status is Status.SKIPPED
            assert point.error is not None
            assert "thread" in point.error.message
            assert point.processes == ()
            assert point.startup is None
            continue
        assert point.status is Status.DONE
        assert point.artifact is not None
        assert point.artifact.sha256
        assert point.engine_version
        assert point.parity is not None
        assert point.parity.passed
        assert point.parity.inputs >= 2
        assert point.environment_before is not None
        assert point.environment_after is not None
        assert len(point.processes) == 1
        assert point.startup is not None
        assert point.startup.inferences == 10
        assert point.startup.peak_memory_bytes is not None
        assert point.startup.peak_memory_bytes > 10_000_000
        assert point.startup.cold_start_ns > 20_000_000, "no Python with an engine starts faster"
        for process in point.processes:
            assert process.cold_start_ns is not None
            assert process.cold_start_ns > (process.load_ns or 0) + (process.first_run_ns or 0)
            assert len(process.samples_ns) >= 12
            assert process.warmup_runs >= 2
            assert process.steady is not None
            assert process.load_ns is not None
            assert process.load_ns > 100_000
            assert process.first_run_ns is not None
            assert process.peak_memory_bytes is not None
            assert process.peak_memory_bytes > 10_000_000
        assert point.verdict in (Verdict.VALID, Verdict.UNSTABLE)
        assert bool(point.reasons) is (point.verdict is Verdict.UNSTABLE)
        assert point.instruction_count is None
    assert "Cold start" in stdout
    assert "Peak memory" in stdout
    assert ("skipped" in stdout) is any(point.status is Status.SKIPPED for point in result.points)
    assert f"parity with paddle: {sum(point.parity is not None for point in result.points)} of" in stdout
    assert f"[1/{len(result.points)}]" in stderr
    assert "\x1b" not in stderr


def test_rounds_interleave_the_points(run_cli: RunCli, x0_25: Path, tmp_path: Path) -> None:
    _, _, _, result = bench(run_cli, tmp_path, x0_25, "--engine", "onnxruntime", "--batch-size", "1,2")
    assert result is not None
    turns = sorted(
        (process.started_at or "", index)
        for index, point in enumerate(result.points)
        for process in point.processes
    )
    assert [index for _, index in turns] == [0, 1, 0, 1]


def test_json_is_the_result_document(run_cli: RunCli, x0_25: Path, tmp_path: Path) -> None:
    done = run_cli(["bench", "--host", *QUICK, "--engine", "onnxruntime", "--json", x0_25], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    written = list((tmp_path / "results").glob("*-host.json"))
    assert len(written) == 1
    assert msgspec.json.decode(done.stdout, type=Result) == load_result(written[0])
    assert str(written[0].relative_to(tmp_path)) in done.stderr


def test_a_failed_point_stays_and_the_exit_code_says_so(run_cli: RunCli, copy: Path, tmp_path: Path) -> None:
    with (copy / "inference.onnx").open("r+b") as file:
        file.seek(1000)
        file.write(b"spoilt")
    code, stdout, stderr, result = bench(run_cli, tmp_path, copy, "--engine", "onnxruntime,paddle")
    assert code == 3
    assert result is not None
    assert [point.status for point in result.points] == [Status.FAILED, Status.DONE]
    assert result.points[0].error is not None
    assert "inference.onnx" in result.points[0].error.message
    assert "failed" in stdout
    assert "inference.onnx" in stderr
    assert "hint: edgekit export PPLCNet_x0_25 --weights random --force" in stderr


def test_nothing_but_skipped_points_is_an_error(run_cli: RunCli, x0_25: Path, tmp_path: Path) -> None:
    code, _, stderr, result = bench(run_cli, tmp_path, x0_25, "--engine", "paddlelite", "--threads", "2")
    assert code == 2
    assert "nothing ran" in stderr
    assert "result file" not in stderr
    assert result is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--engine", "onxruntime"], 2, "did you mean onnxruntime"),
        (["--threads", "0"], 2, "at least 1"),
        (["--cores", "999"], 2, "no core 999"),
        (["--cores", "warm"], 2, "not a list of cores"),
        (["--power-mode", "HIGH"], 2, "--cores 0,1"),
        (["--engine", "paddle", "--engine-option", "spinning=off"], 2, "belongs to onnxruntime"),
        (["--engine-option", "onednn"], 2, "NAME=VALUE"),
        (["--max-secs", "1", "--min-secs", "5"], 2, "less than --min-secs"),
        (["--device", "emulator-1"], 2, "--host excludes"),
        (["--precision", "fp64"], 2, "fp32, fp16, bf16, int8"),
        (["-o", "/proc/no/out.json"], 3, "/proc/no/out.json"),
        (["PPLCNet_x9"], 3, "edgekit import PATH --name PPLCNet_x9"),
    ],
)
def test_bad_requests_end_before_anything_is_measured(
    run_cli: RunCli, x0_25: Path, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    names = [] if arguments[0].startswith("PPLC") else [str(x0_25)]
    done = run_cli(["bench", "--host", *names, *arguments], cwd=tmp_path)
    assert done.exit_code == code, done.stderr
    assert words in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_without_models_it_says_how_to_get_one(run_cli: RunCli, tmp_path: Path) -> None:
    done = run_cli(["bench", "--host"], cwd=tmp_path)
    assert done.exit_code == 2
    assert "edgekit export" in done.stderr


def _start_long(x0_25: Path, cwd: Path) -> tuple[subprocess.Popen[str], Path]:
    output = cwd / "out.json"
    argv = [
        sys.executable, "-m", "edgekit", "bench", "--host", "--engine", "onnxruntime,paddle",
        "--repeats", "5", "--min-secs", "0", "--processes", "200", "-o", str(output), str(x0_25),
    ]  # fmt: skip
    child = subprocess.Popen(argv, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(InputError):
            if all(point.processes for point in load_result(output).points):
                assert not output.exists(), "until the end there is its journal"
                return child, output
        time.sleep(0.1)
    child.kill()
    raise AssertionError(f"no turn ended in time: {child.communicate()[1]}")


def test_ctrl_c_keeps_finished_rounds(x0_25: Path, tmp_path: Path) -> None:
    child, output = _start_long(x0_25, tmp_path)
    worker = _worker_of(child.pid)
    child.send_signal(signal.SIGINT)
    stdout, stderr = child.communicate(timeout=30)
    assert child.returncode == 130, stderr
    result = load_result(output)
    assert result.ended_at is not None
    assert all(point.status is Status.INTERRUPTED for point in result.points)
    assert all(point.processes for point in result.points)
    assert "interrupted after" in stdout
    assert "interrupted" in stderr
    assert _ended(worker)


@pytest.mark.slow
def test_sigkill_leaves_a_whole_file_and_no_runner(run_cli: RunCli, x0_25: Path, tmp_path: Path) -> None:
    child, output = _start_long(x0_25, tmp_path)
    worker = _worker_of(child.pid)
    child.kill()
    child.communicate(timeout=30)
    assert not output.exists()
    # The next command that reads it makes the document of what was kept.
    report = run_cli(["report", output], cwd=tmp_path)
    assert report.exit_code == 0, report.stderr
    assert "interrupted after" in report.stdout
    assert list(tmp_path.iterdir()) == [output]
    result = load_result(output)
    assert result.ended_at is None
    assert all(point.status is Status.INTERRUPTED and point.processes for point in result.points)
    assert _ended(worker)


def _worker_of(parent: int) -> int:
    """The process id of the runner that an edgekit process has running; between two turns there is none."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                its_parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if int(its_parent) == parent and any(word.endswith(b"/engines/worker") for word in words):
                return int(entry.name)
    raise AssertionError("no runner was seen")


def _ended(pid: int) -> bool:
    """Whether a process ends within 20 s; runners end when their input does."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not alive(pid):
            return True
        time.sleep(0.05)
    return False


def test_a_newer_or_damaged_manifest_is_refused(run_cli: RunCli, copy: Path, tmp_path: Path) -> None:
    manifest = copy / MANIFEST_NAME
    manifest.write_bytes(manifest.read_bytes()[:200])
    code, _, stderr, result = bench(run_cli, tmp_path, copy)
    assert code == 3
    assert MANIFEST_NAME in stderr
    assert result is None


PHONE = DeviceInfo(
    serial="phone",
    state="device",
    transport="adb",
    clusters=(
        Cluster(cores=(0, 1, 2, 3), max_frequency_khz=1_800_000),
        Cluster(cores=(4, 5, 6), max_frequency_khz=2_400_000),
        Cluster(cores=(7,), max_frequency_khz=2_800_000),
    ),
)


def test_core_names_are_clusters() -> None:
    assert resolve_cores(PHONE, "big") == (4, 5, 6, 7)
    assert resolve_cores(PHONE, "little") == (0, 1, 2, 3)
    assert resolve_cores(PHONE, "7,4,4") == (4, 7)
    assert resolve_cores(PHONE, None) is None
    with pytest.raises(UsageError, match="no core 8"):
        resolve_cores(PHONE, "8")


def test_emulated_devices_run_few_inferences() -> None:
    emulated = msgspec.structs.replace(PHONE, emulated=True)
    timing = timing_for(emulated, BenchOptions(engines=("paddlelite",)))
    assert (timing.warmup, timing.repeats, timing.min_s) == (2, 3, 0)
    asked = timing_for(emulated, BenchOptions(engines=("paddlelite",), repeats=7))
    assert asked.repeats == 7
    assert timing_for(PHONE, BenchOptions(engines=("paddlelite",))).min_s == 2
    assert timing_for(PHONE, BenchOptions(engines=("paddlelite",), max_s=0.5)).min_s == 0.5
    with pytest.raises(UsageError, match="--max-secs 1 is less than --min-secs 5"):
        timing_for(PHONE, BenchOptions(max_s=1, min_s=5))


def _opt_without_x86(directory: Path) -> Path:
    """An opt of a version that is known to crash on x86, for looking at, not for running."""
    (directory / "lib/python3.9/site-packages/paddlelite").mkdir(parents=True)
    (directory / "lib/python3.9/site-packages/paddlelite/lite.so").touch()
    (directory / "bin").mkdir()
    (directory / "bin/python").symlink_to(sys.executable)
    program = directory / "bin/paddle_lite_opt"
    program.write_text("#!/bin/sh\necho v2.13-rc\n")
    program.chmod(0o755)
    return program


def test_paddle_lite_is_skipped_where_opt_has_no_x86(run_cli: RunCli, copy: Path, tmp_path: Path) -> None:
    manifest = json.loads((copy / MANIFEST_NAME).read_text())
    manifest["artifacts"].pop("nb-x86", None)
    (copy / MANIFEST_NAME).write_text(json.dumps(manifest))
    env = {"EDGEKIT_OPT": str(_opt_without_x86(tmp_path / "opt"))}
    output = tmp_path / "out.json"
    arguments = ["bench", "--host", *QUICK, "--processes", "1", "-o", output, copy, "--engine"]
    both = run_cli([*arguments, "onnxruntime,paddlelite"], cwd=tmp_path, env=env)
    assert both.exit_code == 0, both.stderr
    points = {point.engine: point for point in load_result(output).points}
    assert points["onnxruntime"].status is Status.DONE
    assert points["paddlelite"].status is Status.SKIPPED
    assert points["paddlelite"].error is not None
    assert "opt 2.13rc0 crashes on the target x86" in points["paddlelite"].error.message
    output.unlink()
    alone = run_cli([*arguments, "paddlelite"], cwd=tmp_path, env=env)
    assert alone.exit_code == 2
    assert "nothing ran" in alone.stderr
    assert "edgekit toolchain install opt --version 2.12" in alone.stderr
    assert not output.exists()


def test_doctor_says_that_x86_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_OPT", str(_opt_without_x86(tmp_path / "opt")))
    check = _x86()
    assert check.state is State.MISSING
    assert check.where == "opt 2.13rc0 crashes on the target x86"
    assert "edgekit toolchain install opt --version 2.12" in (check.remedy or "")


@pytest.mark.parametrize("mode", ["HIGH", "NO_BIND,LOW"])
def test_power_modes_and_cores_exclude_each_other(mode: str, run_cli: RunCli, tmp_path: Path) -> None:
    arguments = ["bench", "--device", "nowhere", "--power-mode", mode, "--cores", "big"]
    done = run_cli(arguments, cwd=tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--cores big: both choose the cores" in done.stderr


@pytest.mark.parametrize(("exit_code", "told"), [(6, True), (7, True), (8, False)])
def test_a_device_that_can_be_had_again_gets_the_hint_to_go_on(
    exit_code: int, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """6: unauthorised or full; 7: lost; another failure would be the same again."""
    error = PointError(message="pushing to phone: no space left", exit_code=exit_code)
    measured = points.result(points.point(points.process(points.samples())))
    outcome = Outcome(result=measured, path=Path("results/phone.json"), error=error)
    assert tell_outcome(TargetOutcome(serial="phone", outcome=outcome, error=error)) == exit_code
    assert ("edgekit bench --resume results/phone.json" in capsys.readouterr().err) is told


def test_a_device_whose_sweep_was_cut_short_is_not_measured_whole(capsys: pytest.CaptureFixture[str]) -> None:
    measured = points.result(points.point(points.process(points.samples())))
    outcomes = [
        TargetOutcome(
            serial=serial, outcome=Outcome(result=measured, path=Path(f"{serial}.json"), interrupted=cut)
        )
        for serial, cut in (("a", False), ("b", True))
    ]
    assert render(outcomes, as_json=False) == 130
    assert "1 of 2 devices are measured whole" in capsys.readouterr().err
