"""Label sets and label files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import InputError
from edgekit.vision.labels import (
    check_labels,
    encode_labels,
    load_labels,
    parse_labels,
    read_label_file,
    read_own_labels,
)
from tests.conftest import REPOSITORY


def test_imagenet_labels_are_those_that_the_documentation_prints() -> None:
    labels = load_labels("imagenet1k", 1000)
    # PaddleClas, docs/en/models/PP-HGNet_en.md, sections 2.3 and 4.2.1.
    assert [labels[class_id] for class_id in (8, 7, 86, 82, 81)] == [
        "hen",
        "cock",
        "partridge",
        "ruffed grouse, partridge, Bonasa umbellus",
        "ptarmigan",
    ]
    assert labels[332] == "Angora, Angora rabbit"
    assert labels[204] == "Lhasa, Lhasa apso"


def test_document_orientations() -> None:
    assert load_labels("doc_orientation", 4) == ("0", "90", "180", "270")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("tench\ngoldfish, Carassius auratus\n", ("tench", "goldfish, Carassius auratus")),
        ("0 tench, Tinca tinca\n1 goldfish\n", ("tench, Tinca tinca", "goldfish")),
        ("1\tgoldfish\r\n0\ttench\r\n", ("tench", "goldfish")),
        ("\ufeff玫瑰\n郁金香", ("玫瑰", "郁金香")),
        ("0\n90\n180\n270\n\n\n", ("0", "90", "180", "270")),
        ("0 0\n1 90\n2 180\n3 270\n", ("0", "90", "180", "270")),
        ("1 euro\n2 euro\n", ("1 euro", "2 euro")),
        ("10 cents\n20 cents\n", ("10 cents", "20 cents")),
        ("0 0 stars\n1 1 star\n", ("0 stars", "1 star")),
        (" a \nb\t\n", (" a ", "b\t")),
        ("a\u2028b\nc\x0cd\x85e\n", ("a\u2028b", "c\x0cd\x85e")),
        ("0 a\u2028b\n1 \u3000\n", ("a\u2028b", "\u3000")),
        ("same\nsame\n", ("same", "same")),
        ("a\rb\rc", ("a", "b", "c")),
    ],
)
def test_reads_plain_and_numbered_files(tmp_path: Path, text: str, labels: tuple[str, ...]) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(text.encode())
    assert load_labels(path, len(labels)) == labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("a\n\nb\n", "line 2 is blank"),
        ("0 a\n1 b\n1 c\n", "not numbered 0 to 2"),
        ("a\nb\0c\n", r"labels\.txt, line 2: it holds a NUL"),
    ],
)
def test_refuses_unclear_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(text.encode())
    with pytest.raises(InputError, match=message):
        read_label_file(path)


def test_numbers_are_said() -> None:
    assert parse_labels(["0 cat", "1 dog"], "labels.txt").numbered
    assert not parse_labels(["1 cat", "2 dog"], "labels.txt").numbered


@given(st.lists(st.text(max_size=20), min_size=1, max_size=8))
def test_a_model_keeps_its_labels_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, labels: list[str]
) -> None:
    try:
        check_labels(labels, "the labels")
    except InputError:
        assert any(character in label for label in labels for character in "\n\r\0")
        return
    path = tmp_path_factory.getbasetemp() / "own.txt"
    path.write_bytes(encode_labels(labels))
    assert read_own_labels(path, len(labels)) == tuple(labels)


@pytest.mark.parametrize("label", ["a\nb", "a\r", "\0", "\ud800"])
def test_a_label_that_no_line_can_hold_is_refused(label: str) -> None:
    with pytest.raises(InputError, match=r"reading x\.yml: label 1, "):
        check_labels(["a", label], "x.yml")


def test_refuses_another_number_of_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("a\nb\n")
    with pytest.raises(InputError, match="2 labels for 3 classes"):
        load_labels(path, 3)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00a"])
def test_refuses_what_is_no_text(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "labels.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"labels\.txt") as caught:
        load_labels(path, 2)
    assert caught.value.hint is not None and "imagenet1k" in caught.value.hint


def test_a_checkout_on_the_path_has_the_labels_and_cards() -> None:
    """So it is in Paddle's own environment beside an editable install, which maps the cards elsewhere."""
    code = (
        "import sys; sys.path += sys.argv[1:]\n"
        "from edgekit.vision.labels import load_labels\n"
        "from edgekit.zoo.registry import model_names\n"
        "print(len(load_labels('coco80')), 'PPLCNet_x1_0' in model_names())"
    )
    packages = Path(msgspec.__file__).parents[1]
    words = [sys.executable, "-ES", "-c", code, str(REPOSITORY), str(packages)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.stdout == "80 True\n", done.stderr
