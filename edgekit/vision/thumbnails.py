"""Small copies of pictures for pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.vision.decode import load_cv2

if TYPE_CHECKING:
    from edgekit.vision.decode import Pixels

QUALITY = 45
# Optimised coding takes twice as long, which is worth it where bytes are scarce.
OPTIMISED_SIDE = 112


def thumbnail(pixels: Pixels, side: int) -> bytes:
    """Return a small copy as JPEG, its long side at most `side` pixels.

    Args:
        pixels: uint8[H,W,3] BGR.
        side: Long side of the copy, pixels; smaller pictures keep their size.
    """
    cv2 = load_cv2()
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        # Averaging all pixels would take several times as long, and is hardly seen at this size.
        if scale < 1 / 3:
            pixels = cv2.resize(pixels, (2 * size[0], 2 * size[1]), interpolation=cv2.INTER_LINEAR)
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, int(side <= OPTIMISED_SIDE)]
    encoded, content = cv2.imencode(".jpg", pixels, options)
    assert encoded
    return bytes(content.data)
