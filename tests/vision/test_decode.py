"""Every kind of picture that people have, as PaddleClas's decoder (OpenCV, colour) sees it."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from edgekit.errors import InputError
from edgekit.vision.decode import KEPT_PIXELS, Canvas, count_pixels, decode, from_array, jpeg_size

# Red on the left, blue on the right; the top half of each is darker.
RED, BLUE = (230, 20, 20), (20, 20, 230)


@pytest.fixture(scope="module")
def flag() -> Image.Image:
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[:, :40], pixels[:, 40:] = RED, BLUE
    pixels[:30] //= 2
    return Image.fromarray(pixels)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rgb(data: bytes) -> np.ndarray:
    pixels = decode(data, "test")
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    return pixels[:, :, ::-1]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_keep_every_pixel(flag: Image.Image, kind: str) -> None:
    assert np.array_equal(rgb(encode(flag, kind)), np.asarray(flag))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_keep_the_colours(flag: Image.Image, kind: str) -> None:
    decoded = rgb(encode(flag, kind, quality=95))
    assert np.abs(decoded[45, 10].astype(int) - RED).max() < 12
    assert np.abs(decoded[45, 70].astype(int) - BLUE).max() < 12


@pytest.mark.parametrize(
    ("orientation", "shape", "corner"),
    [
        (1, (60, 80), "top left"),
        (2, (60, 80), "top right"),
        (3, (60, 80), "bottom right"),
        (4, (60, 80), "bottom left"),
        (5, (80, 60), "top left"),
        (6, (80, 60), "top right"),
        (7, (80, 60), "bottom right"),
        (8, (80, 60), "bottom left"),
    ],
)
def test_exif_orientation_is_applied(orientation: int, shape: tuple[int, int], corner: str) -> None:
    stored = np.full((60, 80, 3), 30, np.uint8)
    stored[:20, :20] = 220  # bright where the stored picture begins
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = rgb(encode(Image.fromarray(stored), "JPEG", exif=exif, quality=95))
    assert decoded.shape[:2] == shape
    row, column = corner.split()
    y = 5 if row == "top" else shape[0] - 6
    x = 5 if column == "left" else shape[1] - 6
    assert decoded[y, x].min() > 190
    assert decoded[shape[0] // 2, shape[1] // 2].max() < 60


def test_grey_becomes_three_equal_channels(flag: Image.Image) -> None:
    grey = flag.convert("L")
    decoded = rgb(encode(grey, "PNG"))
    assert np.array_equal(decoded, np.repeat(np.asarray(grey)[:, :, None], 3, axis=2))


def test_cmyk_keeps_the_colours(flag: Image.Image) -> None:
    decoded = rgb(encode(flag.convert("CMYK"), "JPEG", quality=95))
    assert np.abs(decoded[45, 10].astype(int) - RED).max() < 25
    assert np.abs(decoded[45, 70].astype(int) - BLUE).max() < 25


def test_alpha_is_dropped_and_the_colour_under_it_stays(flag: Image.Image) -> None:
    clear = flag.copy()
    clear.putalpha(0)
    assert np.array_equal(rgb(encode(clear, "PNG")), np.asarray(flag))


def test_palette_is_expanded(flag: Image.Image) -> None:
    expected = flag.convert("P", palette=Image.Palette.ADAPTIVE)
    assert np.array_equal(rgb(encode(expected, "PNG")), np.asarray(expected.convert("RGB")))


def test_sixteen_bits_become_eight() -> None:
    deep = np.arange(60 * 80, dtype=np.uint16).reshape(60, 80) * 13
    decoded = rgb(encode(Image.fromarray(deep), "PNG"))
    assert np.abs(decoded[:, :, 0].astype(int) - (deep >> 8)).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_of_an_animation_the_first_frame_counts(kind: str) -> None:
    frames = [Image.fromarray(np.full((40, 50, 3), level, np.uint8)) for level in (10, 120, 240)]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    assert abs(float(rgb(data).mean()) - 10) < 2


def test_one_pixel() -> None:
    assert rgb(encode(Image.new("RGB", (1, 1), RED), "PNG")).tolist() == [[list(RED)]]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty"),
        (b"hello, this is a text\n" * 40, "not a picture"),
        (b"\xff\xd8\xff\xe0" + bytes(200), "not a picture"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "not a picture"),
    ],
)
def test_what_is_no_picture_is_said_so(data: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        decode(data, "broken.jpg")
    assert "broken.jpg" in caught.value.message
    assert caught.value.hint


def test_truncated_png_is_damaged(flag: Image.Image) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8))
    data = encode(noise, "PNG")
    with pytest.raises(InputError, match="damaged"):
        decode(data[: len(data) // 2], "half.png")


def test_a_decompression_bomb_is_refused_before_it_explodes() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1 << 20))
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    with pytest.raises(InputError, match="more than 268 million pixels"):
        decode(bomb, "bomb.png")


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_canvas_gives_the_same_pixels(flag: Image.Image, mode: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    noise = np.random.default_rng(0).integers(0, 255, (333, 211, 3), dtype=np.uint8)
    canvas = Canvas()
    for image in (Image.fromarray(noise), flag):  # the second, smaller one overwrites a part of the first
        for options in ({}, {"progressive": True}, {"subsampling": 0}):
            data = encode(image.convert(mode), "JPEG", exif=exif, **options)
            drawn = canvas.decode(data)
            assert drawn is not None
            assert np.array_equal(drawn, decode(data, "test"))


def test_a_canvas_is_used_again(flag: Image.Image) -> None:
    canvas = Canvas()
    first = decode(encode(flag, "JPEG"), "one", canvas=canvas)
    again = decode(encode(flag.rotate(180), "JPEG"), "two", canvas=canvas)
    assert np.shares_memory(first, again)
    assert np.array_equal(first, again)


def test_a_canvas_refuses_what_is_cut(flag: Image.Image) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x010E] = "a thumbnail's end: \xff\xd9"
    data = encode(Image.fromarray(noise), "JPEG", exif=exif)
    for length in range(2, len(data) - 1, 499):
        with pytest.raises(InputError, match="damaged"):
            decode(data[:length], "cut.jpg", canvas=Canvas())
    assert decode(encode(flag, "PNG"), "flag.png", canvas=Canvas()).shape == (60, 80, 3)


def test_jpeg_size_is_read_from_the_header(flag: Image.Image) -> None:
    assert jpeg_size(encode(flag, "JPEG")) == (80, 60)
    assert jpeg_size(encode(flag, "JPEG", progressive=True)) == (80, 60)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert jpeg_size(encode(flag, "JPEG", exif=exif)) == (80, 60)  # as stored
    assert jpeg_size(encode(flag, "PNG")) is None
    assert jpeg_size(encode(flag, "JPEG")[:20]) is None


@pytest.mark.parametrize(
    ("shrink_to", "expected"), [(256, 300), (300, 300), (301, 600), (1201, 1200), (9999, 1200)]
)
def test_reduced_decode_leaves_the_short_side_long_enough(shrink_to: int, expected: int) -> None:
    data = encode(Image.new("RGB", (1600, 1200), RED), "JPEG")
    assert min(decode(data, "big.jpg", shrink_to=shrink_to).shape[:2]) == expected


def test_reduced_decode_leaves_other_formats_alone(flag: Image.Image) -> None:
    assert decode(encode(flag, "PNG"), "flag.png", shrink_to=8).shape == (60, 80, 3)


def test_arrays_are_rgb(flag: Image.Image, tmp_path: Path) -> None:
    from_file = decode(encode(flag, "PNG"), "flag.png")
    assert np.array_equal(from_array(np.asarray(flag), "array 0"), from_file)
    assert np.array_equal(from_array(np.asarray(flag.convert("RGBA")), "array 0"), from_file)
    assert from_array(np.asarray(flag)[::-1, ::2], "array 0").flags.c_contiguous


def test_grey_arrays(flag: Image.Image) -> None:
    grey = np.asarray(flag.convert("L"))
    expected = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    assert np.array_equal(from_array(grey, "array 0"), expected)
    assert np.array_equal(from_array(grey[:, :, None], "array 0"), expected)


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8), np.zeros((2, 4, 4, 3), np.uint8),
     np.zeros((4, 4, 2), np.uint8), np.zeros(4, np.uint8)],
)  # fmt: skip
def test_other_arrays_are_refused_by_shape(array: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"array 3.*\[") as caught:
        from_array(array, "array 3")
    assert "uint8" in (caught.value.hint or "")


def test_the_memory_of_a_large_picture_is_given_back() -> None:
    side = 6000
    assert side * side > KEPT_PIXELS
    large = encode(Image.new("RGB", (side, side)), "JPEG")

    def resident_megabytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

    canvas = Canvas()
    decode(encode(Image.new("RGB", (600, 600)), "JPEG"), "small.jpg", canvas=canvas)
    before = resident_megabytes()
    assert decode(large, "large.jpg", canvas=canvas).shape == (side, side, 3)
    assert resident_megabytes() < before + 3 * side * side // (4 << 20)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_the_size_is_read_without_decoding(kind: str) -> None:
    assert count_pixels(encode(Image.new("RGB", (50, 30)), kind)) == 1500
    assert count_pixels(b"") == count_pixels(b"no picture") == 0
