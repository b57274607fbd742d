"""Seeded model inputs of any type and rank, equal on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekit.core.artifact import TensorSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COARSE = 8
GRAIN = 0.25


def seeded_array(shape: tuple[int, ...], number: int) -> NDArray[np.float64]:
    """Return pseudo-random numbers of mean about 0 and deviation about 1; a picture's vary smoothly.

    White noise looks alike to a trained network whatever its seed; coarse patches do not.

    Args:
        shape: Shape of one input without its batch; from rank 3 on the last two sizes are a picture's.
        number: Seed; the array depends on its shape and this number alone.
    """
    import numpy

    random = numpy.random.RandomState(1000 + number)
    if len(shape) < 3:
        return random.standard_normal(shape)
    *channels, height, width = shape
    patches = random.standard_normal((*channels, COARSE, COARSE))
    rows = numpy.arange(height) * COARSE // height
    columns = numpy.arange(width) * COARSE // width
    return patches[..., rows, :][..., columns] + GRAIN * random.standard_normal(shape)


def seeded_feed(specs: Sequence[TensorSpec], number: int) -> list[NDArray[Any]]:
    """Return an array for each input of a model; a free batch size becomes 1.

    Integer pictures are spread over 0 to 255. Other integers are 0 or 1, which every embedding table
    contains, and floats of rank 1 and 2 lie about 1, as scale factors do.

    Args:
        specs: Input tensors of the model; every size but the batch is known.
        number: Seed; different numbers give different feeds.
    """
    import numpy

    arrays = []
    for index, spec in enumerate(specs):
        shape = tuple(1 if size is None else size for size in spec.shape)
        values = seeded_array(shape, number + 100 * index)
        is_whole = spec.dtype.startswith(("int", "uint"))
        if is_whole and "8" in spec.dtype and len(shape) > 2:
            low = -128 if spec.dtype == "int8" else 0
            values = numpy.clip(low + 128 + 64 * values, low, low + 255)
        elif is_whole or spec.dtype == "bool":
            values = (values > 0).astype(float)
        elif len(shape) < 3:
            values = 1 + GRAIN * values
        arrays.append(numpy.ascontiguousarray(values, dtype=spec.dtype))
    return arrays
