"""Batch of preprocessed pictures in shared memory, which runners on this machine read without a copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.core.spec import Preprocess
from edgekit.errors import InputError
from edgekit.runners.shared import SharedArray
from edgekit.tasks.task import Shown
from edgekit.vision.decode import Canvas
from edgekit.vision.pictures import Picture, Unreadable, read_picture

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
        reduced_decode: Decode large JPEGs at a fraction of their size (`edgekit.vision.decode`).
    """

    def __init__(self, parameters: Preprocess, batch_size: int, *, reduced_decode: bool = False) -> None:
        from edgekit.vision.preprocess import Preprocessor

        self._preprocessor = Preprocessor(parameters)
        self._canvas = Canvas()
        self._shrink_to = self._preprocessor.shrink_to if reduced_decode else None
        self.shape = (batch_size, *self._preprocessor.shape)
        self._shared = SharedArray(self.shape)
        self.array = self._shared.array

    @property
    def path(self) -> Path:
        """Path under which runners of this user open the batch, raw float32 in C order."""
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
                pictures.append(Shown(item.name, pixels.shape[0], pixels.shape[1]))
        return Filled(positions=tuple(positions), pictures=tuple(pictures), unreadable=tuple(unreadable))

    def close(self) -> None:
        """Free the memory."""
        self._shared.close()
