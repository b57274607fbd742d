"""Place of one picture in the memory that a served model's runner reads."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgekit.targets.target import Subject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]


class Place:
    """Place of one picture in the memory: the picture, and the model's further inputs around it.

    Args:
        subject: The model.
        shape: float32[3,H,W] as the preprocessing makes it.

    Attributes:
        shape: Shape of the place; that of the picture where it is the only input.
        picture_shape: Shape of the picture.
        further: Parts of the place, by the names of the further inputs.
    """

    def __init__(self, subject: Subject, shape: tuple[int, ...]) -> None:
        inputs = subject.manifest.inputs
        if len(inputs) == 1:
            self._shapes = [subject.input_shape]
        else:
            self._shapes = [
                shape if len(spec.shape) == 4 else tuple(size or 1 for size in spec.shape[1:])
                for spec in inputs
            ]
        self.picture_shape = next((one for one in self._shapes if len(one) == 3), self._shapes[0])
        self.further: dict[str, slice] = {}
        self._picture = slice(0)
        begin = 0
        for spec, one in zip(inputs, self._shapes, strict=True):
            part = slice(begin, begin + math.prod(one))
            if one is self.picture_shape:
                self._picture = part
            else:
                self.further[spec.name] = part
            begin = part.stop
        self.shape = (begin,) if self.further else self.picture_shape

    def picture(self, place: Rows) -> Rows:
        """Return the picture's part of a place."""
        return place[self._picture].reshape(self.picture_shape) if self.further else place

    def shapes(self, count: int) -> list[tuple[int, ...]]:
        """Return the shapes of the inputs of `count` places that follow each other."""
        return [(count, *one) for one in self._shapes]
