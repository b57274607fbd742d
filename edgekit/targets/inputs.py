"""Seeded inputs that every rung of the parity ladder and every benchmark point computes."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from edgekit.core.feeds import seeded_array

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@functools.lru_cache(maxsize=4)
def seeded_inputs(count: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Make pseudo-random pictures, smooth with some grain, equal on every machine and for any count.

    Args:
        count: How many.
        shape: Shape of one input, usually channels, height, width.

    Returns:
        float32[count, *shape], mean about 0 and deviation about 1, as ImageNet-normalised pictures;
        read-only, because the last ones are kept: every process of a sweep computes them.
    """
    import numpy

    batch = numpy.empty((count, *shape), dtype=numpy.float32)
    for index in range(count):
        batch[index] = seeded_array(shape, index)
    batch.setflags(write=False)
    return batch
