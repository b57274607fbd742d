"""Paths that are no plain file or never end, where each command expects a file: exit code 3, at once."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import RunCli

SECONDS = 60.0  # of a busy machine; a hang has none


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def endless(path: Path) -> Path:
    path.symlink_to("/dev/zero")
    return path


def directory(path: Path) -> Path:
    path.mkdir()
    return path


def sparse(path: Path) -> Path:
    with path.open("wb") as file:
        file.truncate(10 << 30)
    return path


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    with socket.socket(socket.AF_UNIX) as server:

        def bind(path: Path) -> Path:
            server.bind(str(path))
            return path

        yield bind


MADE = [fifo, endless, directory, sparse]
PLACES = {
    "picture.jpg": ["predict", "PPLCNet_x0_25", "{}"],
    "labels.txt": ["predict", "PPLCNet_x0_25", "page.png", "--labels", "{}"],
    "list.txt": ["eval", "PPLCNet_x0_25", "--data", ".", "--list", "{}"],
    "result.json": ["report", "{}"],
    "weights.pdparams": ["export", "PPLCNet_x0_25", "--weights", "{}", "--name", "other"],
    "card.toml": ["models", "show", "{}"],
    "model.onnx": ["import", "{}", "--name", "other"],
    "model.tar": ["import", "{}", "--name", "other"],
    "bench.toml": ["bench", "--config", "{}"],
    "soc.toml": ["estimate", "PPLCNet_x0_25", "--soc", "{}"],
}
# A directory of results, of pictures or of a model is what these take as well.
TAKES_DIRECTORIES = {"picture.jpg", "result.json", "model.onnx", "model.tar"}


@pytest.mark.parametrize("made", MADE, ids=lambda made: made.__name__)
@pytest.mark.parametrize("name", PLACES)
def test_it_is_refused_at_once(
    run_cli: RunCli, x0_25: Path, tmp_path: Path, name: str, made: Callable[[Path], Path]
) -> None:
    if made is directory and name in TAKES_DIRECTORIES:
        pytest.skip("takes directories")
    if made is sparse and name in ("model.onnx", "model.tar"):
        pytest.skip("is read in pieces")
    # click refuses a directory itself where an option takes a file.
    expected = 2 if made is directory and name in ("list.txt", "bench.toml") else 3
    refused(run_cli, x0_25, tmp_path, name, made(tmp_path / name), expected)


def test_a_socket_is_refused(
    run_cli: RunCli, x0_25: Path, tmp_path: Path, listening: Callable[[Path], Path]
) -> None:
    refused(run_cli, x0_25, tmp_path, "labels.txt", listening(tmp_path / "labels.txt"))


def refused(run_cli: RunCli, x0_25: Path, tmp_path: Path, name: str, path: Path, expected: int = 3) -> None:
    (tmp_path / "models").symlink_to(x0_25.parent)
    done = run_cli([word.format(path) for word in PLACES[name]], cwd=tmp_path, timeout_s=SECONDS)
    assert done.exit_code == expected, done.stderr
    assert name in done.stderr and "Traceback" not in done.stderr


def test_a_fifo_among_pictures_is_passed_over(run_cli: RunCli, x0_25: Path, tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(x0_25.parent)
    (tmp_path / "pictures").mkdir()
    fifo(tmp_path / "pictures" / "a.jpg")
    done = run_cli(["predict", "PPLCNet_x0_25", "pictures"], cwd=tmp_path, timeout_s=SECONDS)
    assert done.exit_code == 3
    assert "a.jpg: it is a FIFO, not a plain file" in done.stderr
