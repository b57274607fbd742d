"""Lists made of folders: classes by name, the same split for the same seed, and refusals by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import InputError
from edgekit.training.folders import Lists, make_lists, written_lists


def write(directory: Path, *names: str) -> None:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"a picture, unread")


def made(data: Path, output: Path, seed: int = 0, *, unlabelled: bool = False) -> Lists:
    return make_lists(data, output, val_share=0.2, seed=seed, unlabelled=unlabelled)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_each_folder_is_a_class_and_gives_its_share_to_judge_by(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write(data, *(f"cat/{index}.jpg" for index in range(10)), *(f"a dog/b/{index}.png" for index in range(5)))
    write(data, "cat/notes.txt", ".hidden/0.jpg", "empty/readme.md")
    lists = made(data, tmp_path / "out")
    assert lists.names == ("a dog", "cat")
    assert lines(tmp_path / "out" / "labels.txt") == ["a dog", "cat"]
    train, val = lines(lists.train), lines(lists.val)
    assert [line.rsplit(" ", 1)[1] for line in val] == ["0", "1", "1"]
    everything = {f"a dog/b/{index}.png 0" for index in range(5)} | {
        f"cat/{index}.jpg 1" for index in range(10)
    }
    assert set(train) | set(val) == everything and len(train) + len(val) == 15
    assert lines(made(data, tmp_path / "again").val) == val
    assert lines(made(data, tmp_path / "other", seed=1).val) != val
    assert written_lists(tmp_path / "out") == lists


def test_a_split_that_is_there_is_kept(tmp_path: Path) -> None:
    write(tmp_path, "train/a/0.jpg", "train/b/1.jpg", "val/b/2.jpg")
    lists = made(tmp_path, tmp_path / "out")
    assert lines(lists.train) == ["train/a/0.jpg 0", "train/b/1.jpg 1"]
    assert lines(lists.val) == ["val/b/2.jpg 1"]
    write(tmp_path, "val/c/3.jpg")
    with pytest.raises(InputError, match="no class 'c'"):
        made(tmp_path, tmp_path / "out")


def test_pictures_without_folders_are_for_a_teacher(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write(data, *(f"{index}.jpg" for index in range(10)))
    with pytest.raises(InputError, match="no folders with pictures") as refused:
        made(data, tmp_path / "out")
    assert "a folder for each class" in str(refused.value.hint)
    lists = made(data, tmp_path / "out", unlabelled=True)
    assert lists.names == () and len(lines(lists.train)) == 8
    assert all(line.endswith(".jpg") for line in lines(lists.val))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("a/0.jpg", "a/1.jpg"), "one class only, 'a'"),
        (("a/0.jpg", "b/0.jpg", "b/1.jpg"), "pictures of a: there are 1"),
        (("a/0.jpg", "a/1\n.jpg", "b/0.jpg", "b/1.jpg"), "cannot hold this name"),
    ],
)
def test_folders_that_cannot_be_split_are_refused(tmp_path: Path, names: tuple[str, ...], words: str) -> None:
    write(tmp_path / "data", *names)
    with pytest.raises(InputError, match=words):
        made(tmp_path / "data", tmp_path / "out")
    with pytest.raises(InputError, match="no such directory"):
        made(tmp_path / "nowhere", tmp_path / "out")
