from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.vision.pictures import Picture, Unreadable, find_pictures, iterate_pictures, read_picture


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a/z.PNG", "a/deep/er/x.jpeg", "a.txt", ".hidden.jpg", ".cache/c.jpg", "a/._b.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def test_directories_are_recursive_sorted_and_without_hidden_files(tree: Path) -> None:
    found = find_pictures([tree])
    assert [item.name for item in found] == [
        str(tree / name) for name in ("a/deep/er/x.jpeg", "a/z.PNG", "b.jpg")
    ]


def test_named_files_keep_their_order_and_any_suffix(tree: Path) -> None:
    names = [str(tree / "b.jpg"), str(tree / "a.txt"), str(tree / "missing.jpg")]
    found = find_pictures(names)
    assert [item.name for item in found] == names
    with pytest.raises(InputError, match=r"missing\.jpg: No such file"):
        read_picture(found[2])  # type: ignore[arg-type]


def test_a_directory_without_pictures_is_reported(tmp_path: Path) -> None:
    (item,) = find_pictures([tmp_path])
    assert isinstance(item, Unreadable)
    assert str(tmp_path) in item.error.message


def test_bytes_arrays_and_paths_give_the_same_pixels(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    path = tmp_path / "p.png"
    assert cv2.imwrite(str(path), rgb[:, :, ::-1])
    items = list(iterate_pictures([str(path), path, path.read_bytes(), rgb]))
    assert [item.name for item in items] == [str(path), str(path), "bytes 2", "array 3"]
    for item in items:
        assert isinstance(item, Picture)
        assert np.array_equal(read_picture(item), rgb[:, :, ::-1])


def test_one_source_alone(tmp_path: Path) -> None:
    assert [item.name for item in iterate_pictures("x.jpg")] == ["x.jpg"]
    assert [item.name for item in iterate_pictures(b"data")] == ["bytes 0"]
    assert [item.name for item in iterate_pictures(np.zeros((2, 2, 3), np.uint8))] == ["array 0"]


def test_sources_are_taken_one_by_one() -> None:
    taken = []

    def sources() -> Iterator[bytes]:
        for index in range(100):
            taken.append(index)
            yield b"x"

    pictures = iterate_pictures(sources())
    next(pictures)
    next(pictures)
    assert taken == [0, 1]


def test_other_sources_are_refused() -> None:
    with pytest.raises(InputError, match="picture 1: int is not a path"):
        list(iterate_pictures(["a.jpg", 5]))  # type: ignore[list-item]
