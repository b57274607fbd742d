from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import InputError
from edgekit.vision.lists import Labelled, count_list, read_list


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "val_list.txt"
    path.write_text(text)
    return path


def test_imagenet_form(tmp_path: Path) -> None:
    path = write(tmp_path, "ILSVRC/val_1.JPEG 65\n\nmy photos/a b.jpg\t0\n")
    assert list(read_list(path, 1000)) == [
        Labelled(path="ILSVRC/val_1.JPEG", label=65),
        Labelled(path="my photos/a b.jpg", label=0),
    ]
    assert count_list(path, 1000) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a.jpg 3\nb.jpg\n", "line 2: 'b.jpg' does not end in a class"),
        ("a.jpg -1\n", "line 1"),
        ("a.jpg hen\n", "line 1"),
        ("a.jpg 0\nb.jpg 4\n", "line 2: class 4, but the model has 4 classes"),
        ("\n \n", "it is empty"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        count_list(write(tmp_path, text), 4)
    assert caught.value.hint


def test_a_missing_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.txt: No such file"):
        count_list(tmp_path / "nowhere.txt", 4)
