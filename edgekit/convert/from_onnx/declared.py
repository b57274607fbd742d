"""Tensors that the graph declares, not computes: its weights and its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgekit.convert.from_onnx import folding
from edgekit.convert.from_onnx.values import HALVES, Array, Value, check_size
from edgekit.errors import ConversionError, InputError


def weight(tensor: Any) -> Value:
    """A weight; its numbers are read from the model when they are wanted."""
    from onnx import helper

    shape = tuple(int(size) for size in tensor.dims)
    check_size(shape, f"the weight {tensor.name!r}")
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    if dtype.name in HALVES:
        dtype = np.dtype("float32")
    read: Callable[[], Array] = lambda: folding.tensor_array(tensor)  # noqa: E731
    return Value(dtype, shape, constant=read)


def input_type(value: Any, shapes: Mapping[str, tuple[int, ...]]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Type and shape of an input.

    Args:
        value: Its description in the graph.
        shapes: Sizes by name, where the model leaves them free.

    Raises:
        InputError: Sizes are missing, or others were given than the model's.
        ConversionError: Paddle has no such inputs.
    """
    from onnx import helper

    hint = "--input-shape says the sizes that the model leaves free"
    if not value.type.HasField("tensor_type"):
        raise ConversionError(
            f"its input {value.name!r} is a {value.type.WhichOneof('value') or 'thing'}, no tensor",
            hint="export the model with tensors as inputs",
        )
    tensor = value.type.tensor_type
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    except KeyError as error:
        raise InputError(f"its input {value.name!r} has no type that is known") from error
    if dtype.kind not in "fiub" and dtype.name not in HALVES:
        raise ConversionError(f"its input {value.name!r} is of {dtype}, which Paddle does not compute")
    own = [
        int(each.dim_value) if each.HasField("dim_value") and each.dim_value > 0 else None
        for each in tensor.shape.dim
    ]
    given = shapes.get(value.name)
    if not tensor.HasField("shape"):
        own = [None] * len(given or ())
        if given is None:
            raise InputError(f"its input {value.name!r} has no shape", hint=hint)
    if given is not None:
        if len(given) != len(own) or any(a is not None and a != b for a, b in zip(own, given, strict=True)):
            raise InputError(f"its input {value.name!r} is {own}, not {list(given)}", hint=hint)
        own = list(given)
    sizes = tuple(size for size in own if size is not None)
    if len(sizes) != len(own):
        raise InputError(f"its input {value.name!r} is {own}: sizes are missing", hint=hint)
    check_size(sizes, f"its input {value.name!r}")
    return dtype, sizes
