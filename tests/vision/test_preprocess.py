"""The transform against the arithmetic that PaddleClas's operators spell out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from edgekit.core.preprocess import (
    ChannelOrder,
    Crop,
    Interpolation,
    Pad,
    Preprocess,
    Resize,
    ResizeBackend,
    Step,
)
from edgekit.errors import InputError
from edgekit.vision.boxes import Frame
from edgekit.vision.preprocess import Preprocessor


def paddleclas(rgb: np.ndarray, parameters: Preprocess) -> tuple[np.ndarray, np.ndarray]:
    """DecodeImage's RGB through ResizeImage, CropImage, NormalizeImage and ToCHWImage, step by step.

    Formulas of PaddleClas release 2.6, ppcls/data/preprocess/ops/operators.py.
    """
    img_h, img_w = rgb.shape[:2]
    assert parameters.resize_short is not None
    percent = float(parameters.resize_short) / min(img_w, img_h)
    w, h = round(img_w * percent), round(img_h * percent)
    if parameters.resize_backend is ResizeBackend.PILLOW:
        kinds = {Interpolation.BILINEAR: Image.BILINEAR, Interpolation.BICUBIC: Image.BICUBIC}
        resized = np.asarray(Image.fromarray(rgb).resize((w, h), kinds[parameters.interpolation]))
    else:
        flags = {Interpolation.BILINEAR: cv2.INTER_LINEAR, Interpolation.BICUBIC: cv2.INTER_CUBIC}
        resized = cv2.resize(rgb, (w, h), interpolation=flags[parameters.interpolation])
    size = parameters.crop_size
    left, top = (w - size) // 2, (h - size) // 2
    cropped = resized[top : top + size, left : left + size]
    mean = np.array(parameters.mean).reshape(1, 1, 3).astype("float32")
    std = np.array(parameters.std).reshape(1, 1, 3).astype("float32")
    normalised = (cropped.astype("float32") * np.float32(parameters.scale) - mean) / std
    return cropped, normalised.transpose((2, 0, 1))


SIZES = [(375, 500), (500, 333), (256, 256), (224, 224), (1, 1), (3, 700), (257, 255), (1201, 799)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "parameters",
    [
        Preprocess(),
        Preprocess(
            resize_short=232, interpolation=Interpolation.BICUBIC, resize_backend=ResizeBackend.PILLOW
        ),
        Preprocess(resize_short=236, interpolation=Interpolation.BICUBIC),
        Preprocess(resize_short=224, resize_backend=ResizeBackend.PILLOW),
        Preprocess(resize_short=96, crop_size=80, scale=1 / 128, mean=(1, 2, 3), std=(0.5, 1, 2)),
    ],
    ids=["lcnet", "hgnet", "cubic", "pillow", "own"],
)
def test_equal_to_the_bit(size: tuple[int, int], parameters: Preprocess) -> None:
    rgb = np.random.default_rng(7).integers(0, 256, (*size, 3), dtype=np.uint8)
    bgr = np.ascontiguousarray(rgb[:, :, ::-1])
    cropped, normalised = paddleclas(rgb, parameters)
    preprocessor = Preprocessor(parameters)
    assert np.array_equal(preprocessor.resize_and_crop(bgr)[:, :, ::-1], cropped)
    ours = preprocessor(bgr)
    assert ours.dtype == np.float32
    assert np.array_equal(ours, normalised)


def test_known_pixels() -> None:
    """A plain red picture is (1 - mean) / std in the first channel, -mean / std in the others."""
    bgr = np.zeros((300, 300, 3), np.uint8)
    bgr[:, :, 2] = 255
    out = Preprocessor(Preprocess())(bgr)
    assert np.allclose(out[0], (1 - 0.485) / 0.229, atol=1e-6)
    assert np.allclose(out[1], -0.456 / 0.224, atol=1e-6)
    assert np.allclose(out[2], -0.406 / 0.225, atol=1e-6)


def test_bgr_networks_get_bgr() -> None:
    bgr = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    plain = {"scale": 1.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    out = Preprocessor(Preprocess(channel_order=ChannelOrder.BGR, **plain))(bgr)
    assert np.array_equal(out, bgr[16:240, 16:240].transpose(2, 0, 1).astype(np.float32))
    assert np.array_equal(out[::-1], Preprocessor(Preprocess(**plain))(bgr))


def test_without_short_side_both_sides_are_squeezed() -> None:
    bgr = np.random.default_rng(0).integers(0, 256, (100, 300, 3), dtype=np.uint8)
    out = Preprocessor(Preprocess(resize_short=None, crop_size=64)).resize_and_crop(bgr)
    assert np.array_equal(out, cv2.resize(bgr, (64, 64)))


def test_writes_into_its_place_in_a_batch() -> None:
    bgr = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    preprocessor = Preprocessor(Preprocess())
    batch = np.full((3, *preprocessor.shape), np.nan, np.float32)
    preprocessor.write(bgr, batch[1])
    assert np.array_equal(batch[1], preprocessor(bgr))
    assert np.isnan(batch[0]).all()
    assert np.isnan(batch[2]).all()


def test_sides_too_unequal_are_refused() -> None:
    with pytest.raises(InputError, match=r"strip.png.*20000x1 pixels") as caught:
        Preprocessor(Preprocess())(np.zeros((1, 20_000, 3), np.uint8), "strip.png")
    assert caught.value.hint


def test_a_crop_larger_than_the_picture_is_refused() -> None:
    with pytest.raises(InputError, match="short side of 200 pixels is less than the crop of 224"):
        Preprocessor(Preprocess(resize_short=200))


def test_steps_are_taken_in_their_order() -> None:
    bgr = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    crop, resize = Crop(size=(40, 60)), Resize(short=20)
    out = Preprocessor(Preprocess(steps=(crop, resize))).resize_and_crop(bgr)
    assert np.array_equal(out, cv2.resize(bgr[25:65, 30:90], (30, 20)))
    preprocessor = Preprocessor(Preprocess(steps=(Resize(size=(50, 80)), crop)))
    assert preprocessor.shape == (3, 40, 60)
    assert np.array_equal(preprocessor.resize_and_crop(bgr), cv2.resize(bgr, (80, 50))[5:45, 10:70])
    assert preprocessor(bgr).shape == preprocessor.shape


@pytest.mark.parametrize(
    ("interpolation", "opencv", "pillow"),
    [
        (Interpolation.NEAREST, cv2.INTER_NEAREST, Image.NEAREST),
        (Interpolation.BILINEAR, cv2.INTER_LINEAR, Image.BILINEAR),
        (Interpolation.BICUBIC, cv2.INTER_CUBIC, Image.BICUBIC),
        (Interpolation.AREA, cv2.INTER_AREA, None),
        (Interpolation.LANCZOS, cv2.INTER_LANCZOS4, Image.LANCZOS),
    ],
)
def test_interpolations(interpolation: Interpolation, opencv: int, pillow: int | None) -> None:
    bgr = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    for backend, expected in (
        (ResizeBackend.OPENCV, cv2.resize(bgr, (70, 60), interpolation=opencv)),
        (ResizeBackend.PILLOW, None if pillow is None else Image.fromarray(bgr).resize((70, 60), pillow)),
    ):
        if expected is not None:
            steps = (Resize(size=(60, 70), interpolation=interpolation, backend=backend),)
            assert np.array_equal(
                Preprocessor(Preprocess(steps=steps)).resize_and_crop(bgr), np.asarray(expected)
            )


def test_a_picture_smaller_than_a_first_crop_is_refused() -> None:
    preprocessor = Preprocessor(Preprocess(steps=(Crop(size=(40, 60)),)))
    assert preprocessor.shrink_to is None
    with pytest.raises(InputError, match=r"small.png: 59x41 pixels are less than the crop of 60x40"):
        preprocessor(np.zeros((41, 59, 3), np.uint8), "small.png")


@pytest.mark.parametrize("size", [(375, 500), (500, 375), (33, 77), (1, 50), (720, 1280), (301, 299)])
@pytest.mark.parametrize(
    ("within", "level"),
    [((320, 320), None), ((416, 416), (114.0, 114.0, 10.0)), ((200, 333), None)],
    ids=["stride", "levels", "two bounds"],
)
def test_a_resize_within_bounds_and_its_padding(
    size: tuple[int, int], within: tuple[int, int], level: tuple[float, float, float] | None
) -> None:
    """PaddleDetection's Resize with keep_ratio, Pad or PadStride, step by step.

    Formulas of release 2.6, deploy/python/preprocess.py. PadStride pads what is normalised, Pad what is not.
    """
    rgb = np.random.default_rng(3).integers(0, 256, (*size, 3), dtype=np.uint8)
    ratio = float(within[0]) / float(min(size))
    if np.round(ratio * max(size)) > within[1]:
        ratio = float(within[1]) / float(max(size))
    resized = cv2.resize(rgb, None, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_CUBIC)
    height, width = resized.shape[:2]
    side = -(-within[1] // 32) * 32
    mean, std = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
    canvas = np.ones((side, side, 3), np.float32) * np.array(level or (0, 0, 0), np.float32)
    canvas[:height, :width] = resized
    wanted = ((canvas * np.float32(1 / 255) - mean) / std).transpose(2, 0, 1)
    if level is None:
        wanted[:, height:], wanted[:, :, width:] = 0, 0

    resize = Resize(within=within, interpolation=Interpolation.BICUBIC)
    parameters = Preprocess(steps=(resize, Pad(size=(side, side), level=level)))
    own = Preprocessor(parameters)(np.ascontiguousarray(rgb[:, :, ::-1]))
    assert own.shape == (3, *parameters.size) == (3, side, side)
    np.testing.assert_allclose(own, wanted, atol=1e-6)
    frame = Frame.of_steps(size, parameters.geometry)
    assert (frame.scale, frame.offset) == ((ratio, ratio), (0, 0))
    assert (frame.shown_size, frame.input_size) == ((height, width), (side, side))


def test_a_picture_that_its_padding_does_not_hold_is_refused() -> None:
    preprocessor = Preprocessor(Preprocess(steps=(Resize(within=(20, 40)), Pad(size=(20, 40)))))
    assert preprocessor(np.zeros((30, 50, 3), np.uint8)).shape == (3, 20, 40)
    with pytest.raises(InputError, match="it becomes 20x33 pixels, the network takes 40x20"):
        preprocessor(np.zeros((50, 30, 3), np.uint8))
    with pytest.raises(InputError, match="nothing is left of 1x4000 pixels"):
        preprocessor(np.zeros((4000, 1, 3), np.uint8))


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((Resize(within=(20, 40)),), "depends on the picture"),
        ((Resize(size=(20, 40)), Pad(size=(20, 30))), "padded to less"),
        ((Resize(short=20), Pad(size=(20, 30)), Crop(size=(8, 8))), "after the padding"),
    ],
)
def test_steps_that_do_not_fit(steps: tuple[Step, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Preprocess(steps=steps)
