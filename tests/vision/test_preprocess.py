"""The transform against the arithmetic that PaddleClas's operators spell out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from edgekit.core.spec import ChannelOrder, Crop, Interpolation, Preprocess, Resize, ResizeBackend
from edgekit.errors import InputError
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
