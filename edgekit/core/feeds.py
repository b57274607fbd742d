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
        return numpy.asarray(random.standard_normal(shape))
    *channels, height, width = shape
    patches = random.standard_normal((*channels, COARSE, COARSE))
    rows = numpy.arange(height) * COARSE // height
    columns = numpy.arange(width) * COARSE // width
    return patches[..., rows, :][..., columns] + GRAIN * random.standard_normal(shape)


def seeded_feed(specs: Sequence[TensorSpec], number: int) -> list[NDArray[Any]]:
    """Return an array for each input of a model, by `as_input`; a free batch size becomes 1.

    Args:
        specs: Input tensors of the model; every size but the batch is known.
        number: Seed; different numbers give different feeds.
    """
    feed = []
    for index, spec in enumerate(specs):
        shape = tuple(1 if size is None else size for size in spec.shape)
        feed.append(as_input(seeded_array(shape, number + 100 * index), spec.dtype))
    return feed


def as_input(values: NDArray[np.float64], dtype: str) -> NDArray[Any]:
    """Turn normal numbers into an input that models of this type and rank compute with.

    Integer pictures are spread over 0 to 255. Other integers are 0 or 1, which every embedding table
    contains, and floats of rank 0 to 2 lie about 1, as scale factors do. The workers' noise is chosen alike
    (`edgekit.engines.worker.noise`).
    """
    import numpy

    if not dtype.startswith("float"):
        if values.ndim > 2 and dtype in ("int8", "uint8"):
            low = -128 if dtype == "int8" else 0
            values = numpy.clip(low + 128 + 64 * values, low, low + 255)
        else:
            values = values > 0  # type: ignore[assignment]
    elif values.ndim < 3:
        values = 1 + GRAIN * values
    # Arithmetic makes numpy's scalars of arrays of rank 0, which engines refuse.
    return numpy.asarray(values, dtype)
