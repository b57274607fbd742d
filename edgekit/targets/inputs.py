"""Seeded inputs that every rung of the parity ladder and every benchmark point computes."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COARSE = 8
GRAIN = 0.25


@functools.lru_cache(maxsize=4)
def seeded_inputs(count: int, shape: tuple[int, ...], *, first: int = 0) -> NDArray[np.float32]:
    """Make pseudo-random pictures, smooth with some grain, equal on every machine.

    White noise looks alike to a trained network whatever its seed; coarse patches do not.

    Args:
        count: How many.
        shape: Channels, height, width.
        first: Number of the first; input i depends on its number alone.

    Returns:
        float32[count, C, H, W], mean about 0 and deviation about 1, as ImageNet-normalised pictures;
        read-only, because the last ones are kept: every process of a sweep computes them.
    """
    import numpy

    channels, height, width = shape
    batch = numpy.empty((count, *shape), dtype=numpy.float32)
    for index in range(count):
        random = numpy.random.RandomState(1000 + first + index)
        patches = random.standard_normal((channels, COARSE, COARSE))
        rows = numpy.arange(height) * COARSE // height
        columns = numpy.arange(width) * COARSE // width
        batch[index] = patches[:, rows][:, :, columns] + GRAIN * random.standard_normal(shape)
    batch.setflags(write=False)
    return batch
