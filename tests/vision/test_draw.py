from __future__ import annotations

import numpy as np
import pytest

from edgekit.vision.boxes import Boxes
from edgekit.vision.decode import load_cv2
from edgekit.vision.draw import class_colour, draw_boxes


def boxes(*rows: tuple[float, ...]) -> Boxes:
    values = np.array(rows, np.float32).reshape(-1, 6)
    return Boxes(classes=values[:, 0].astype(np.int64), scores=values[:, 1], corners=values[:, 2:])


def drawn(size: tuple[int, int], found: Boxes, labels: tuple[str, ...] = ()) -> np.ndarray:
    """Draw on white in the middle of a larger picture; nothing may be drawn outside."""
    pixels = np.full((*size, 3), 255, np.uint8)
    draw_boxes(pixels, found, labels)
    return pixels


def test_colours_are_stable_and_apart() -> None:
    assert class_colour(0) == class_colour(0) == (36, 36, 242)
    first = [np.array(class_colour(each), int) for each in range(10)]
    nearest = min(np.abs(a - b).sum() for n, a in enumerate(first) for b in first[:n])
    assert nearest > 40
    assert len({class_colour(each) for each in range(80)}) == 80


def test_a_box_is_drawn_along_its_edges() -> None:
    pixels = drawn((200, 300), boxes((2, 0.9, 50, 60, 200, 150)), ("a", "b", "cat"))
    colour = class_colour(2)
    for y, x in ((60, 190), (150, 100), (100, 50), (100, 200)):
        assert tuple(pixels[y, x]) == colour
    assert (pixels[80:140, 60:190] == 255).all()
    # The label stands above the box, in the class's colour.
    assert (pixels[46:59, 50:80] == colour).all(axis=2).mean() > 0.4


@pytest.mark.parametrize("size", [(32, 32), (900, 1200), (1, 400), (400, 1), (200, 320)])
@pytest.mark.parametrize("place", [(0, 0, 1, 1), (0.9, 0.9, 1, 1), (0.5, 0, 1, 0.2)])
def test_labels_stay_inside_and_are_readable(size: tuple[int, int], place: tuple[float, ...]) -> None:
    height, width = size
    pixels = np.zeros((*size, 3), np.uint8)
    found = boxes((0, 0.97, *(np.array(place) * [width, height, width, height])))
    draw_boxes(pixels, found, ("a rather long label",))
    assert (pixels == class_colour(0)).all(axis=2).any()
    if min(size) >= 200:  # white text on the class's red, away from the sides
        ink = pixels.min(axis=2) > 120
        assert 8 <= ink.any(axis=1).sum() <= 80
        assert not (ink[:, :2].any() or ink[:, -2:].any() or ink[:1].any() or ink[-1:].any())


def test_labels_beyond_ascii() -> None:
    """OpenCV 5 writes them; OpenCV 4 has no such letters and writes the class number."""
    label, number = drawn((100, 300), boxes((0, 0.5, 9, 50, 90, 90)), ("图",)), "0"
    plain = drawn((100, 300), boxes((0, 0.5, 9, 50, 90, 90)), (number,))
    question = drawn((100, 300), boxes((0, 0.5, 9, 50, 90, 90)), ("?",))
    if hasattr(load_cv2(), "FontFace"):
        assert (label != plain).any() and (label != question).any()
    else:
        assert (label == plain).all()


def test_nothing_is_drawn_without_boxes() -> None:
    assert (drawn((50, 50), boxes()) == 255).all()
