"""Pseudo-random inputs of every type that goes through the protocol.

`edgekit.core.feeds` chooses values alike; the worker imports nothing of edgekit but the engines.
"""

from typing import Any, Dict, List, Sequence

GRAIN = 0.25


def make_noise(inputs: Sequence[Dict[str, Any]], seed: int) -> List[Any]:
    """Return an array for each input of a `load` request; equal seeds give equal arrays."""
    import numpy

    random = numpy.random.RandomState(seed % 2**32)
    return [as_input(random.standard_normal(one["shape"]), one["dtype"]) for one in inputs]


def as_input(values: Any, dtype: str) -> Any:
    """Turn normal numbers into an input that models of this type and rank compute with.

    Integer pictures are spread over 0 to 255. Other integers are 0 or 1, which every embedding table
    contains, and floats of rank 0 to 2 lie about 1, as scale factors do.
    """
    import numpy

    values = numpy.asarray(values)
    if not dtype.startswith("float"):
        if values.ndim > 2 and dtype in ("int8", "uint8"):
            low = -128 if dtype == "int8" else 0
            values = numpy.clip(low + 128 + 64 * values, low, low + 255)
        else:
            values = values > 0
    elif values.ndim < 3:
        values = 1 + GRAIN * values
    # Arithmetic makes numpy's scalars of arrays of rank 0, which engines refuse.
    return numpy.asarray(values, dtype)
