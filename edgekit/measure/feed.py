"""A batch of preprocessed pictures in memory that runners on this machine read without copying."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.core.spec import Preprocess
from edgekit.errors import InputError
from edgekit.vision.decode import Canvas
from edgekit.vision.pictures import Picture, Unreadable, read_picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Item = Picture | Unreadable


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What became of a batch's items.

    Attributes:
        positions: Which items are in the feed, in order.
        unreadable: The others, with their errors.
    """

    positions: tuple[int, ...]
    unreadable: tuple[Unreadable, ...]


class Feed:
    """Anonymous memory of one batch that other processes open as a file, gone when this process ends.

    Args:
        parameters: How pictures are preprocessed.
        batch_size: Pictures that it holds.
        reduced_decode: Decode large JPEGs at a fraction of their size (`edgekit.vision.decode`).
    """

    def __init__(self, parameters: Preprocess, batch_size: int, *, reduced_decode: bool = False) -> None:
        import numpy as np

        from edgekit.vision.preprocess import Preprocessor

        self._preprocessor = Preprocessor(parameters)
        self._canvas = Canvas()
        self._shrink_to = self._preprocessor.shrink_to if reduced_decode else None
        self.shape = (batch_size, *self._preprocessor.shape)
        size_bytes = 4 * int(np.prod(self.shape))
        # Not a file of /dev/shm: containers limit that to 64 MB, and SIGKILL would leave it behind.
        self._handle = os.memfd_create("edgekit-feed")
        try:
            os.ftruncate(self._handle, size_bytes)
            self._memory = mmap.mmap(self._handle, size_bytes)
        except BaseException:
            os.close(self._handle)
            raise
        self.array: NDArray[np.float32] = np.frombuffer(self._memory, np.float32).reshape(self.shape)

    @property
    def path(self) -> Path:
        """Where runners of this user find the batch, raw float32 in C order."""
        return Path(f"/proc/{os.getpid()}/fd/{self._handle}")

    def fill(self, items: Sequence[Item]) -> Filled:
        """Decode and preprocess up to a batch of items; what is no picture is left out."""
        positions: list[int] = []
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
        return Filled(positions=tuple(positions), unreadable=tuple(unreadable))

    def close(self) -> None:
        """Give the memory back."""
        os.close(self._handle)
