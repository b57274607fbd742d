"""Tensors while a graph is converted: their type and shape, and their numbers where these are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from edgekit.errors import InputError

# Larger tensors are refused before anything is allocated: a GiB as float32.
MOST_ELEMENTS = 2**28
# Paddle's CPU kernels know neither half: such numbers are computed as float32.
HALVES = ("float16", "bfloat16")

Array = np.ndarray[Any, np.dtype[Any]]


class Value:
    """One tensor of the graph; its shape is always known.

    Args:
        dtype: Its numpy type as it is computed; halves are float32.
        shape: Its sizes.
        variable: The name in the program; None for a constant that the program does not hold yet.
        constant: Its numbers, or a function that reads them; None where only the program computes them.

    Attributes:
        made_by: The operator that gives it, its inputs by slot, its attributes; None where none does.
    """

    def __init__(
        self,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        *,
        variable: str | None = None,
        constant: Array | Callable[[], Array] | None = None,
    ) -> None:
        self.dtype, self.shape, self.variable = dtype, shape, variable
        self._constant = constant
        self.made_by: tuple[str, dict[str, Any], dict[str, Any]] | None = None

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def is_constant(self) -> bool:
        return self._constant is not None

    @property
    def is_float(self) -> bool:
        return self.dtype.kind == "f"

    def is_made_by(self, kind: str, **attributes: float) -> bool:
        """Whether such an operator gives it, with these attributes to a relative 1e-5."""
        if self.made_by is None or self.made_by[0] != kind:
            return False
        own = self.made_by[2]
        return all(
            name in own and math.isclose(own[name], value, rel_tol=1e-5, abs_tol=1e-7)
            for name, value in attributes.items()
        )

    @property
    def source(self) -> Any:
        """The input `X` of the operator that gives it; None where it has none."""
        return None if self.made_by is None else self.made_by[1].get("X")

    def array(self) -> Array:
        """The numbers of a constant; those of weights are read from the model anew each time."""
        assert self._constant is not None
        return self._constant() if callable(self._constant) else self._constant

    def scalar(self) -> float | None:
        """The number of a constant of one element, None for any other tensor."""
        return float(self.array().reshape(-1)[0]) if self.is_constant and self.size == 1 else None


def of_array(array: Any) -> Value:
    """A constant; halves become float32."""
    array = np.asarray(array)
    if array.dtype.name in HALVES:
        array = array.astype(np.float32)
    return Value(array.dtype, array.shape, constant=array)


def check_size(shape: tuple[int, ...], what: str) -> None:
    """Refuse tensors that no one means. Raises InputError."""
    if math.prod(shape) > MOST_ELEMENTS or any(size < 0 for size in shape):
        sizes = ",".join(str(size) for size in shape)
        raise InputError(
            f"{what} is [{sizes}]: edgekit converts tensors of at most {MOST_ELEMENTS} elements",
            hint="export the model with the sizes that it is meant for",
        )
