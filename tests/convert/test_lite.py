"""opt is judged by the file that it leaves; the programs here stand for opts that misbehave."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from edgekit._worker import Worker
from edgekit.convert.formats.lite import Ended, check_loadable, convert, lite_worker
from edgekit.convert.formats.nb import NbHeader, read_operators
from edgekit.core.artifact import ArtifactKind
from edgekit.errors import ConversionError, ToolError
from edgekit.toolchain.opt.opt import Opt, find_opt
from tests.convert.test_nb import invented_nb
from tests.processes import alive

OUTPUT = 'for word in "$@"; do case $word in --optimize_out=*) out=${word#--optimize_out=};; esac; done\n'


def script(path: Path, body: str) -> Opt:
    path.write_text(f"#!/bin/sh\n{OUTPUT}{body}\n")
    path.chmod(0o755)
    return Opt(version="2.12", argv=(str(path),), python=None, source="EDGEKIT_OPT")


def convert_net(opt: Opt, directory: Path, timeout_s: float = 20.0, target: str = "arm") -> NbHeader:
    output = directory / f"inference.{target}.nb"
    model, params, _ = (directory / name for name in ArtifactKind.PADDLE.file_names)
    with lite_worker(opt, timeout_s=timeout_s) as worker:
        return convert(worker, opt, model, params, {target: output}, name="net")[target]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("kill -SEGV $$", "killed by SIGSEGV"),
        ("kill -ABRT $$", "killed by SIGABRT"),
        ("echo 'Model is optimized and saved successfully'", "wrote no file; it said: Model is optimized"),
        ("exit 3", "exit code 3"),
        ('echo garbage > "$out.nb"', "not a whole .nb file"),
        (': > "$out.nb"', "not a whole .nb file"),
    ],
)
def test_a_misbehaving_opt_is_a_conversion_error(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(ConversionError, match=r"net to \.nb for arm") as failure:
        convert_net(script(tmp_path / "opt", body), tmp_path)
    assert message in failure.value.message
    assert failure.value.exit_code == 5
    assert failure.value.hint


def test_an_opt_that_hangs_is_stopped_with_its_children(tmp_path: Path) -> None:
    opt = script(tmp_path / "opt", f"sleep 60 & echo $! > {tmp_path}/pid\nwait")
    started = time.monotonic()
    with pytest.raises(ConversionError, match="was still running opt after 1 s, stopped"):
        convert_net(opt, tmp_path, timeout_s=1.0)
    assert time.monotonic() - started < 10
    wait_until_dead(int((tmp_path / "pid").read_text()))


def test_a_run_ends_with_the_process_that_forked_it(tmp_path: Path) -> None:
    opt = script(tmp_path / "opt", f"echo $$ > {tmp_path}/pid\nexec sleep 60")
    with lite_worker(opt) as worker:
        model, params, _ = (tmp_path / name for name in ArtifactKind.PADDLE.file_names)
        with pytest.raises(ConversionError, match=r"died while running opt \(killed by SIGKILL\)"):
            threading.Thread(target=kill_once_there, args=(tmp_path / "pid", worker)).start()
            convert(worker, opt, model, params, {"arm": tmp_path / "inference.arm.nb"}, name="net")
    wait_until_dead(int((tmp_path / "pid").read_text()))


def kill_once_there(path: Path, worker: Worker[Ended]) -> None:
    while not (path.exists() and path.read_text()):
        time.sleep(0.02)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)


def wait_until_dead(pid: int) -> None:
    deadline = time.monotonic() + 10  # a loaded kernel takes its time over a signal
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


def test_a_truncated_file_with_a_good_exit_code_is_a_conversion_error(tmp_path: Path) -> None:
    (tmp_path / "whole.nb").write_bytes(invented_nb())
    opt = script(tmp_path / "opt", f'head -c 60 {tmp_path}/whole.nb > "$out.nb"')
    with pytest.raises(ConversionError, match=r"not a whole \.nb file"):
        convert_net(opt, tmp_path)


def test_a_whole_file_counts_whatever_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "whole.nb").write_bytes(invented_nb())
    opt = script(tmp_path / "opt", f'cat {tmp_path}/whole.nb > "$out.nb"; kill -SEGV $$')
    assert convert_net(opt, tmp_path).opt_version == "2.12"
    assert not list(tmp_path.glob("*.log"))


def test_the_known_crash_names_the_version_that_works(tmp_path: Path) -> None:
    opt = Opt(
        version="2.13rc0",
        argv=script(tmp_path / "opt", "kill -SEGV $$").argv,
        python=None,
        source="environment",
    )
    with pytest.raises(ConversionError) as failure:
        convert_net(opt, tmp_path, target="x86")
    assert "known to crash on x86" in (failure.value.hint or "")


def test_an_opt_that_cannot_be_started_is_a_tool_error(tmp_path: Path) -> None:
    opt = Opt(version="2.12", argv=(str(tmp_path / "absent"),), python=None, source="EDGEKIT_OPT")
    with pytest.raises(ToolError, match="absent"):
        convert_net(opt, tmp_path)


def test_the_real_opt_on_a_truncated_model(x0_25: Path, tmp_path: Path) -> None:
    opt = find_opt()
    assert opt is not None
    for name in ("inference.pdmodel", "inference.pdiparams"):
        content = (x0_25 / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ConversionError, match=r"net to .nb for arm"):
        convert_net(opt, tmp_path)


def test_paddle_lite_loads_what_it_made_and_nothing_else(x0_25: Path, tmp_path: Path) -> None:
    opt = find_opt()
    assert opt is not None
    nb = x0_25 / "inference.x86.nb"
    if not nb.exists() or opt.python is None:
        pytest.skip(f"opt {opt.version} makes no x86 .nb or brings no interpreter")
    broken = tmp_path / "inference.x86.nb"
    broken.write_bytes(nb.read_bytes()[:-1000])
    with lite_worker(opt) as worker:
        assert check_loadable(worker, opt, nb, "net")
        pid = worker.pid
        with pytest.raises(ConversionError, match=r"inference\.x86\.nb"):
            check_loadable(worker, opt, broken, "net")
        assert check_loadable(worker, opt, nb, "net")
        assert worker.pid == pid, "a crash ends its own fork alone"


def test_opts_program_for_opencl_copies_to_the_gpu_and_back(x0_25: Path, tmp_path: Path) -> None:
    opt = find_opt()
    assert opt is not None
    model, params, _ = (x0_25 / name for name in ArtifactKind.PADDLE.file_names)
    output = tmp_path / ArtifactKind.NB_OPENCL.file_names[0]
    with lite_worker(opt) as worker:
        convert(worker, opt, model, params, {"opencl": output}, name="net")
    assert read_operators(output).count("io_copy") == 2
    assert "io_copy" not in read_operators(x0_25 / ArtifactKind.NB_ARM.file_names[0])
