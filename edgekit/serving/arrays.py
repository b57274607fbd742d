"""Arrays of requests: the protocol's types, and values from JSON, typed contents or raw bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlserver.errors import InferenceError

from edgekit.core.artifact import TensorSpec
from edgekit.serving.answers import DATATYPES

if TYPE_CHECKING:
    import numpy as np
    from mlserver.types import RequestInput
    from numpy.typing import NDArray

# Kinds of numbers that a kind of type takes, in numpy's letters: no fraction becomes an integer.
_KINDS = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}


def read_array(given: RequestInput, spec: TensorSpec) -> NDArray[Any]:
    """Return an input's array, of the type of the model's input.

    Raises:
        InferenceError: It is of another type or shape, has other values than its type, or is not finite.
    """
    import numpy as np

    wanted = DATATYPES[spec.dtype]
    datatype = str(getattr(given.datatype, "value", given.datatype))
    if datatype != wanted:
        raise InferenceError(f"input {given.name} is {datatype}, the model takes {wanted}")
    shape = tuple(given.shape)
    fits = len(shape) == len(spec.shape) and all(
        size > 0 and own in (None, size) for own, size in zip(spec.shape, shape, strict=True)
    )
    if not fits:
        takes = [-1 if size is None else size for size in spec.shape]
        raise InferenceError(f"input {given.name} has shape {list(shape)}, the model takes {takes}")
    content = given.data.root if hasattr(given.data, "root") else given.data
    try:
        array = _values(content, np.dtype(spec.dtype)).reshape(shape)
    except (ValueError, TypeError, OverflowError) as error:
        raise InferenceError(f"input {given.name}: {error}") from error
    if not np.isfinite(array).all():
        raise InferenceError(f"input {given.name}: NaN or infinity in it")
    return array


def _values(content: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the values in `dtype`. Raises ValueError, TypeError or OverflowError."""
    import numpy as np

    if isinstance(content, bytes):
        if dtype.kind == "b" and content.translate(None, b"\0\1"):
            raise ValueError("a byte of BOOL is neither 0 nor 1")
        return np.frombuffer(content, dtype)
    values = np.asarray(content)
    if values.dtype.kind not in _KINDS[dtype.kind]:
        raise ValueError(f"its values are not {DATATYPES[dtype.name]}")
    with np.errstate(over="ignore"):  # becomes infinite, which the caller finds
        array = values.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(array, values):
        raise ValueError(f"its values do not go into {DATATYPES[dtype.name]}")
    return array
