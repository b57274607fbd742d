"""Decode encoded bytes or arrays to pixels like PaddleClas: with OpenCV, in colour, with EXIF orientation.

Grey becomes three equal channels, the codec converts CMYK, alpha is dropped (the colour under it
stays), 16 bits become 8, and of an animation the first frame is used, as
`cv2.imdecode(data, cv2.IMREAD_COLOR)` does (PaddleClas release 2.6, deploy/python/preprocess.py).
"""

from __future__ import annotations

import os
import struct
import weakref
from typing import TYPE_CHECKING, Any

from edgekit.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

# Larger pictures are refused: 268 million pixels take 0.8 GB, and a few kilobytes of PNG can claim more.
MAX_PIXELS = 1 << 28
# A canvas keeps memory for pictures up to this size, 75 MB; larger ones get memory of their own.
KEPT_PIXELS = 25 << 20
NOT_A_PICTURE_HINT = "convert it to JPEG or PNG, or take it out of the list"


def load_cv2() -> Any:
    """Import OpenCV, set it to one thread (edgekit runs one picture a thread) and silence its warnings.

    Raises:
        InputError: OpenCV cannot be imported, e.g. because a headless server lacks libGL.
    """
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    try:
        import cv2
    except ImportError as error:
        from edgekit.errors import ToolError

        raise ToolError(
            f"importing OpenCV: {error}",
            hint="pip install --force-reinstall opencv-python-headless",
        ) from error
    cv2.setNumThreads(1)
    return cv2


class Canvas:
    """Reused memory for decoded JPEGs; each thread needs its own.

    `cv2.imdecode` decodes into memory that is new to the process and copies the pixels once more, which
    takes a third of the time for photos of 12 megapixels. `cv2.imread` accepts existing memory, but reads
    files only.
    """

    def __init__(self) -> None:
        import numpy as np

        self._file = os.memfd_create("edgekit-jpeg")
        self._end = weakref.finalize(self, os.close, self._file)
        self._pixels: Pixels = np.empty(0, np.uint8)

    def decode(self, data: bytes) -> Pixels | None:
        """Decode as `cv2.imdecode(data, cv2.IMREAD_COLOR)`; the next call overwrites the pixels.

        Returns:
            uint8[H,W,3] BGR; None for other data than JPEG or a refused JPEG, so that `cv2.imdecode` gives
            the error.
        """
        import numpy as np

        size = jpeg_size(data)
        # `cv2.imread` paints the missing part of a truncated file grey, `cv2.imdecode` refuses the file.
        if size is None or not 0 < size[0] * size[1] <= MAX_PIXELS or _is_cut(data):
            return None
        count = 3 * size[0] * size[1]
        pixels = self._pixels
        if count > pixels.size:
            pixels = np.empty(count, np.uint8)
            if count <= 3 * KEPT_PIXELS:
                self._pixels = pixels
        os.pwrite(self._file, data, 0)
        os.ftruncate(self._file, len(data))
        cv2 = load_cv2()
        place = pixels[:count].reshape(size[1], size[0], 3)
        try:
            return cv2.imread(f"/proc/self/fd/{self._file}", place, cv2.IMREAD_COLOR)  # type: ignore[no-any-return]
        except cv2.error:
            return None


def decode(data: bytes, name: str, *, shrink_to: int | None = None, canvas: Canvas | None = None) -> Pixels:
    """Decode a picture.

    Args:
        data: Content of the file.
        name: Name of the picture in errors.
        shrink_to: Decode a JPEG at 1/2, 1/4 or 1/8 of its size where its short side stays at least this
            long, pixels: several times faster on large photos, but with other pixels and sometimes other
                answers.
        canvas: Memory for JPEGs; its next use overwrites the pixels.

    Returns:
        uint8[H,W,3] BGR, contiguous.

    Raises:
        InputError: The data is no picture, damaged, or larger than `MAX_PIXELS`.
    """
    import numpy as np

    cv2 = load_cv2()
    if not data:
        raise InputError(f"decoding {name}: the file is empty", hint=NOT_A_PICTURE_HINT)
    flag = cv2.IMREAD_COLOR
    if shrink_to is not None:
        flag = _reduced_flag(cv2, data, shrink_to)
    if canvas is not None and flag == cv2.IMREAD_COLOR:
        drawn = canvas.decode(data)
        if drawn is not None:
            return drawn
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error as error:
        reason = "more than 268 million pixels" if "CV_IO_MAX" in str(error) else "OpenCV cannot read it"
        raise InputError(f"decoding {name}: {reason}", hint=NOT_A_PICTURE_HINT) from error
    if pixels is None:
        raise InputError(f"decoding {name}: not a picture, or damaged", hint=NOT_A_PICTURE_HINT)
    return pixels  # type: ignore[no-any-return]


def from_array(array: NDArray[np.uint8], name: str) -> Pixels:
    """Accept pixels that are already decoded, as PaddleClas's Python interface does.

    Args:
        array: uint8[H,W,3] RGB, or uint8[H,W] or uint8[H,W,1] grey, or uint8[H,W,4] RGBA (alpha is dropped).
        name: Name of the picture in errors.

    Returns:
        uint8[H,W,3] BGR, contiguous.

    Raises:
        InputError: The array has another type or shape, or no pixels.
    """
    import numpy as np

    shape = array.shape
    if array.dtype != np.uint8 or not 0 < array.size <= 4 * MAX_PIXELS:
        raise InputError(
            f"reading {name}: {array.dtype}{list(shape)} is not a uint8 picture",
            hint="pass uint8[H,W,3] in RGB order, or the bytes of a file",
        )
    if array.ndim == 2 or (array.ndim == 3 and shape[2] == 1):
        grey = array.reshape(shape[0], shape[1], 1)
        return np.ascontiguousarray(np.broadcast_to(grey, (shape[0], shape[1], 3)))
    if array.ndim != 3 or shape[2] not in (3, 4):
        raise InputError(
            f"reading {name}: uint8{list(shape)} is not a picture",
            hint="pass uint8[H,W,3] in RGB order, one array a picture",
        )
    return np.ascontiguousarray(array[:, :, 2::-1])


def _reduced_flag(cv2: Any, data: bytes, shrink_to: int) -> int:
    size = jpeg_size(data)
    if size is not None:
        for divisor in (8, 4, 2):
            if min(size) // divisor >= shrink_to:
                return int(getattr(cv2, f"IMREAD_REDUCED_COLOR_{divisor}"))
    return int(cv2.IMREAD_COLOR)


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a JPEG from its frame header, without decoding; None without a header."""
    position = _frame_header(data)
    if position is None:
        return None
    height, width = struct.unpack_from(">HH", data, position + 5)
    return int(width), int(height)


def count_pixels(data: bytes) -> int:
    """Return the number of pixels that a picture claims in its header; 0 where no header is known."""
    import io

    size = jpeg_size(data)
    if size is None:
        import PIL.Image

        try:
            with PIL.Image.open(io.BytesIO(data)) as picture:
                size = picture.size
        except PIL.Image.DecompressionBombError:
            return MAX_PIXELS
        except Exception:
            return 0
    return size[0] * size[1]


def _frame_header(data: bytes) -> int | None:
    if data[:2] != b"\xff\xd8":
        return None
    position = 2
    while position + 9 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        # SOF0 to SOF15 but DHT (C4), JPG (C8) and DAC (CC): ITU-T T.81, table B.1.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return position
        position += 2 + int(struct.unpack_from(">H", data, position + 2)[0])
    return None


def _is_cut(data: bytes) -> bool:
    """Return True where a JPEG lacks its end-of-image marker; a thumbnail's marker does not count."""
    return data.rfind(b"\xff\xd9", _frame_header(data)) < 0
