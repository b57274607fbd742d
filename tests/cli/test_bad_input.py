"""Exit code 1 is a bug of edgekit alone: whatever is given to it, or taken from it, has another."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit._cards import cards_directory
from tests.conftest import CliResult, RunCli

RunInside = Callable[..., CliResult]
DIGITS = "9" * 5000


def refuses(done: CliResult, *codes: int) -> None:
    assert done.exit_code in (codes or (2, 3)), done.stderr
    assert "error:" in done.stderr and "bug" not in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["bench", "net", "--host", "--threads", DIGITS],
        ["bench", "net", "--host", "--threads", "1,99999999999999999999"],
        ["bench", "net", "--host", "--repeats", "99999999999999999999"],
        ["bench", "net", "--host", "--cooldown", "inf"],
        ["bench", "net", "--host", "--max-secs", "nan"],
        ["bench", "net", "--host", "--target-ci", f"{DIGITS}%"],
        ["export", "PPLCNet_x0_25", "--input-shape", f"3,{DIGITS},224"],
        ["export", "PPLCNet_x0_25", "--num-classes", DIGITS],
        ["import", "net.onnx", "--name", "x", "--input-shape", f"x=1,{DIGITS}"],
        ["predict", "net", "a.jpg", "--threads", "99999999999"],
        ["predict", "net", "a.jpg", "--threshold", "nan"],
        ["quantize", "net", "--calibration", ".", "--max-drop", "nan"],
        ["train", "PPLCNet_x0_25", "--data", ".", "--learning-rate", "inf"],
        ["train", "PPLCNet_x0_25", "--data", ".", "--seed", DIGITS],
        ["estimate", "PPLCNet_x1_0", "--threads", "99999999999"],
        ["models", "show", DIGITS],
        ["report", DIGITS],
        ["bench", DIGITS, "--host"],
    ],
    ids=lambda words: " ".join(words)[:60],
)
def test_numbers_that_are_none(run_inside: RunInside, words: list[str]) -> None:
    refuses(run_inside(*words))


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", DIGITS, "1e400", '"\\u0000"', "[[]]", "1979-01-01"])
@pytest.mark.parametrize(
    "option", ["cooldown", "max-secs", "threads", "repeats", "engine", "models", "cores"]
)
def test_values_of_a_configuration(run_inside: RunInside, tmp_path: Path, option: str, value: str) -> None:
    (tmp_path / "bench.toml").write_text(f"host = true\n{option} = {value}\n")
    refuses(run_inside("bench", "--config", "bench.toml", "--no-install"))


@pytest.mark.parametrize("value", ["1e9", "1000000000", DIGITS, "inf", "nan", "0", "-1", "true", "[]"])
@pytest.mark.parametrize("field", ["crop_size", "resize_short", "scale", "num_classes"])
def test_values_of_a_card(run_inside: RunInside, tmp_path: Path, field: str, value: str) -> None:
    text = (cards_directory() / "PPLCNet_x0_25.toml").read_text()
    if field == "num_classes":
        text = f"num_classes = {value}\n" + text
    else:
        text = f"{text}\n[preprocess]\n{field} = {value}\n"
    (tmp_path / "card.toml").write_text(text)
    refuses(run_inside("models", "show", "card.toml"), 3, *([0] if (field, value) == ("scale", "0") else []))


def test_a_tuple_of_an_unreadable_number_in_a_soc(run_inside: RunInside, tmp_path: Path) -> None:
    for text in (f"name = {DIGITS}", 'name = "\\u0000"', "\udcff", "fits = []", "x = " + "[" * 10_000):
        (tmp_path / "soc.toml").write_bytes(text.encode(errors="surrogateescape"))
        refuses(run_inside("estimate", "PPLCNet_x1_0", "--soc", "soc.toml"), 3)


def test_a_nul_in_lists_and_names(run_inside: RunInside, tmp_path: Path, x0_25: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"a\0b.jpg 1\n")
    refuses(run_inside("eval", x0_25, "--data", ".", "--list", "list.txt"), 3)
    (tmp_path / "labels.txt").write_bytes(b"a\0b\n" * 1000)
    refuses(run_inside("predict", x0_25, "a.jpg", "--labels", "labels.txt"), 3)


def test_file_names_that_are_not_utf_8(run_cli: RunCli, tmp_path: Path, x0_25: Path) -> None:
    page = (cards_directory() / "samples" / "page_0.png").read_bytes()
    (tmp_path / "pictures").mkdir()
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / "pictures" / name).write_bytes(page)
    for form in ([], ["--json"], ["--jsonl"]):
        done = run_cli(["predict", x0_25, "pictures", *form], cwd=tmp_path)
        assert done.exit_code == 0, done.stderr
        assert r"caf\xe9.png" in done.stdout.replace("\\\\", "\\")
    (tmp_path / name).mkdir()
    (tmp_path / name / "models").symlink_to(x0_25.parent)
    done = run_cli(["models", "list", "--json"], cwd=tmp_path / name)
    assert done.exit_code == 0, done.stderr
    (tmp_path / name / "r.json").write_text("{}")
    for words in (["report", f"{name}/r.json"], ["import", name, "--name", "x"], ["models", "show", name]):
        refuses(run_cli(words, cwd=tmp_path), 2, 3)


def serve_rubbish(answer: bytes) -> tuple[socket.socket, int]:
    server = socket.create_server(("127.0.0.1", 0))

    def answer_all() -> None:
        while True:
            try:
                connection, _ = server.accept()
                connection.recv(100)
                connection.sendall(answer)
                connection.close()
            except OSError:
                return

    threading.Thread(target=answer_all, daemon=True).start()
    return server, server.getsockname()[1]


@pytest.mark.parametrize(
    "answer", [b"\xff\xfe" * 50, b"OKAY\xff\xff\xff\xff", b"OKAYzzzz", b"OKAYffff" + b"\xff" * 9, b"FAIL\xff"]
)
def test_an_adb_server_that_answers_rubbish(
    run_inside: RunInside, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    server, port = serve_rubbish(answer)
    with server:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        # Text that is none reads as no device.
        assert run_inside("devices").exit_code in (0, 4, 6, 7)
        refuses(run_inside("push", "--device", "x", "--no-install"), 3, 4, 6, 7)


@pytest.mark.parametrize(
    ("script", "codes"),
    [
        ("$EDGEKIT models list >&-", (0, 3)),
        ("$EDGEKIT models list 2>&-", (0,)),
        ("set -o pipefail; $EDGEKIT models list --json | true", (0,)),
        ("$EDGEKIT models list <&- >&- 2>&-", (0, 3)),
        ("$EDGEKIT report nothing.json >&- 2>&-", (3,)),
        ("$EDGEKIT models list >/dev/full", (3,)),
        ("$EDGEKIT models list --json >/dev/full", (3,)),
        ("$EDGEKIT report nothing.json 2>/dev/full", (3,)),
        ("$EDGEKIT --debug report nothing.json", (3,)),
        ("$EDGEKIT --debug nothing", (2,)),
        ("PYTHONIOENCODING=ascii $EDGEKIT models list", (0,)),
        ("LC_ALL=C $EDGEKIT models list", (0,)),
        ("COLUMNS=0 $EDGEKIT models list", (0,)),
        ("COLUMNS=x $EDGEKIT models list", (0,)),
        ("EDGEKIT_CACHE=/dev/null $EDGEKIT cache list", (0, 3)),
        ("EDGEKIT_CACHE=/dev/null/x $EDGEKIT fetch PPLCNet_x0_25 --mirror /nowhere", (3, 4)),
        ("HOME=/nonexistent $EDGEKIT models list", (0,)),
        ("mkdir gone && cd gone && rmdir ../gone && $EDGEKIT models list", (0, 3)),
        ("mkdir gone && cd gone && rmdir ../gone && $EDGEKIT report x.json", (3,)),
        ("ulimit -n 12; $EDGEKIT models list", (0, 3)),
        ("ulimit -f 0; $EDGEKIT models list > out; exit $?", (0, 3, 153)),
    ],
)
def test_surroundings_that_take_or_give_nothing(tmp_path: Path, script: str, codes: tuple[int, ...]) -> None:
    environment = {**os.environ, "EDGEKIT": f"{sys.executable} -m edgekit", "NO_COLOR": "1"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode in codes, done.stderr
    assert "a bug in edgekit" not in done.stderr


FULL = 'mount -t tmpfs -o size=64k none "$PLACE" && head -c 60k /dev/zero > "$PLACE/filler"; exec $EDGEKIT '


@pytest.mark.parametrize(
    "words", ["bench {} --host --engine onnxruntime --processes 1", "verify {} --no-install"]
)
def test_a_full_place_for_temporary_files(tmp_path: Path, x0_25: Path, words: str) -> None:
    place = tmp_path / "full"
    place.mkdir()
    environment = {
        **os.environ, "EDGEKIT": f"{sys.executable} -m edgekit", "PLACE": str(place), "TMPDIR": str(place),
    }  # fmt: skip
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", FULL + words.format(x0_25)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if "unshare" in done.stderr:
        pytest.skip("needs user namespaces")
    assert done.returncode == 3, done.stderr
    assert "TMPDIR" in done.stderr or "space" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", ["compare '' ''", "report loop.json", "report ''"])
def test_results_that_have_no_name_or_no_end(tmp_path: Path, run_cli: RunCli, words: str) -> None:
    (tmp_path / "loop.json").symlink_to("loop.json")
    done = run_cli(shlex.split(words), cwd=tmp_path)
    assert done.exit_code == 3, done.stderr
    assert "a bug in edgekit" not in done.stderr


def test_a_list_of_ten_gigabytes_is_not_read(tmp_path: Path, x0_25: Path, run_cli: RunCli) -> None:
    with (tmp_path / "list.txt").open("wb") as file:
        file.truncate(10 << 30)
    done = run_cli(["eval", x0_25, "--data", ".", "--list", "list.txt"], cwd=tmp_path, timeout_s=20)
    assert done.exit_code == 3
    assert "larger than 512 MiB" in done.stderr
