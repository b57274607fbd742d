"""`predict` from arrays to arrays, of a model of two inputs and two outputs of different types."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import RunCli
from tests.convert.onnx_models import two_inputs

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 10
K = np.array([[0, 1, 1], [1, 0, 0]], np.int64)
TABLE = np.array([[0.5, 1.0], [-2.0, 4.0]], np.float32)
WEIGHT = np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, run_cli: RunCli) -> Path:
    directory = tmp_path_factory.mktemp("arrays")
    two_inputs(directory / "two.onnx")
    words = ["import", "two.onnx", "--name", "two", "--formats", "paddle,onnx"]
    done = run_cli(words, cwd=directory)
    assert done.exit_code == 0, done.stderr
    return directory


def test_outputs_are_those_of_the_arrays(place: Path, run_cli: RunCli) -> None:
    np.savez(place / "in.npz", k=K, x=X)
    for engine in ("onnxruntime", "paddle"):
        done = run_cli(["predict", "two", "in.npz", "-o", f"{engine}.npz", "--engine", engine], cwd=place)
        assert done.exit_code == 0, done.stderr
        assert done.stdout.startswith("y float32[2,3,2]\nn int64[2,3]\nwrote ")
        with np.load(place / f"{engine}.npz") as found:
            np.testing.assert_allclose(found["y"], X @ WEIGHT + TABLE[K], atol=1e-5)
            assert np.array_equal(found["n"], 2 * K)
    np.savez(place / "in.npz", k=K.astype(">i8"), x=np.asfortranarray(X.astype(">f4")))
    done = run_cli(["predict", "two", "in.npz", "-o", "out.npz", "--json"], cwd=place)
    with np.load(place / "out.npz") as other, np.load(place / "onnxruntime.npz") as native:
        assert all(np.array_equal(other[name], native[name]) for name in ("y", "n"))
    assert [each["name"] for each in json.loads(done.stdout)["outputs"]] == ["y", "n"]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": X}, "it lacks k"),
        ({"x": X, "k": K, "z": K}, "the model has no z"),
        ({"X": X, "k": K}, "it lacks x; the model has no X"),
        ({"x": X, "k": K.astype(np.int32)}, "k is int32[2, 3], the model takes int64[N,3]"),
        ({"x": X[:, :2], "k": K}, "x is float32[2, 2, 4], the model takes float32[N,3,4]"),
        ({"x": X[:0], "k": K}, "x is float32[0, 3, 4]"),
        ({"x": X, "k": np.array(["a"], object)}, "allow_pickle"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(
    place: Path, run_cli: RunCli, arrays: dict[str, np.ndarray], said: str
) -> None:
    np.savez(place / "wrong.npz", **arrays)
    done = run_cli(["predict", "two", "wrong.npz", "-o", "never.npz"], cwd=place)
    assert done.exit_code == 3 and said in done.stderr, done.stderr
    assert not (place / "never.npz").exists()


@pytest.mark.parametrize(
    "words",
    [["--jsonl"], ["--draw", "d"], ["--top-k", "2"], ["--threshold", "0"], ["--reduced-decode"], ["--csv"]],
)
def test_options_for_pictures_are_refused(run_inside: RunCli, words: list[str]) -> None:
    done = run_inside("predict", "two", "in.npz", "-o", "out.npz", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"{words[0]} is for answers about pictures" in done.stderr


@pytest.mark.parametrize("command", ["predict", "profile"])
def test_all_devices_are_not_one(run_inside: RunCli, command: str) -> None:
    done = run_inside(command, "two", *["a.jpg"] * (command == "predict"), "--device", "all")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "this command runs on one device" in done.stderr


def test_what_is_no_file_of_arrays_is_refused(place: Path, run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no zip")
    os.mkfifo(tmp_path / "fifo.npz")
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000000, 3, 4), }".ljust(117) + "\n"
    with zipfile.ZipFile(tmp_path / "claims.npz", "w") as file:
        file.writestr("x.npy", b"\x93NUMPY\x01\x00v\x00" + header.encode())
    for name, said in (
        ("text.npz", "not a zip"),
        ("claims.npz", "Unable to allocate"),
        ("fifo.npz", "a FIFO"),
        ("no.npz", "No such file"),
    ):
        done = run_cli(["predict", "two", tmp_path / name, "-o", "never.npz"], cwd=place)
        assert done.exit_code == 3 and said in done.stderr and name in done.stderr, done.stderr
    for words, said in (
        (["in.npz"], "-o FILE is needed"),
        (["picture.png", "-o", "out.npz"], "-o FILE takes"),
        (["in.npz", "-o", "./in.npz"], "that is the file of the inputs"),
    ):
        assert said in run_cli(["predict", "two", *words], cwd=place).stderr
    pictures = run_cli(["predict", "two", "picture.png"], cwd=place)
    assert pictures.exit_code == 2 and "edgekit predict two inputs.npz -o outputs.npz" in pictures.stderr
