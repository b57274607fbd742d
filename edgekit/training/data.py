"""Pictures for training and validation: decoded, augmented and batched by threads, ahead of time.

Threads, not processes: OpenCV lets go of Python's lock, and batches need no copy through shared memory, which
containers limit to 64 MB. A picture's augmentation depends on the seed, the epoch and its place in the list
alone, so that a run that was interrupted goes on exactly as it would have.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgekit.core.spec import Interpolation, Preprocess, ResizeBackend
from edgekit.vision.lists import Labelled, read_list
from edgekit.vision.pictures import Picture, read_picture
from edgekit.vision.preprocess import Preprocessor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.vision.decode import Pixels

    Batch = tuple[NDArray[np.float32], NDArray[np.int64]]

BATCHES_AHEAD = 3
# PaddleClas, RandCropImage: sides of a crop differ by at most 4 to 3.
MAX_ASPECT = 4 / 3
# Classes are checked against the network's by `load_examples`.
ANY_CLASS = 1 << 31


class Epoch(msgspec.Struct, frozen=True, kw_only=True):
    """Which examples one process sees in one epoch, in order."""

    indices: tuple[int, ...]
    steps: int


def load_examples(path: Path, num_classes: int = ANY_CLASS) -> tuple[Labelled, ...]:
    """A whole list. Raises InputError with the line that is wrong."""
    return tuple(read_list(path, num_classes))


def shuffled(count: int, *, batch_size: int, seed: int, epoch: int, rank: int, processes: int) -> Epoch:
    """One process's share of a shuffled epoch; all processes get the same number of full batches.

    A list shorter than one step's pictures is filled up from its beginning.
    """
    import numpy as np

    order = np.random.default_rng((seed, epoch)).permutation(count)
    together = batch_size * processes
    steps = max(1, count // together)
    order = np.resize(order, steps * together)
    return Epoch(indices=tuple(int(index) for index in order[rank::processes]), steps=steps)


class Augment:
    """PaddleClas's training transform: random crop of the picture, random mirroring, normalisation.

    Args:
        parameters: The model's preprocessing; its crop is the size of the result.
        min_area: Smallest share of the picture that a crop takes.
        flip: Whether half of the pictures are mirrored.
    """

    def __init__(self, parameters: Preprocess, *, min_area: float, flip: bool) -> None:
        # Cropping and resizing here give the final size already.
        size = parameters.crop_size
        self._write = Preprocessor(msgspec.structs.replace(parameters, resize_short=size)).write
        resize = msgspec.structs.replace(
            parameters, resize_short=None, resize_backend=ResizeBackend.OPENCV,
            interpolation=Interpolation.BILINEAR,
        )  # fmt: skip
        self._resize = Preprocessor(resize).resize_and_crop
        self._min_area = min_area
        self._flip = flip

    def __call__(self, pixels: Pixels, out: NDArray[np.float32], name: str, rng: np.random.Generator) -> None:
        import numpy as np

        crop = np.ascontiguousarray(self._crop(pixels, rng))
        resized = self._resize(crop, name)
        if self._flip and rng.random() < 0.5:
            resized = np.ascontiguousarray(resized[:, ::-1])
        self._write(resized, out, name)

    def _crop(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        height, width = pixels.shape[:2]
        # PaddleClas draws the aspect first and bounds the area by what then fits.
        root = math.sqrt(rng.uniform(1 / MAX_ASPECT, MAX_ASPECT))
        bound = min(width / height / root**2, height / width * root**2)
        area = width * height * rng.uniform(min(self._min_area, bound), min(1.0, bound))
        wide = max(1, min(width, int(math.sqrt(area) * root)))
        high = max(1, min(height, int(math.sqrt(area) / root)))
        left = int(rng.integers(0, width - wide + 1))
        top = int(rng.integers(0, height - high + 1))
        return pixels[top : top + high, left : left + wide]


class Loader:
    """Batches of a list, prepared by threads while the last one is computed with; end it with `close`.

    Attributes:
        waited_s: How long its reader has waited for batches.
    """

    def __init__(
        self, examples: Sequence[Labelled], data: Path, parameters: Preprocess, *, threads: int
    ) -> None:
        self._examples = examples
        self._data = data
        self._size = parameters.crop_size
        self._evaluate = Preprocessor(parameters)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="edgekit-load")
        self.waited_s = 0.0

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def training(
        self, epoch: Epoch, augment: Augment, *, batch_size: int, key: tuple[int, ...], first_step: int = 0
    ) -> Iterator[Batch]:
        """Augmented batches from `first_step` on; `key` and a picture's number seed its augmentation."""
        import numpy as np

        def prepare(index: int, out: NDArray[np.float32]) -> None:
            rng = np.random.default_rng((*key, index))
            picture = self._picture(index)
            augment(read_picture(picture), out, picture.name, rng)

        batches = [
            epoch.indices[start : start + batch_size]
            for start in range(first_step * batch_size, epoch.steps * batch_size, batch_size)
        ]
        return self._batches(batches, prepare)

    def validation(self, indices: Sequence[int], *, batch_size: int) -> Iterator[Batch]:
        """Batches by the evaluation transform; the last one may be smaller."""

        def prepare(index: int, out: NDArray[np.float32]) -> None:
            picture = self._picture(index)
            self._evaluate.write(read_picture(picture), out, picture.name)

        batches = [indices[start : start + batch_size] for start in range(0, len(indices), batch_size)]
        return self._batches(batches, prepare)

    def _picture(self, index: int) -> Picture:
        path = self._data / self._examples[index].path
        return Picture(name=str(path), source=path)

    def _batches(
        self, batches: Sequence[Sequence[int]], prepare: Callable[[int, NDArray[np.float32]], None]
    ) -> Iterator[Batch]:
        import numpy as np

        waiting: deque[tuple[NDArray[np.float32], Sequence[int], list[Future[None]]]] = deque()
        rest = iter(batches)
        while True:
            while len(waiting) < BATCHES_AHEAD and (indices := next(rest, None)) is not None:
                images = np.empty((len(indices), 3, self._size, self._size), np.float32)
                futures = [
                    self._pool.submit(prepare, index, images[place]) for place, index in enumerate(indices)
                ]
                waiting.append((images, indices, futures))
            if not waiting:
                return
            images, indices, futures = waiting.popleft()
            started = time.monotonic()
            for future in futures:
                future.result()
            self.waited_s += time.monotonic() - started
            yield images, np.array([self._examples[index].label for index in indices], np.int64)
