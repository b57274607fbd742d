"""Batch of preprocessed pictures in shared memory, which runners on this machine read without a copy.

A model may take further inputs beside the pictures, e.g. their sizes; its task computes these.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.core.artifact import TensorSpec
from edgekit.core.preprocess import Preprocess
from edgekit.errors import InputError
from edgekit.runners.shared import SharedArray
from edgekit.tasks.task import Shown, Task
from edgekit.vision.decode import Canvas
from edgekit.vision.pictures import Picture, Unreadable, read_picture
from edgekit.vision.thumbnails import thumbnail

Item = Picture | Unreadable


@dataclass(frozen=True, kw_only=True)
class Filled:
    """Outcome of filling a batch.

    Attributes:
        positions: Positions of the items that are in the feed, in order.
        pictures: Names and sizes of these items.
        unreadable: The other items, with their errors.
    """

    positions: tuple[int, ...]
    pictures: tuple[Shown, ...]
    unreadable: tuple[Unreadable, ...]


class Feed:
    """Anonymous memory for one batch, which other processes open as a file; freed when this process ends.

    Args:
        parameters: Preprocessing of the pictures.
        batch_size: Maximum number of pictures.
        inputs: Inputs of the model in order, of which the pictures are the one of rank 4; none where
            pictures are the only one.
        task: Computes the other inputs.
        reduced_decode: Decode large JPEGs at a fraction of their size (`edgekit.vision.decode`).
        thumbnails: Long side of the pictures' small copies, pixels; None makes none.

    Attributes:
        array: float32[batch_size,3,height,width]: the pictures.
        shapes: Shape of each input of a whole batch.
    """

    def __init__(
        self,
        parameters: Preprocess,
        batch_size: int,
        *,
        inputs: Sequence[TensorSpec] = (),
        task: Task | None = None,
        reduced_decode: bool = False,
        thumbnails: int | None = None,
    ) -> None:
        from edgekit.vision.preprocess import Preprocessor

        self._preprocessor = Preprocessor(parameters)
        self._canvas = Canvas()
        self._shrink_to = self._preprocessor.shrink_to if reduced_decode else None
        self._task = task
        self._thumbnails = thumbnails
        self.shape = (batch_size, *self._preprocessor.shape)
        self.shapes = [
            self.shape if len(spec.shape) == 4 else (batch_size, *(size or 1 for size in spec.shape[1:]))
            for spec in inputs
        ] or [self.shape]
        counts = [math.prod(shape) for shape in self.shapes]
        self._shared = SharedArray((sum(counts),))
        ends = itertools.accumulate(counts)
        parts = [
            self._shared.array[end - count : end].reshape(shape)
            for end, count, shape in zip(ends, counts, self.shapes, strict=True)
        ]
        self.array = parts[self.shapes.index(self.shape)]
        self._further = {
            spec.name: part for spec, part in zip(inputs, parts, strict=False) if part is not self.array
        }

    @property
    def path(self) -> Path:
        """Path under which runners of this user open the batch: raw float32 in C order, input by input."""
        return self._shared.path

    def fill(self, items: Sequence[Item]) -> Filled:
        """Decode and preprocess up to one batch of items; leave out items that are not pictures."""
        positions: list[int] = []
        pictures: list[Shown] = []
        unreadable: list[Unreadable] = []
        for position, item in enumerate(items):
            if isinstance(item, Unreadable):
                unreadable.append(item)
                continue
            try:
                pixels = read_picture(item, shrink_to=self._shrink_to, canvas=self._canvas)
                self._preprocessor.write(pixels, self.array[len(positions)], item.name)
            except InputError as error:
                unreadable.append(Unreadable(name=item.name, error=error))
            else:
                positions.append(position)
                height, width = pixels.shape[:2]
                small = None if self._thumbnails is None else thumbnail(pixels, self._thumbnails)
                pictures.append(Shown(item.name, height, width, small))
        if self._further and pictures:
            assert self._task is not None
            computed = self._task.further_inputs(pictures)
            for name, place in self._further.items():
                place[: len(pictures)] = computed[name]
                place[len(pictures) :] = computed[name][-1]  # what runs along must compute without faults
        return Filled(positions=tuple(positions), pictures=tuple(pictures), unreadable=tuple(unreadable))

    def close(self) -> None:
        """Free the memory."""
        self._shared.close()
