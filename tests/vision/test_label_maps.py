"""Label maps: from scores, from files, their colours and their score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.errors import InputError
from edgekit.vision.label_maps import (
    best_classes,
    count_areas,
    encode_label_map,
    overlay,
    palette,
    read_label_map,
    score_areas,
)

RNG = np.random.default_rng(3)


def test_scores_of_the_pictures_own_size_give_their_best_class() -> None:
    scores = RNG.normal(size=(5, 7, 9)).astype(np.float32)
    assert np.array_equal(best_classes(scores, (7, 9), "x"), scores.argmax(axis=0))


def test_scores_are_enlarged_before_the_best_is_taken_and_maps_to_the_nearest_pixel() -> None:
    scores = np.zeros((2, 1, 2), np.float32)
    scores[0, 0, 0], scores[1, 0, 1] = 3, 1  # class 0 wins by more than class 1
    assert best_classes(scores, (1, 8), "x").tolist() == [[0, 0, 0, 0, 0, 1, 1, 1]]
    labels = np.array([[0, 1]], np.int64)
    for given in (labels, labels[None]):
        assert best_classes(given, (2, 4), "x").tolist() == [[0, 0, 1, 1]] * 2


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((2, 3), np.float32), "neither scores"),
        (np.zeros((4, 2, 3), np.int64), "neither scores"),
        (np.full((2, 3), 255, np.int32), "classes from 255 to 255"),
        (np.full((2, 3), -1, np.int32), "classes from -1"),
    ],
)
def test_other_outputs_are_refused(values: np.ndarray, said: str) -> None:
    with pytest.raises(InputError, match=said):
        best_classes(values, (2, 3), "page.png")


def test_a_label_map_is_read_as_it_was_written(tmp_path: Path) -> None:
    labels = RNG.integers(0, 19, (6, 8)).astype(np.uint8)
    labels[0, 0] = 255
    (tmp_path / "a.png").write_bytes(encode_label_map(labels))
    assert np.array_equal(read_label_map(tmp_path / "a.png", (6, 8), 19), labels)
    # PaddleSeg's first colours, utils/visualize.py: get_color_map_list
    assert palette(3).tolist() == [[128, 0, 0], [0, 128, 0], [128, 128, 0]]
    with Image.open(tmp_path / "a.png") as image:
        assert image.convert("RGB").getpixel((1, 0)) == tuple(palette(19)[labels[0, 1]])


def test_label_maps_of_others_are_refused_by_name(tmp_path: Path) -> None:
    labels = RNG.integers(0, 19, (6, 8)).astype(np.uint8)
    labels[3, 3] = 18
    path = tmp_path / "a.png"
    path.write_bytes(encode_label_map(labels))
    with pytest.raises(InputError, match="8x6 pixels, its picture has 9x6"):
        read_label_map(path, (6, 9), 19)
    with pytest.raises(InputError, match="class 18, but the model has 18"):
        read_label_map(path, (6, 8), 18)
    Image.new("RGB", (8, 6)).save(path)
    with pytest.raises(InputError, match="it has colours"):
        read_label_map(path, (6, 8), 19)
    path.write_bytes(b"no picture")
    for wrong, said in (
        (path, "a.png: it is no picture"),
        (tmp_path / "missing.png", "missing.png: No such"),
    ):
        with pytest.raises(InputError, match=said):
            read_label_map(wrong, (6, 8), 19)


def test_the_score_by_hand() -> None:
    true = np.array([[0, 0, 1, 255]], np.uint8)
    found = np.array([[0, 1, 1, 2]], np.uint8)
    areas = count_areas(found, true, 3)
    assert areas.tolist() == [[1, 1, 0], [1, 2, 0], [2, 1, 0]]
    score = score_areas(areas)
    assert score.class_iou == (0.5, 0.5, None)
    assert score.mean_iou == pytest.approx(2 / 3)  # a class that occurs nowhere counts as 1
    assert score.accuracy == pytest.approx(2 / 3)
    assert score.kappa == pytest.approx((2 / 3 - 4 / 9) / (1 - 4 / 9))
    assert score_areas(count_areas(true[:, :2], true[:, :2], 3)).kappa is None
    with pytest.raises(InputError, match="no pixel"):
        score_areas(count_areas(found, np.full_like(true, 255), 3))


def test_an_overlay_mixes_the_picture_with_the_colours() -> None:
    mixed = overlay(np.full((2, 2, 3), 100, np.uint8), np.zeros((2, 2), np.uint8))
    assert mixed[0, 0].tolist() == [40, 40, 117]
