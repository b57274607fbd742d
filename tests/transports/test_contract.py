"""Contract of every DeviceTransport, on the virtual device over adb and on a board over ssh."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgekit._files import sha256_file
from edgekit.errors import DeviceError, DeviceLostError, EdgekitError, InputError
from edgekit.transports.interface import DeviceTransport
from edgekit.transports.ssh import SshTransport
from tests.devices import AdbDevice
from tests.transports.sshd import Sshd


@dataclass(frozen=True)
class Far:
    """A transport and a directory of this test's own on its far side."""

    transport: DeviceTransport
    directory: str


@pytest.fixture(params=["ssh", "adb"], scope="module")
def transport(request: pytest.FixtureRequest) -> Iterator[DeviceTransport]:
    if request.param == "adb":
        device: AdbDevice = request.getfixturevalue("virtual_device")
        opened: DeviceTransport = device.open()
    else:
        server: Sshd = request.getfixturevalue("sshd")
        opened = SshTransport(server.url)
    yield opened
    opened.close()


@pytest.fixture
def far(transport: DeviceTransport, tmp_path: Path) -> Iterator[Far]:
    directory = str(tmp_path / "far")
    if transport.name == "adb":
        directory = f"/data/local/tmp/contract-{os.getpid()}-{time.monotonic_ns()}"
    made = transport.run(["mkdir", "-p", directory])
    assert made.exit_code == 0, made.stderr
    yield Far(transport=transport, directory=directory)
    transport.remove([directory])


def _running(far: Far, word: str) -> bool:
    """Whether a process with a word in its command line lives there."""
    script = 'for p in /proc/[0-9]*/cmdline; do tr "\\000" " " < $p; echo; done 2>/dev/null'
    listing = far.transport.run(["sh", "-c", script]).stdout
    return any(word in line and "for p in" not in line for line in listing.splitlines())


def test_run_returns_exit_code_and_both_streams(far: Far) -> None:
    done = far.transport.run(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (done.exit_code, done.stdout, done.stderr) == (7, "out\n", "err\n")


def test_run_keeps_output_that_does_not_end_in_a_line_break(far: Far) -> None:
    assert far.transport.run(["printf", "%s", "a\nb"]).stdout == "a\nb"


@pytest.mark.parametrize(
    "word",
    [
        "two words",
        "'",
        '"',
        "$HOME `id` $(id)",
        "a;b|c&d>e<f",
        "*?[x]",
        "\\n",
        "größe",
        "",
        "-n",
        "~",
        "#x",
        "a\nb",
    ],
)
def test_arguments_arrive_as_they_were(far: Far, word: str) -> None:
    assert far.transport.run(["printf", "[%s]", word, "end"]).stdout == f"[{word}][end]"


def test_environment_reaches_the_command(far: Far) -> None:
    done = far.transport.run(["sh", "-c", 'printf %s "$EDGEKIT_WORD"'], env={"EDGEKIT_WORD": "it's $5"})
    assert done.stdout == "it's $5"


def test_a_missing_program_is_a_result_of_127(far: Far) -> None:
    assert far.transport.run(["/no/such/program"]).exit_code == 127


def test_a_signal_is_a_negative_exit_code(far: Far) -> None:
    assert far.transport.run(["sh", "-c", "kill -TERM $$"]).exit_code == -15


def test_a_command_that_overruns_is_lost_and_dead(far: Far) -> None:
    started = time.monotonic()
    with pytest.raises(DeviceLostError) as raised:
        far.transport.run(["sh", "-c", "sleep 8611 & sleep 8611"], timeout_s=1.0)
    assert time.monotonic() - started < 8
    assert "1 s" in raised.value.message
    _await_gone(far, "8611")


def _await_gone(far: Far, word: str) -> None:
    deadline = time.monotonic() + 5
    while _running(far, word):
        assert time.monotonic() < deadline, f"{word} still runs"
        time.sleep(0.1)


def test_big_output_arrives_whole(far: Far) -> None:
    done = far.transport.run(["sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo line-$i; i=$((i+1)); done"])
    assert done.stdout.splitlines() == [f"line-{index}" for index in range(20000)]


def test_push_and_pull_keep_every_byte(far: Far, tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(bytes(range(256)) * 40_000 + b"\r\n\0")
    sent = 0

    def count(size: int) -> None:
        nonlocal sent
        sent += size

    remote = f"{far.directory}/new/dir with space/größe.bin"
    far.transport.push(source, remote, progress=count)
    assert sent == source.stat().st_size
    assert far.transport.sha256([remote]) == {remote: sha256_file(source)}
    back = tmp_path / "back.bin"
    far.transport.pull(remote, back)
    assert back.read_bytes() == source.read_bytes()


def test_an_empty_file_travels(far: Far, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    far.transport.push(tmp_path / "empty", f"{far.directory}/empty")
    far.transport.pull(f"{far.directory}/empty", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b""


def test_push_sets_the_mode(far: Far, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho ran\n")
    far.transport.push(script, f"{far.directory}/script", mode=0o755)
    assert far.transport.run([f"{far.directory}/script"]).stdout == "ran\n"


def test_push_replaces_and_leaves_nothing_beside(far: Far, tmp_path: Path) -> None:
    source = tmp_path / "file"
    for content in ("one", "another"):
        source.write_text(content)
        far.transport.push(source, f"{far.directory}/-file")
    assert far.transport.list_files(far.directory) == ["-file"]
    assert far.transport.read_text(f"{far.directory}/-file") == "another"


def test_a_refused_push_leaves_the_old_file(far: Far, tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_text("old")
    far.transport.push(source, f"{far.directory}/a")
    source.write_text("new")
    with pytest.raises(EdgekitError) as raised:
        far.transport.push(source, f"{far.directory}/a/below-a-file")
    assert raised.value.exit_code in (DeviceError.exit_code, InputError.exit_code)
    assert raised.value.hint
    assert far.transport.list_files(far.directory) == ["a"]
    assert far.transport.read_text(f"{far.directory}/a") == "old"


def test_pushing_what_is_not_there_is_an_input_error(far: Far, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent"):
        far.transport.push(tmp_path / "absent", f"{far.directory}/x")
    assert far.transport.list_files(far.directory) == []


def test_pulling_what_is_not_there_leaves_nothing(far: Far, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        far.transport.pull(f"{far.directory}/absent", tmp_path / "got")
    assert list(tmp_path.glob("*got*")) == []
    assert not (tmp_path / "got").exists()


def test_a_failed_pull_keeps_the_old_file(far: Far, tmp_path: Path) -> None:
    (tmp_path / "got").write_text("old")
    with pytest.raises(InputError):
        far.transport.pull(f"{far.directory}/absent", tmp_path / "got")
    assert (tmp_path / "got").read_text() == "old"


def test_read_text_of_a_file_of_proc_and_of_none(far: Far) -> None:
    version = far.transport.read_text("/proc/version")
    assert version is not None
    assert version.startswith("Linux")
    assert far.transport.read_text(f"{far.directory}/absent") is None


def test_sha256_of_those_that_exist(far: Far, tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    remote = f"{far.directory}/back\\slash"
    far.transport.push(tmp_path / "abc", remote)
    # FIPS 180-2, appendix B.1
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert far.transport.sha256([remote, f"{far.directory}/absent"]) == {remote: digest}
    assert far.transport.sha256([]) == {}


def test_list_files_below_and_of_nothing(far: Far, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("f")
    for name in ("b", "deep/er/a", ".hidden"):
        far.transport.push(tmp_path / "f", f"{far.directory}/{name}")
    assert far.transport.list_files(far.directory) == [".hidden", "b", "deep/er/a"]
    assert far.transport.list_files(f"{far.directory}/absent") == []


def test_remove_files_directories_and_what_is_not_there(far: Far, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("f")
    for name in ("keep", "gone", "dir/a"):
        far.transport.push(tmp_path / "f", f"{far.directory}/{name}")
    far.transport.remove([f"{far.directory}/{name}" for name in ("gone", "dir", "absent")])
    assert far.transport.list_files(far.directory) == ["keep"]


def test_free_bytes_of_what_does_not_exist_yet(far: Far) -> None:
    free = far.transport.free_bytes(f"{far.directory}/a/b/c")
    assert free is not None
    assert free > 1_000_000


def test_a_dialogue_in_lines(far: Far) -> None:
    process = far.transport.open(["sh", "-c", 'while read -r l; do echo "<$l>"; done; echo bye; exit 3'])
    for line in ("one", "zwei größe", "x" * 100_000):
        process.write_line(line)
        assert process.read_line(10) == f"<{line}>"
    with pytest.raises(TimeoutError):
        process.read_line(0.2)
    assert process.close() == 3


def test_the_end_of_a_process_is_none_and_its_code(far: Far) -> None:
    process = far.transport.open(["sh", "-c", "echo one; echo oops >&2; exit 5"])
    assert process.read_line(10) == "one"
    assert process.read_line(10) is None
    assert process.close() == 5
    assert process.stderr_text() == "oops\n"


def test_kill_ends_all_that_a_process_started(far: Far) -> None:
    process = far.transport.open(["sh", "-c", "sleep 8622 & echo ready; sleep 8622"])
    assert process.read_line(10) == "ready"
    assert _running(far, "8622")
    process.kill()
    _await_gone(far, "8622")


def test_close_kills_what_does_not_end(far: Far) -> None:
    process = far.transport.open(["sh", "-c", "echo ready; sleep 8633"])
    assert process.read_line(10) == "ready"
    started = time.monotonic()
    assert process.close(0.5) == -9
    assert time.monotonic() - started < 8
    _await_gone(far, "8633")


def test_a_crash_is_seen_in_the_dialogue(far: Far) -> None:
    process = far.transport.open(["sh", "-c", "read l; kill -SEGV $$"])
    process.write_line("go")
    assert process.read_line(10) is None
    assert process.close() == -11


@pytest.mark.slow
def test_a_big_file_travels(far: Far, tmp_path: Path) -> None:
    source = tmp_path / "big"
    block = os.urandom(1 << 20)
    with source.open("wb") as file:
        for _ in range(200):
            file.write(block)
    far.transport.push(source, f"{far.directory}/big")
    assert list(far.transport.sha256([f"{far.directory}/big"]).values()) == [sha256_file(source)]
    far.transport.pull(f"{far.directory}/big", tmp_path / "back")
    assert sha256_file(tmp_path / "back") == sha256_file(source)
