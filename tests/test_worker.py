from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from edgekit import _process
from edgekit._worker import Fault, Worker
from edgekit.convert.exporting.lanes import spread
from edgekit.convert.manifest import NoArtifactsError
from edgekit.errors import ConversionError, EdgekitError, InputError, OutputError
from tests.processes import alive
from tests.toy_worker import ToyAnswer, ToyJob

TOY = str(Path(__file__).with_name("toy_worker.py"))


def toy(timeout_s: float = 30) -> Worker[ToyAnswer]:
    return Worker(TOY, ToyAnswer, failure=ConversionError, timeout_s=timeout_s)


def ask(worker: Worker[ToyAnswer], act: str) -> list[str]:
    return [answer.text for answer in worker.ask(ToyJob(act), "toying", hint="edgekit toy")]


def test_one_process_does_several_jobs_and_outlives_a_refused_one() -> None:
    with toy() as worker:
        first = ask(worker, "well")
        with pytest.raises(InputError, match="reading x: damaged") as refused:
            ask(worker, "refuse")
        second = ask(worker, "well")
        pid = worker.pid
    assert first == second == ["one", str(pid)]
    assert refused.value.hint == "edgekit fetch x"
    assert pid is not None and not alive(pid)


def test_a_job_that_is_abandoned_before_its_first_answer_leaves_none_to_the_next() -> None:
    with toy() as worker:
        worker.ask(ToyJob("well"), "toying", hint="edgekit toy").close()
        abandoned = worker.pid
        assert ask(worker, "well") == ["one", str(worker.pid)]
    assert abandoned is None


@pytest.mark.parametrize(
    ("act", "kind", "message"),
    [
        ("fail", ConversionError, "toying: ValueError: last line"),
        ("full", OutputError, "toying: .*No space left on device: '/x'"),
        ("die", ConversionError, r"died while thinking \(killed by SIGSEGV\); it said: .*complains"),
        ("last words", InputError, "^it cannot$"),
        ("hang", ConversionError, "toying: the worker was still thinking after 3 s, stopped"),
    ],
)
def test_what_goes_wrong_is_named(act: str, kind: type[EdgekitError], message: str) -> None:
    with toy(timeout_s=3 if act == "hang" else 30) as worker:
        with pytest.raises(kind, match=message):
            ask(worker, act)
        # The next job is served, by another process where that one is gone.
        assert len(ask(worker, "well")) == 2


def test_a_rooms_own_error_arrives_as_the_class_of_its_exit_code() -> None:
    error = NoArtifactsError("looking for it", hint="edgekit export it")
    arrived = Fault.of(error).error()
    assert type(arrived) in NoArtifactsError.__mro__ and arrived.exit_code == error.exit_code
    assert (arrived.message, arrived.hint) == (error.message, error.hint)


def test_a_closed_iterator_ends_the_process() -> None:
    with toy() as worker:
        answers = worker.ask(ToyJob("hang"), "toying", hint="edgekit toy")
        next(answers)
        pid = worker.pid
        assert pid is not None
        answers.close()
        assert worker.pid is None and not alive(pid)


def test_a_worker_ends_with_whoever_started_it(tmp_path: Path) -> None:
    code = """
import time
from tests.test_worker import ToyJob, toy
worker = toy()
answers = worker.ask(ToyJob("hang"), "toying", hint="")
next(answers)
print(worker.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait(10)
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(pid)


HOSTILE = ("cv2", "json", "msgspec", "numpy", "onnxruntime", "paddle", "pip", "typing", "ziglang")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A directory with modules that nobody may import; whoever does leaves a `.ran` file."""
    for name in HOSTILE:
        code = f"import pathlib; pathlib.Path({str(tmp_path / name)!r} + '.ran').touch()\n"
        (tmp_path / f"{name}.py").write_text(code)
    return tmp_path


def edgekit(place: Path, *words: str) -> None:
    """Run a command as its console script does; modules of `place` must not have run."""
    program = Path(sys.executable).with_name("edgekit")
    done = _process.run([program, *words], timeout_s=300, cwd=place)
    assert done.ok, done.stderr
    assert not list(place.glob("*.ran"))


@pytest.mark.slow
def test_the_users_directory_is_not_imported_from(hostile: Path) -> None:
    edgekit(
        hostile, "export", "PPLCNet_x0_25", "--weights", "random", "--formats", "paddle,onnx", "--no-verify"
    )
    edgekit(hostile, "verify", "PPLCNet_x0_25")
    edgekit(hostile, "profile", "PPLCNet_x0_25", "--threads", "1")
    edgekit(hostile, "doctor")


def test_a_virtual_device_does_not_import_from_the_users_directory(hostile: Path) -> None:
    serial = f"hostile-{os.getpid()}"
    edgekit(hostile, "virtual", "start", "--serial", serial)
    edgekit(hostile, "virtual", "stop", serial)


@pytest.mark.slow
def test_training_does_not_import_from_the_users_directory(hostile: Path) -> None:
    from PIL import Image

    for label in range(2):
        Image.new("RGB", (64, 64), (255 * label, 0, 0)).save(hostile / f"{label}.png")
    (hostile / "list.txt").write_text("0.png 0\n1.png 1\n" * 4)
    edgekit(
        hostile, "train", "PPLCNet_x0_25", "--data", ".", "--train-list", "list.txt",
        "--val-list", "list.txt", "--num-classes", "2", "--epochs", "1", "--warmup-epochs", "0",
        "--batch-size", "2", "--processes", "2", "-o", "output",
    )  # fmt: skip


@pytest.mark.parametrize("module", ["pip", "edgekit"])
def test_pythonpath_is_looked_into_last(hostile: Path, module: str) -> None:
    environment = {"PYTHONPATH": str(hostile)}
    done = _process.run(_process.own_python(module, "--version"), timeout_s=60, cwd=hostile, env=environment)
    assert done.ok, done.stderr
    assert not list(hostile.glob("*.ran"))


def test_an_interruption_ends_the_workers_of_all_lanes() -> None:
    workers: list[Worker[ToyAnswer]] = []
    pids: list[int | None] = []
    lines: list[str] = []

    def open_worker() -> Worker[ToyAnswer]:
        workers.append(toy())
        return workers[-1]

    def hang(
        numbers: Iterator[int], worker: Worker[ToyAnswer], report: Callable[[str], None]
    ) -> Generator[ToyAnswer, None, None]:
        for number in numbers:
            with contextlib.closing(worker.ask(ToyJob("hang"), "toying", hint="edgekit toy")) as answers:
                next(answers)
                report(f"{number} hangs")
                yield next(answers)

    def interrupt(line: str) -> None:
        lines.append(line)
        if len(lines) == 2:
            pids.extend(worker.pid for worker in workers)
            raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        spread(range(5), 2, open_worker, hang, interrupt, lambda _result: None)
    assert time.monotonic() - started < 30
    assert len(pids) == 2 and not any(pid is None or alive(pid) for pid in pids)


def test_an_unexpected_error_of_a_lane_is_raised_and_results_keep_their_order() -> None:
    def slow_first(
        numbers: Iterator[int], _worker: Worker[ToyAnswer], _report: Callable[[str], None]
    ) -> Generator[int, None, None]:
        for number in numbers:
            if number > 8:
                raise ZeroDivisionError
            time.sleep(0.05 if number == 0 else 0)
            yield number

    done: list[int] = []
    assert spread(range(4), 3, toy, slow_first, print, done.append) == [0, 1, 2, 3]
    assert sorted(done) == [0, 1, 2, 3] != done
    with pytest.raises(ZeroDivisionError):
        spread([1, 9], 2, toy, slow_first, print, done.append)
