"""Draw labelled boxes onto pictures."""

from __future__ import annotations

import colorsys
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekit._text import one_line
from edgekit.vision.decode import load_cv2

if TYPE_CHECKING:
    from edgekit.vision.boxes import Boxes
    from edgekit.vision.decode import Pixels

    Colour = tuple[int, int, int]

# Hues of neighbouring classes are this part of the circle apart, so that few classes look alike.
_GOLDEN_RATIO = 0.618033988749895
# Height of a label's text: this part of the picture's long side, within bounds, pixels.
_TEXT_PART, _LEAST_TEXT, _MOST_TEXT = 1 / 60, 11, 60
_MARGIN = 2


@functools.cache
def class_colour(class_id: int) -> Colour:
    """Return the colour of a class, BGR; a class has the same colour in every picture."""
    hue = class_id * _GOLDEN_RATIO % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, (0.95, 0.7)[class_id // 8 % 2])
    return round(blue * 255), round(green * 255), round(red * 255)


def draw_boxes(pixels: Pixels, boxes: Boxes, labels: Sequence[str] = ()) -> None:
    """Draw boxes with label and score; the best box is on top.

    Args:
        pixels: uint8[H,W,3] BGR, contiguous; is drawn on.
        boxes: Boxes in the picture's pixels, the best first.
        labels: Name of every class; without, the class number is written. OpenCV 4 draws no letters beyond
            ASCII: it writes the class number instead of such a label.
    """
    cv2 = load_cv2()
    height, width = pixels.shape[:2]
    text_height = min(max(max(height, width) * _TEXT_PART, _LEAST_TEXT), _MOST_TEXT)
    thickness = max(1, round(text_height / 8))
    all_letters = hasattr(cv2, "FontFace")
    for row in reversed(range(len(boxes))):
        class_id = int(boxes.classes[row])
        x0, y0, x1, y1 = (round(float(each)) for each in boxes.corners[row])
        colour = class_colour(class_id)
        far = min(x1, width - 1), min(y1, height - 1)
        cv2.rectangle(pixels, (x0, y0), far, colour, thickness)
        label = one_line(labels[class_id]) if labels else str(class_id)
        if not (all_letters or label.isascii()):
            label = str(class_id)
        text = f"{label} {float(boxes.scores[row]):.2f}"
        _draw_text(cv2, pixels, text, (x0, y0), text_height, colour)


def _draw_text(
    cv2: Any, pixels: Pixels, text: str, corner: tuple[int, int], text_height: float, colour: Colour
) -> None:
    """Draw text on a filled ground that stands on a corner, moved and shrunk as far as the picture needs."""
    height, width = pixels.shape[:2]
    font, weight = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(text_height / 14))
    scale = cv2.getFontScaleFromHeight(font, max(1, round(text_height)), weight)
    (text_width, ascent), descent = cv2.getTextSize(text, font, scale, weight)
    room = width - 2 * _MARGIN
    if text_width > room > 0:
        weight, scale = 1, scale * room / text_width
        (text_width, ascent), descent = cv2.getTextSize(text, font, scale, weight)
    ground_width, ground_height = text_width + 2 * _MARGIN, ascent + descent + 2 * _MARGIN
    left = max(0, min(corner[0], width - ground_width))
    top = corner[1] - ground_height
    if top < 0:  # no room above the box: inside of it
        top = max(0, min(corner[1], height - ground_height))
    cv2.rectangle(pixels, (left, top), (left + ground_width - 1, top + ground_height - 1), colour, -1)
    blue, green, red = colour
    ink = (0, 0, 0) if 0.114 * blue + 0.587 * green + 0.299 * red > 128 else (255, 255, 255)
    place = (left + _MARGIN, top + _MARGIN + ascent)
    cv2.putText(pixels, text, place, font, scale, ink, weight, cv2.LINE_AA)
