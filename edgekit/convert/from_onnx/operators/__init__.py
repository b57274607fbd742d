"""ONNX operators written in Paddle's: one module a group, each entering its functions into the table."""

from __future__ import annotations


def load() -> None:
    """Fill `node.TABLE`."""
    from edgekit.convert.from_onnx.operators import (  # noqa: F401
        activations,
        convolutions,
        elementwise,
        indexing,
        logic,
        matrices,
        normalisations,
        pooling,
        quantisation,
        recurrent,
        reductions,
        resizing,
        sampling,
        shapes,
    )
