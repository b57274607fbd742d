"""PaddleClas's evaluation transform, equal to the bit and several times faster.

Resize, centre crop, `(pixel * scale - mean) / std` in float32, CHW (PaddleClas release 2.6,
ppcls/data/preprocess/ops/operators.py: ResizeImage, CropImage, NormalizeImage, ToCHWImage). Results are
equal: channels are resized separately, so they stay in OpenCV's order until the end, and normalising 8-bit
pixels is a table of 256 values a channel, computed by the same float32 arithmetic. It is faster because
nothing outside the crop is normalised, and no array with negative strides is ever resized.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.core.preprocess import ChannelOrder, Crop, Interpolation, Pad, Preprocess, Resize, ResizeBackend
from edgekit.errors import InputError
from edgekit.vision.decode import load_cv2

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.vision.decode import Pixels

# A resize that keeps the aspect makes a 1x10000 picture 256x2560000; larger results are refused.
MAX_RESIZED_PIXELS = 1 << 26
_OPENCV = {
    Interpolation.NEAREST: "INTER_NEAREST",
    Interpolation.BILINEAR: "INTER_LINEAR",
    Interpolation.BICUBIC: "INTER_CUBIC",
    Interpolation.AREA: "INTER_AREA",
    Interpolation.LANCZOS: "INTER_LANCZOS4",
}


class Preprocessor:
    """One model's preprocessing with its tables prepared; threads may share it."""

    def __init__(self, parameters: Preprocess) -> None:
        import numpy as np

        first = parameters.geometry[0]
        if (
            not parameters.steps
            and parameters.resize_short is not None
            and parameters.resize_short < parameters.crop_size
        ):
            raise InputError(
                f"preprocessing: the short side of {parameters.resize_short} pixels is less than the crop of "
                f"{parameters.crop_size}",
                hint="correct resize_short or crop_size in the manifest's preprocess",
            )
        self.parameters = parameters
        last = parameters.geometry[-1]
        self._padding = last if isinstance(last, Pad) else None
        self._geometry = [step for step in parameters.geometry if not isinstance(step, Pad)]
        self._cv2 = load_cv2()
        levels = np.arange(256, dtype=np.float32)
        self._tables = [
            (levels * np.float32(parameters.scale) - np.float32(mean)) / np.float32(std)
            for mean, std in zip(parameters.mean, parameters.std, strict=True)
        ]
        # Values of the padding by channel, of the same arithmetic.
        level = None if self._padding is None else self._padding.level
        self._padded = [
            (np.float32(each) * np.float32(parameters.scale) - np.float32(mean)) / np.float32(std)
            for each, mean, std in zip(level or (), parameters.mean, parameters.std, strict=False)
        ] or [np.float32(0)] * 3
        # Positions in BGR or grey pixels of the network's channels, in the network's order.
        planes = (2, 1, 0) if parameters.channel_order is ChannelOrder.RGB else (0, 1, 2)
        self._planes = planes if parameters.channels == 3 else (0,)
        # A crop is taken unresized, so a picture that is cropped first is decoded at its whole size.
        self.shrink_to = (
            (first.short or max(first.size or first.within or ())) if isinstance(first, Resize) else None
        )
        """Minimum short side after a reduced decode, pixels; None where reducing is not allowed."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width of one preprocessed picture."""
        return (self.parameters.channels, *self.parameters.size)

    def resize_and_crop(self, pixels: Pixels, name: str = "the picture") -> Pixels:
        """Return uint8[height,width,3] of `shape` from uint8[H,W,3], without what pads it.

        The order of channels is unchanged; of a grey network it is uint8[height,width].

        Raises:
            InputError: The sides are so unequal that the resized picture would not fit into memory, or the
                picture is smaller than a crop, or larger than what it is padded to.
        """
        if self.parameters.channels == 1:
            pixels = self._cv2.cvtColor(pixels, self._cv2.COLOR_BGR2GRAY)
        for step in self._geometry:
            if isinstance(step, Crop):
                pixels = self._crop(pixels, step, name)
            elif isinstance(step, Resize):
                pixels = self._resize(pixels, step, name)
        size = self.parameters.size
        if pixels.shape[0] > size[0] or pixels.shape[1] > size[1]:
            raise InputError(
                f"preprocessing {name}: it becomes {pixels.shape[1]}x{pixels.shape[0]} pixels, the network "
                f"takes {size[1]}x{size[0]}",
                hint="import the model for larger pictures (--input-shape), or turn this one by a quarter",
            )
        return pixels

    def write(self, pixels: Pixels, out: NDArray[np.float32], name: str = "the picture") -> None:
        """Preprocess one decoded picture into its place in a batch.

        Args:
            pixels: uint8[H,W,3] BGR, contiguous, from `decode`.
            out: float32 of `shape`, contiguous; is overwritten.
            name: Name of the picture in errors.
        """
        shown = self.resize_and_crop(pixels, name)
        planes = self._cv2.split(shown)
        for channel, (plane, table) in enumerate(zip(self._planes, self._tables, strict=False)):
            if self._padding is None:
                self._cv2.LUT(planes[plane], table, dst=out[channel])
            else:
                out[channel] = self._padded[channel]
                out[channel, : shown.shape[0], : shown.shape[1]] = self._cv2.LUT(planes[plane], table)

    def __call__(self, pixels: Pixels, name: str = "the picture") -> NDArray[np.float32]:
        """Preprocess one decoded picture (uint8[H,W,3] BGR); return float32 of `shape`."""
        import numpy as np

        out = np.empty(self.shape, np.float32)
        self.write(pixels, out, name)
        return out

    def _crop(self, pixels: Pixels, step: Crop, name: str) -> Pixels:
        (height, width), (new_height, new_width) = pixels.shape[:2], step.size
        if height < new_height or width < new_width:
            raise InputError(
                f"preprocessing {name}: {width}x{height} pixels are less than the crop of "
                f"{new_width}x{new_height}",
                hint="take it out, or give larger pictures",
            )
        left, top = (width - new_width) // 2, (height - new_height) // 2
        return pixels[top : top + new_height, left : left + new_width]

    def _resize(self, pixels: Pixels, step: Resize, name: str) -> Pixels:
        height, width = size = pixels.shape[0], pixels.shape[1]
        new_height, new_width = step.target(size)
        if new_width * new_height > MAX_RESIZED_PIXELS:
            raise InputError(
                f"preprocessing {name}: {width}x{height} pixels would become {new_width}x{new_height}",
                hint="crop it first: its sides are too unequal",
            )
        if step.backend is ResizeBackend.PILLOW:
            return _resize_by_pillow(pixels, new_width, new_height, step.interpolation)  # type: ignore[no-any-return]
        flag = getattr(self._cv2, _OPENCV[step.interpolation])
        if step.within is not None:
            if not new_height or not new_width:
                raise InputError(
                    f"preprocessing {name}: nothing is left of {width}x{height} pixels",
                    hint="crop it first: its sides are too unequal",
                )
            # By the factor, as PaddleDetection does: by the rounded size OpenCV samples at other places.
            ratio = step.within_ratio(size)
            return self._cv2.resize(pixels, None, None, fx=ratio, fy=ratio, interpolation=flag)  # type: ignore[no-any-return]
        return self._cv2.resize(pixels, (new_width, new_height), interpolation=flag)  # type: ignore[no-any-return]


def _resize_by_pillow(pixels: Pixels, width: int, height: int, interpolation: Interpolation) -> Any:
    import numpy as np
    from PIL import Image

    resample = Image.Resampling[interpolation.name]
    picture = Image.fromarray(pixels)
    # Columns first, like every Pillow that networks were trained with: from 13 on Pillow sometimes begins
    # with the rows, which changes pixels by a level or two. A side that keeps its length is not resampled.
    return np.asarray(picture.resize((width, picture.height), resample).resize((width, height), resample))
