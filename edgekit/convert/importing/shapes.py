"""Sizes of a model's inputs: declared sizes, and requested sizes in the place of free ones."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence

from edgekit.convert.remedy import without_option
from edgekit.core.artifact import TensorSpec
from edgekit.errors import InputError, UsageError

Shape = tuple[int | None, ...]
# A GiB as float32; larger inputs are refused before anything is allocated.
MOST_ELEMENTS = 1 << 28
# Name under which `--input-shape 3,224,224` is kept, for the only input.
ONLY = ""
KNOWN = frozenset({
    "float32", "float16", "float64", "int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64",
    "bool",
})  # fmt: skip


def choose_sizes(
    specs: Sequence[TensorSpec],
    asked: Mapping[str, tuple[int, ...]],
    picture: tuple[int, int | None, int | None],
    origin: str,
    command: str,
) -> tuple[TensorSpec, ...]:
    """Return the inputs with all sizes known but a free batch.

    Args:
        specs: Inputs that the model declares.
        asked: Sizes by input, with or without the batch; those under `ONLY` are the only input's.
        picture: Channels, height and width of the preprocessed pictures, for inputs whose size is free.
        origin: Name of the model in messages.
        command: The command line so far, for hints.

    Raises:
        InputError: A size stays free, differs from the size that the model fixes, or is too large.
        UsageError: The model has no input of a name in `asked`.
    """
    if not specs:
        raise InputError(f"importing {origin}: it has no inputs", hint="export the model again")
    names = [spec.name for spec in specs]
    for name in asked:
        if name != ONLY and name not in names:
            raise UsageError(
                f"importing {origin}: --input-shape for {name}: its inputs are {', '.join(names)}",
                hint=f"{without_option(command, '--input-shape')} --input-shape {_named(specs[0])}",
            )
        if name == ONLY and len(names) > 1:
            raise UsageError(
                f"importing {origin}: --input-shape without a name: its inputs are {', '.join(names)}",
                hint=f"{without_option(command, '--input-shape')} --input-shape {_named(specs[0])}",
            )
    return tuple(
        TensorSpec(
            name=spec.name,
            dtype=spec.dtype,
            shape=_sizes(spec, asked.get(spec.name, asked.get(ONLY)), picture, origin, command),
        )
        for spec in specs
    )


def _sizes(
    spec: TensorSpec,
    asked: tuple[int, ...] | None,
    picture: tuple[int, int | None, int | None],
    origin: str,
    command: str,
) -> Shape:
    what = f"importing {origin}: its input {spec.name}"
    if spec.dtype not in KNOWN:
        raise InputError(f"{what} is {spec.dtype}", hint="export the model with inputs of numbers")
    own = spec.shape
    wanted: Shape = (None,) * len(own)
    if asked is not None:
        wanted = asked if len(asked) == len(own) else (None, *asked)
        if len(wanted) != len(own):
            raise InputError(
                f"{what} is {shown(own)}, {len(asked)} sizes are asked for",
                hint=f"{without_option(command, '--input-shape')} --input-shape {_named(spec)}",
            )
    sizes: list[int | None] = []
    for index, (size, other) in enumerate(zip(own, wanted, strict=True)):
        if size is not None and other is not None and size != other:
            raise InputError(
                f"{what} is {shown(own)}, fixed in the model",
                hint=without_option(command, "--input-shape"),
            )
        if index == 0 and size is None and other == 1:
            other = None  # a free batch stays free
        sizes.append(other if size is None else size)
    if len(own) == 4:
        sizes[1:] = (size or other for size, other in zip(sizes[1:], picture, strict=True))
    if None in sizes[1:]:
        raise InputError(
            f"{what} is {shown(own)}; its size has to be said",
            hint=f"{command} --input-shape {_named(spec)}",
        )
    elements = math.prod(size or 1 for size in sizes)
    if elements > MOST_ELEMENTS:
        raise InputError(
            f"{what} is {shown(sizes)}: {elements} numbers, at most {MOST_ELEMENTS} are taken",
            hint="export the model for smaller inputs",
        )
    return tuple(sizes)


def _named(spec: TensorSpec) -> str:
    """Return an example of `--input-shape` for an input, quoted for a shell."""
    usual = (1, 3, 224, 224) if len(spec.shape) == 4 else (1, *[128] * (len(spec.shape) - 1))
    sizes = ",".join(str(size or other) for size, other in zip(spec.shape, usual, strict=True))
    return shlex.quote(f"{spec.name}={sizes}")


def shown(shape: Sequence[int | None]) -> str:
    """Format sizes as `[?,3,224,224]`."""
    return f"[{','.join('?' if size is None else str(size) for size in shape)}]"
