from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgekit import _files
from edgekit._files import atomic_file, new_directory, temporary_directory, write_atomic
from edgekit.errors import OutputError


def test_the_old_file_stays_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError), _files.atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_place_that_is_a_file_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as raised:
        _files.write_atomic(tmp_path / "file" / "below", "x")
    assert raised.value.exit_code == 3
    assert raised.value.hint


def test_a_full_disk_is_an_output_error_and_leaves_nothing(tmp_path: Path) -> None:
    """A tmpfs of 64 kB in a user namespace of its own is really full."""
    code = (
        "from pathlib import Path\n"
        "from edgekit import _files\n"
        "from edgekit.errors import OutputError\n"
        f"place = Path({str(tmp_path)!r})\n"
        "try:\n"
        "    _files.write_atomic(place / 'big', bytes(1 << 20))\n"
        "except OutputError as error:\n"
        "    print(error.message, '|', error.hint, '|', list(place.iterdir()))\n"
    )
    script = f'mount -t tmpfs -o size=64k none {tmp_path} && exec {sys.executable} -c "$CODE"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
        env={**os.environ, "CODE": code},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "unshare" in done.stderr:
        pytest.skip("needs user namespaces")
    assert "No space left" in done.stdout, done.stderr
    assert "free space" in done.stdout
    assert done.stdout.rstrip().endswith("[]")


def test_sigkill_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    code = (
        "from edgekit import _files; from pathlib import Path; import time, sys\n"
        f"with _files.atomic_file(Path({str(path)!r})) as t:\n"
        "    t.write_text('half'); print('writing', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "writing\n"
    child.send_signal(signal.SIGKILL)
    child.wait(10)
    assert path.read_text() == "old"
    _files.remove_stale_parts(tmp_path)
    assert os.listdir(tmp_path) == ["file"]


def test_the_second_holder_waits_and_names_the_first(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    code = (
        "from edgekit import _files; from pathlib import Path; import time\n"
        f"with _files.locked(Path({str(lock)!r}), 'x'):\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        started = time.monotonic()
        with (
            pytest.raises(OutputError, match=f"process {child.pid}"),
            _files.locked(lock, "x", timeout_s=0.5),
        ):
            pass
        assert time.monotonic() - started < 5
    finally:
        child.kill()
        child.wait(10)
    with _files.locked(lock, "x", timeout_s=5):  # the kernel let go when its holder died
        pass


def test_the_umask_holds_and_is_never_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the whole process's: another thread's files would take the bits of the moment."""
    before = os.umask(0o027)
    monkeypatch.setattr(os, "umask", None)
    try:
        _files.write_atomic(tmp_path / "file", "x")
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def _killed_while_writing(script: str, directory: Path) -> None:
    """Run a script that says `ready` in the middle of its work, and kill it there."""
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(directory)], stdout=subprocess.PIPE, env={**os.environ}
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    child.kill()
    child.wait()
    child.stdout.close()


WRITER = """
import sys, time
from pathlib import Path
from edgekit._files import atomic_file, new_directory
place = Path(sys.argv[1])
with atomic_file(place / "out.apk") as part, new_directory(place / "bundle") as new:
    part.write_bytes(b"half")
    (new / "half").touch()
    print("ready", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_writer_left_goes_with_the_next(tmp_path: Path) -> None:
    _killed_while_writing(WRITER, tmp_path)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert len(left) == 2
    long_ago = time.time() - 3600
    for name in left:
        os.utime(tmp_path / name, (long_ago, long_ago))
    write_atomic(tmp_path / "out.apk", "whole")
    with new_directory(tmp_path / "bundle") as new:
        (new / "whole").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "out.apk"]


def test_what_a_living_writer_has_begun_stays(tmp_path: Path) -> None:
    long_ago = time.time() - 3600
    with atomic_file(tmp_path / "out.apk") as part, temporary_directory("held-", tmp_path) as work:
        for path in (part, work):
            os.utime(path, (long_ago, long_ago))
        write_atomic(tmp_path / "out.apk", "another's")
        with temporary_directory("held-", tmp_path):
            assert part.exists()
            assert work.exists()
        part.write_text("mine")
    assert (tmp_path / "out.apk").read_text() == "mine"


def test_a_file_that_says_it_is_empty_is_read_whole() -> None:
    """The kernel gives the files of /proc a size of 0, as it does a file that has grown since."""
    found = _files.read_bytes(Path("/proc/self/status"), "the status")
    assert found.startswith(b"Name:")
    assert found.endswith(b"\n")
