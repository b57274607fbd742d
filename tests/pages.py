"""Rendered document pages: text in several fonts and sizes, with noise, crops and four orientations.

Fonts come with Pillow and OpenCV, so that pages look the same everywhere: `CALIBRATION_FONTS` are
Pillow's Aileron and OpenCV's Hershey strokes, `TEST_FONTS` are OpenCV's outline fonts, and no font is in
both. A page is named by its number alone: the same number gives the same pixels.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

CALIBRATION_FONTS = ("aileron", "hershey-simplex", "hershey-complex", "hershey-triplex")
TEST_FONTS = ("sans", "italic", "uni")
ORIENTATIONS = (0, 90, 180, 270)

HERSHEY = {
    "hershey-simplex": cv2.FONT_HERSHEY_SIMPLEX,
    "hershey-complex": cv2.FONT_HERSHEY_COMPLEX,
    "hershey-triplex": cv2.FONT_HERSHEY_TRIPLEX,
}

TEXT = """
the of and to in is that for it as was with be by on not he his but at are this have from or had an
they which one you were all her she there would their we him been has when who will no more if out
so up said what its about than into them can only other time new some could these two may first then
do any like my now over such our man me even most made after also did many off before must well back
through years much where your way down should because long each just state people those too how
little good world make very still see own work men day get here between both life being under three
never know same last another while
"""
WORDS = TEXT.split()


def render_page(number: int, fonts: tuple[str, ...] = TEST_FONTS) -> np.ndarray:
    """An upright page, uint8[H,W,3] RGB, 500 to 1100 pixels a side."""
    rng = np.random.default_rng(number)
    width, height = int(rng.integers(500, 900)), int(rng.integers(700, 1100))
    paper, ink = int(rng.integers(215, 256)), int(rng.integers(0, 90))
    page = np.full((height, width, 3), paper, np.uint8)
    size = int(rng.integers(14, 34))
    font = fonts[int(rng.integers(len(fonts)))]
    margin = int(rng.integers(15, 60))
    y = margin + size
    if rng.random() < 0.6:
        _write(page, _words(rng, 3).title(), (margin, y + size // 2), int(size * 1.7), font, ink)
        y += 3 * size
    while y < height - margin:
        if rng.random() < 0.06:  # the end of a paragraph
            y += size
            continue
        _write(page, _words(rng, int(rng.integers(3, 14))), (margin, y), size, font, ink)
        y += int(size * 1.5)
    return _age(page, rng)


def _words(rng: np.random.Generator, count: int) -> str:
    words = " ".join(WORDS[int(index)] for index in rng.integers(0, len(WORDS), count))
    return words[0].upper() + words[1:] + ("." if rng.random() < 0.3 else "")


def _write(
    page: np.ndarray,
    text: str,
    origin: tuple[int, int],
    size: int,
    font: str,
    ink: int,
    right: int | None = None,
) -> None:
    right = right or page.shape[1] - origin[0]
    text = text[: max(4, int((right - origin[0]) / (size * 0.55)))]
    if font == "aileron":
        image = Image.fromarray(page)
        anchor = (origin[0], origin[1] - size)
        ImageDraw.Draw(image).text(anchor, text, fill=(ink,) * 3, font=ImageFont.load_default(size))
        page[:] = np.asarray(image)
    elif font in HERSHEY:
        thickness = max(1, size // 16)
        cv2.putText(page, text, origin, HERSHEY[font], size / 32, (ink,) * 3, thickness, cv2.LINE_AA)
    else:
        cv2.putText(page, text, origin, (ink,) * 3, cv2.FontFace(font), size)


def _age(page: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Treat a page as scanners and phones do: a crop, uneven light, blur, noise."""
    height, width = page.shape[:2]
    if rng.random() < 0.5:
        top, left = int(rng.integers(0, height // 6)), int(rng.integers(0, width // 8))
        page = page[top : height - int(rng.integers(0, height // 8)), left:]
    shade = np.linspace(rng.uniform(0.8, 1.0), rng.uniform(0.8, 1.0), page.shape[1], dtype=np.float32)
    grey = page.astype(np.float32) * shade[None, :, None]
    if rng.random() < 0.4:
        grey = cv2.GaussianBlur(grey, (0, 0), float(rng.uniform(0.4, 1.0)))
    grey += rng.normal(0, rng.uniform(0, 8), grey.shape).astype(np.float32)
    return np.clip(grey, 0, 255).astype(np.uint8)


def rotate(page: np.ndarray, orientation: int) -> np.ndarray:
    """The page as the model's class `orientation` shows it."""
    turns = {0: None, 90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
    code = turns[orientation]
    return page if code is None else cv2.rotate(page, code)


def write_pages(
    directory: Path, numbers: range, fonts: tuple[str, ...] = TEST_FONTS
) -> list[tuple[str, int]]:
    """Write pages as JPEG files, one orientation each in turn; their names with their class, 0 to 3."""
    directory.mkdir(parents=True, exist_ok=True)
    listing = []
    for number in numbers:
        label = number % 4
        picture = rotate(render_page(number, fonts), ORIENTATIONS[label])
        name = f"page_{number:05d}.jpg"
        quality = [cv2.IMWRITE_JPEG_QUALITY, 85]
        assert cv2.imwrite(str(directory / name), np.ascontiguousarray(picture[:, :, ::-1]), quality)
        listing.append((name, label))
    return listing
