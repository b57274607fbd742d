"""Seeded inputs of any type and rank, equal on every machine."""

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
    """Pseudo-random numbers of mean about 0 and deviation about 1; those of a picture are smooth.

    White noise looks alike to a trained network whatever its seed; coarse patches do not.

    Args:
        shape: Of one input without its batch; the last two sizes of three or more are a picture's.
        number: The array depends on its shape and this number alone.
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
    """An array for each input of a model; a free batch is 1.

    Pictures of integers are spread over 0 to 255. Other integers are 0 or 1, which every table of
    embeddings has, and floats of rank 1 and 2 lie about 1, as scale factors do.

    Args:
        specs: The model's inputs; every size but the batch is known.
        number: Feeds of different numbers differ.
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
