"""`edgekit-classify` gives the answers of `edgekit predict`, without Python."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from edgekit import EdgeKit
from edgekit.toolchain.build.classifier import SHARED, STB_HEADER
from edgekit.toolchain.build.native import SOURCES
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.fetch.apt import fetch_packages
from tests.pages import ORIENTATIONS, render_page, rotate

# `predict` rounds scores to five decimals.
ROUNDING = 5e-6


def call(program: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": "/nonexistent"},
    )  # fmt: skip


def write(path: Path, number: int, width: int | None = None) -> Path:
    page = rotate(render_page(number), ORIENTATIONS[number % 4])[:, :, ::-1]
    if width is not None:
        page = cv2.resize(page, (width, width * 3 // 2))
    assert cv2.imwrite(str(path), np.ascontiguousarray(page))
    return path


def largest_difference(program: Path, model: Path, pictures: Iterable[Path]) -> float:
    """The largest difference of any class's score from `predict`; labels and order must be the same."""
    names = [str(path) for path in pictures]
    done = call(program, model, *names)
    assert done.returncode == 0, done.stderr
    got = [json.loads(line) for line in done.stdout.splitlines()]
    want: list[Any] = [answer for batch in EdgeKit(str(model)).predict(names) for answer in batch]
    worst = 0.0
    for ours, theirs in zip(got, want, strict=True):
        assert ours["filename"] == theirs["filename"]
        assert ours["class_ids"][0] == theirs["class_ids"][0]
        assert ours["label_names"][0] == theirs["label_names"][0]
        scores = dict(zip(ours["class_ids"], ours["scores"], strict=True))
        pairs = zip(theirs["class_ids"], theirs["scores"], strict=True)
        worst = max(worst, *(abs(scores[each] - score) for each, score in pairs))
    return worst


def test_png_pages_score_as_predict_scores_them(program: Path, doc_ori: Path, tmp_path: Path) -> None:
    # Beside whole pages: exactly half the size, enlarged, and unchanged.
    pages = [write(tmp_path / f"{number}.png", number) for number in range(8)]
    pages += [write(tmp_path / f"w{width}.png", 9, width) for width in (512, 100, 256, 257)]
    assert largest_difference(program, doc_ori, pages) < 1e-5 + ROUNDING


def test_jpeg_pages_score_nearly_so(program: Path, doc_ori: Path, tmp_path: Path) -> None:
    pages = [write(tmp_path / f"{number}.jpg", number) for number in range(8)]
    assert largest_difference(program, doc_ori, pages) < 1e-2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(program: Path, doc_ori: Path, tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.jpg"
    Image.fromarray(render_page(3)).save(path, exif=exif, quality=95)
    assert largest_difference(program, doc_ori, [path]) < 1e-2


def test_what_is_no_picture_is_reported_and_passed_over(program: Path, doc_ori: Path, tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.png", write(tmp_path / "good.png", 1)
    bad.write_bytes(good.read_bytes()[:900])
    done = call(program, doc_ori, bad, tmp_path / "none.png", good)
    assert done.returncode == 3
    assert [json.loads(line)["filename"] for line in done.stdout.splitlines()] == [str(good)]
    assert str(bad) in done.stderr
    assert "none.png: No such file" in done.stderr


def test_another_file_than_exported_is_refused(program: Path, doc_ori: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(doc_ori, copy)
    with (copy / "inference.onnx").open("ab") as file:
        file.write(b"x")
    done = call(program, copy, write(tmp_path / "page.png", 1))
    assert (done.returncode, done.stdout) == (4, "")
    assert "not the one that the manifest names" in done.stderr


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"output_activation": "sigmoid"}, "output_activation is sigmoid"),
        (
            {"postprocess": {"kind": "multilabel", "thresholds": [0.5]}},
            "a model of this task does not answer by multilabel",
        ),
        (
            {"task": "multilabel", "postprocess": {"kind": "multilabel", "thresholds": [0.5, 0.5]}},
            "2 thresholds or the default class do not fit 4 classes",
        ),
        (
            {"preprocess": {"steps": [{"step": "resize", "size": [8, 16], "backend": "pillow",
                                       "interpolation": "bilinear"}]}},
            "the model wants pillow, bilinear",
        ),
        (
            {"preprocess": {"steps": [{"step": "crop", "size": [8, 16]},
                                      {"step": "resize", "short": 8, "backend": "opencv",
                                       "interpolation": "bicubic"}]}},
            "leaves the size to the picture",
        ),
        (
            {"preprocess": {"steps": [{"step": "resize", "within": [8, 16], "short": None, "size": None,
                                       "backend": "opencv", "interpolation": "bilinear"}]}},
            "leaves the size to the picture",
        ),
        ({"task": "tensors"}, "task is tensors"),
    ],
)  # fmt: skip
def test_what_only_python_does_is_refused(
    program: Path, doc_ori: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    document = json.loads((doc_ori / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(document | changes))
    done = call(program, tmp_path, "page.png")
    assert (done.returncode, done.stdout) == (4, "")
    assert said in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["m"],
        ["m", "p", "--top-k"],
        ["m", "p", "--top-k", "0"],
        ["--no", "m", "p"],
        ["m", "p", "--label-maps"],
    ],
)
def test_wrong_calls_end_with_2(program: Path, arguments: list[str]) -> None:
    done = call(program, *arguments)
    assert done.returncode == 2
    assert "usage:" in done.stderr


@pytest.mark.slow
def test_cmake_builds_the_same(tmp_path: Path) -> None:
    text = (SOURCES / "classify" / "CMakeLists.txt").read_text()
    listed = set(re.findall(r"(?:\.\./)?\w+\.cc?\b", text))
    assert listed == {f"../{name}" for name in SHARED} | {
        path.name for path in (SOURCES / "classify").glob("*.cc")
    }
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("needs cmake")
    into = cache_directory("apt") / "stb"
    fetch_packages(["libstb-dev"], architecture="amd64", into=into, only=[STB_HEADER])
    stb = f"-DSTB_INCLUDE_DIR={(into / STB_HEADER).parent}"
    source, place = str(SOURCES / "classify"), str(tmp_path)
    for arguments in (["-S", source, "-B", place, stb], ["--build", place]):
        done = subprocess.run([cmake, *arguments], capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert call(tmp_path / "edgekit-classify").returncode == 2
