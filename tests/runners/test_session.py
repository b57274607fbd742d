"""The session's side of the conversation, against runners that go wrong on purpose."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import DeviceError, RunnerError, UnsupportedError
from edgekit.runners.launch import host_launcher
from edgekit.runners.protocol import ErrorCode, Run
from edgekit.runners.refusal import RefusedError
from edgekit.runners.session import RunnerSession
from edgekit.runners.shared import SharedArray
from edgekit.transports.local import LocalTransport
from tests.processes import alive
from tests.runners.cases import RUNNERS, picture_load

LOAD = picture_load("/models/net.onnx", (1, 3, 8, 8))


def session_with(script: str, *, patience: float = 1.0) -> RunnerSession:
    """A session with a program of our own; `request` is the line that it has read."""
    program = f"import os, signal, sys, time\nrequest = sys.stdin.readline()\n{script}\n"
    argv = [sys.executable, "-c", program]
    return RunnerSession(LocalTransport(), argv, label="fake on net", patience=patience)


def test_a_crash_names_signal_artifact_and_last_words() -> None:
    script = "print('kernel for X is not supported', file=sys.stderr, flush=True); os.abort()"
    with session_with(script) as session, pytest.raises(RunnerError) as caught:
        session.load(LOAD)
    for word in ("fake on net", "SIGABRT", "/models/net.onnx", "kernel for X is not supported", "load"):
        assert word in caught.value.message
    assert caught.value.exit_code == 8
    assert caught.value.hint


def test_what_an_aborting_engine_printed_is_shown() -> None:
    """The native runner answers for an engine that calls abort(); the reason may come after the answer."""
    refusal = {"code": "model_invalid", "message": "the engine aborted; its reason is on stderr"}
    answer = json.dumps({"ok": False, "op": "load", "error": refusal})
    script = (
        f"print({answer!r}, flush=True); time.sleep(0.2)\n"
        "print(\"[W 1/1 y.cc] odd\\n[F 1/1 x.cc] kernel for 'conv2d' is not supported\", file=sys.stderr)"
    )
    with session_with(script) as session, pytest.raises(RefusedError) as caught:
        session.load(LOAD)
    assert caught.value.message == (
        "fake on net: the engine aborted: [F 1/1 x.cc] kernel for 'conv2d' is not supported"
    )


def test_a_shells_way_of_reporting_a_signal_is_understood() -> None:
    with (
        session_with("sys.exit(128 + signal.SIGSEGV)") as session,
        pytest.raises(RunnerError, match="SIGSEGV"),
    ):
        session.load(LOAD)


def test_an_end_without_a_signal_is_a_crash_too() -> None:
    with session_with("sys.exit(3)") as session, pytest.raises(RunnerError, match="exit code 3"):
        session.load(LOAD)


def test_a_hanging_runner_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = (
        f"import subprocess\nchild = subprocess.Popen(['sleep', '300'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\ntime.sleep(300)"
    )
    with session_with(script) as session:
        started = time.monotonic()
        with pytest.raises(RunnerError, match="no answer to load within 1 s"):
            session.load(LOAD, timeout_s=1.0)
        assert time.monotonic() - started < 10
        with pytest.raises(RunnerError, match="has ended"):
            session.environment()
    deadline = time.monotonic() + 5
    while any(alive(int(pid)) for pid in pids.read_text().split()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(int(pid)) for pid in pids.read_text().split())


def test_an_emulated_runner_is_given_more_time() -> None:
    with (
        session_with("time.sleep(300)", patience=3.0) as session,
        pytest.raises(RunnerError, match=r"no answer to load within 0\.6 s"),
    ):
        session.load(LOAD, timeout_s=0.2)


@pytest.mark.parametrize(
    "answer",
    ["hello", "{}", "[]", '{"ok": true, "op": "run"}', '{"ok": true, "op": "load", "protocol": "one"}',
     '{"ok": false, "op": "load"}', '{"ok": false, "op": "load", "error": {"code": "whim", "message": ""}}'],
)  # fmt: skip
def test_nonsense_is_a_runner_error(answer: str) -> None:
    with session_with(f"print({answer!r}, flush=True); sys.stdin.read()") as session:
        with pytest.raises(RunnerError, match="answered load"):
            session.load(LOAD)
        with pytest.raises(RunnerError, match="has ended"):
            session.load(LOAD)


def test_another_protocol_is_refused_by_this_side_too() -> None:
    answer = (
        '{"ok": true, "op": "load", "protocol": 2, "engine": "x", "engine_version": "1", "load_ns": 1, '
        '"requested_threads": 1, "effective_threads": 1, "cores": [], "inputs": [], "outputs": [], "pid": 1}'
    )
    script = f"print({answer!r}, flush=True); sys.stdin.read()"
    with session_with(script) as session, pytest.raises(RunnerError, match="speaks protocol 2, edgekit 3"):
        session.load(LOAD)


def test_a_program_that_does_not_exist_is_a_device_error() -> None:
    session = RunnerSession(LocalTransport(), ["/no/such/runner"], label="nothing")
    with pytest.raises(DeviceError, match="/no/such/runner"):
        session.start()


def test_refusals_keep_the_runner_and_carry_their_code(tmp_path: Path, x0_25: Path) -> None:
    launcher = host_launcher("onnxruntime")
    path, _, sha256 = next(case for case in RUNNERS if case.name == "onnxruntime").paths(x0_25)
    load = picture_load(str(path))
    with RunnerSession(LocalTransport(), launcher.argv, label="onnxruntime on x0_25") as session:
        with pytest.raises(RefusedError) as caught:
            session.load(picture_load(str(tmp_path / "gone.onnx")))
        assert caught.value.code is ErrorCode.MODEL_MISSING
        assert "gone.onnx" in caught.value.message
        assert caught.value.hint
        session.check(str(path), sha256)
        with pytest.raises(RefusedError) as differs:
            session.check(str(path), "0" * 64)
        assert differs.value.code is ErrorCode.HASH_MISMATCH
        with pytest.raises(UnsupportedError, match="power_mode"):
            session.load(picture_load(str(path), power_mode="HIGH"))
        session.load(load)
        (outputs,), answer = session.infer([np.zeros((3, 3, 224, 224), np.float32)])
        assert outputs.shape == answer.outputs[0].shape == (3, 1000)
        assert outputs.sum() == pytest.approx(3, abs=1e-3)
        ran = session.run(Run(warmup=0, warmup_ns=0, repeats=2, min_ns=0))
        assert len(ran.samples_ns) == 2
        assert session.close() == 12


class Far(LocalTransport):
    """This machine as one whose runners have files of their own."""

    def push(self, local: Path, remote: str) -> None:
        Path(remote).parent.mkdir(exist_ok=True)
        shutil.copyfile(local, remote)

    def pull(self, remote: str, local: Path) -> None:
        shutil.copyfile(remote, local)

    def remove(self, remotes: Sequence[str], *, timeout_s: float = 30.0) -> None:
        for remote in remotes:
            Path(remote).unlink()


def test_files_travel_to_a_far_side_with_files_of_its_own(tmp_path: Path, x0_25: Path) -> None:
    launcher = host_launcher("onnxruntime")
    path, _, _ = next(case for case in RUNNERS if case.name == "onnxruntime").paths(x0_25)
    scratch = tmp_path / "far"
    session = RunnerSession(Far(), launcher.argv, scratch=str(scratch), label="far")
    with session:
        session.load(picture_load(str(path)))
        (outputs,), _ = session.infer([np.ones((1, 3, 224, 224), np.float32)])
        assert outputs.shape == (1, 1000)
        assert sorted(file.name for file in scratch.iterdir()) == ["in", "out"]
    assert list(scratch.iterdir()) == []


def test_threads_share_a_runner_and_each_gets_its_own_part_of_a_file(x0_25: Path) -> None:
    launcher = host_launcher("onnxruntime")
    path, _, _ = next(case for case in RUNNERS if case.name == "onnxruntime").paths(x0_25)
    shared = SharedArray((6, 3, 224, 224))
    shared.array[...] = np.random.default_rng(0).standard_normal(shared.array.shape)
    size = shared.array[0].nbytes
    with RunnerSession(LocalTransport(), launcher.argv, env=launcher.env, label="onnxruntime") as session:
        session.load(picture_load(str(path)))
        expected = [session.infer([row[None]])[0][0] for row in shared.array]

        def ask(row: int) -> bool:
            (found,), _ = session.infer_file(shared.path, [(1, 3, 224, 224)], skip=row * size)
            return np.array_equal(found, expected[row])

        with ThreadPoolExecutor(3) as pool:
            assert all(pool.map(ask, list(range(6)) * 5))
        with pytest.raises(RefusedError, match="bytes"):
            session.infer_file(shared.path, [(2, 3, 224, 224)], skip=5 * size)
        with pytest.raises(RefusedError, match="bytes"):
            session.infer_file(shared.path, [(1, 3, 224, 224)])
    shared.close()


def test_a_crash_is_told_to_all_that_wait() -> None:
    script = "sys.stdin.readline(); time.sleep(0.3); os.abort()"
    with session_with(script) as session, ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(session.run, Run(), timeout_s=30) for _ in range(2)]
        for each in asked:
            with pytest.raises(RunnerError, match=r"SIGABRT|has ended"):
                each.result(30)


def test_hints_make_the_very_model_anew() -> None:
    refusal = {"code": "model_invalid", "message": "no model"}
    answer = json.dumps({"ok": False, "op": "load", "error": refusal})
    program = f"import sys\nsys.stdin.readline()\nprint({answer!r}, flush=True)\nsys.stdin.readline()"
    session = RunnerSession(
        LocalTransport(),
        [sys.executable, "-c", program],
        label="fake on variant",
        remake=lambda: "edgekit export PPLCNet_x0_25 --name variant --force",
    )
    with session, pytest.raises(RefusedError) as caught:
        session.load(LOAD)
    assert caught.value.hint == (
        "edgekit export PPLCNet_x0_25 --name variant --force  makes the artifacts again"
    )


def test_the_hint_is_built_for_errors_alone() -> None:
    answer = '{"ok": true, "op": "reference", "reference_ns": 1, "sha256": ""}'
    program = f"import sys\nsys.stdin.readline()\nprint({answer!r}, flush=True)\nsys.stdin.readline()"
    asked: list[str] = []
    session = RunnerSession(
        LocalTransport(),
        [sys.executable, "-c", program],
        label="fake on net",
        remake=lambda: asked.append("hint") or "edgekit export net",
    )
    with session:
        assert session.reference_ns() == 1
        assert not asked
        with pytest.raises(RunnerError) as caught:
            session.reference_ns()
    assert asked
    assert "edgekit export net makes the artifact again" in str(caught.value.hint)
