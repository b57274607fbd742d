from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from edgekit import _process
from edgekit.errors import ToolError
from tests.processes import alive


def test_output_and_exit_code_are_kept() -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    done = _process.run([sys.executable, "-c", code], timeout_s=20)
    assert (done.exit_code, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert not done.ok


def test_a_missing_program_is_a_tool_error() -> None:
    with pytest.raises(ToolError, match="no-such-program"):
        _process.run(["no-such-program"], timeout_s=5)


def test_a_hang_is_killed_with_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "grandchild"
    script = f"sleep 60 & echo $! > {pid_file}; wait"
    started = time.monotonic()
    with pytest.raises(ToolError, match="no end after"):
        _process.run(["sh", "-c", script], timeout_s=1)
    assert time.monotonic() - started < 10
    grandchild = int(pid_file.read_text())
    deadline = time.monotonic() + 5
    while alive(grandchild) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(grandchild)


def test_lines_go_in_and_out(tmp_path: Path) -> None:
    child = _process.LineChild(["cat"], stderr_path=tmp_path / "stderr")
    child.write_line("one")
    assert child.read_line(5) == "one"
    child.write_line("zwei ü")
    assert child.read_line(5) == "zwei ü"
    with pytest.raises(TimeoutError):
        child.read_line(0.1)
    assert child.close() == 0


def test_a_crash_is_an_end_of_output_and_a_signal(tmp_path: Path) -> None:
    child = _process.LineChild(["sh", "-c", "echo dying >&2; kill -SEGV $$"], stderr_path=tmp_path / "stderr")
    assert child.read_line(5) is None
    assert _process.describe_exit(child.close()) == "killed by SIGSEGV"
    assert child.stderr_text() == "dying\n"


def test_the_environment_can_be_extended_and_reduced() -> None:
    done = _process.run(
        [sys.executable, "-c", "import os; print(os.environ.get('A'), os.environ.get('HOME'))"],
        timeout_s=20,
        env={"A": "1", "HOME": None},
    )
    assert done.stdout == "1 None\n"
    assert os.environ.get("A") is None


def test_a_thread_that_reads_hears_of_the_kill_by_another() -> None:
    for _ in range(60):
        child = _process.LineChild(["sleep", "60"])
        ended: list[object] = []

        def read(child: _process.LineChild = child, ended: list[object] = ended) -> None:
            ended.append(child.read_line(30))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        time.sleep(0.005)
        child.kill()
        reader.join(5)
        assert ended == [None]
