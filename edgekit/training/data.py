"""Pictures for training and validation: decoded, augmented and batched by threads, ahead of time.

Threads, not processes: OpenCV lets go of Python's lock, and batches need no copy through shared memory, which
containers limit to 64 MB. A picture's augmentation depends on the seed, the epoch and its place in the list
alone, so that a run that was interrupted goes on exactly as it would have.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgekit.core.preprocess import Preprocess
from edgekit.tasks.truth.labels import LabelledSeveral, read_label_list
from edgekit.training.augment import Augment
from edgekit.vision.lists import Labelled, read_list
from edgekit.vision.pictures import Picture, read_picture
from edgekit.vision.preprocess import Preprocessor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    # Labels int64[N], or int64[N,C] of several classes a picture.
    Batch = tuple[NDArray[np.float32], NDArray[np.int64]]

BATCHES_AHEAD = 3
# Classes are checked against the network's by `load_examples`.
ANY_CLASS = 1 << 31


class Epoch(msgspec.Struct, frozen=True, kw_only=True):
    """Which examples one process sees in one epoch, in order."""

    indices: tuple[int, ...]
    steps: int


def load_examples(
    path: Path, num_classes: int = ANY_CLASS, *, unlabelled: bool = False
) -> tuple[Labelled, ...]:
    """Read a whole list; `unlabelled` allows lines without a class. Raises InputError with the wrong line."""
    return tuple(read_list(path, num_classes, unlabelled=unlabelled))


def load_labels(path: Path, num_classes: int) -> tuple[LabelledSeveral, ...]:
    """Read a whole list with a label for each class a line. Raises InputError with the wrong line."""
    return tuple(read_label_list(path, num_classes))


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


class Loader:
    """Batches of a list, prepared by threads while the last one is computed with; end it with `close`.

    Attributes:
        waited_s: How long its reader has waited for batches.
    """

    def __init__(
        self,
        examples: Sequence[Labelled | LabelledSeveral],
        data: Path,
        parameters: Preprocess,
        *,
        threads: int,
    ) -> None:
        self._examples = examples
        self._data = data
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
                images = np.empty((len(indices), *self._evaluate.shape), np.float32)
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
            chosen = (self._examples[index] for index in indices)
            labels = [each.label if isinstance(each, Labelled) else each.labels for each in chosen]
            yield images, np.array(labels, np.int64)
