from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import InputError
from edgekit.vision.lists import Labelled, count_list, read_list


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "val_list.txt"
    path.write_bytes(text.encode())
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
        ("a.jpg 0\nb\0.jpg 1\n", "line 2: it holds a NUL byte"),
        (f"a.jpg {'9' * 5000}\n", "line 1"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        count_list(write(tmp_path, text), 4)
    assert caught.value.hint


def test_a_missing_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.txt: No such file"):
        count_list(tmp_path / "nowhere.txt", 4)


def test_a_byte_order_mark_and_other_ends_of_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeffa.png 1\r\nsub dir/b (1).png 2\rc\u2028\u3000d.png\u3000 3\n")
    assert [(each.path, each.label) for each in read_list(path, 4)] == [
        ("a.png", 1),
        ("sub dir/b (1).png", 2),
        ("c\u2028\u3000d.png\u3000", 3),
    ]


def test_what_is_no_text_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes("a.png 1\ncafé.png 1\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.txt, line 2: not UTF-8 text"):
        list(read_list(path, 4))
