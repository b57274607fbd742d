"""Whether a program's scores are probabilities already, so that nothing is applied to them twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Between the activation and the output these leave probabilities probabilities, or a part of them.
_KEPT = frozenset(
    {
        "assign", "cast", "clip", "dropout", "flatten2", "flatten_contiguous_range", "relu", "reshape2",
        "slice", "squeeze2", "strided_slice", "transpose2", "unsqueeze2",
    }
)  # fmt: skip
_ENDS = {"softmax": "softmax", "sigmoid": "sigmoid", "hard_sigmoid": "sigmoid"}
# Deviations of the noise that is tried: logits grow with it, probabilities stay between 0 and 1.
_AMPLITUDES = (1.0, 16.0, 256.0)
_TOLERANCE = 1e-3


def find_activation(program: Any, output: str, compute: Callable[..., Any]) -> str:
    """What the scores are, as the manifest's `output_activation` has it.

    The operators before the output say it where they end in softmax or sigmoid; otherwise the scores of noise
    do: all between 0 and 1 are probabilities, of classes that exclude each other where they add up to 1 at
    most.

    Args:
        program: A ProgramDesc.
        output: Name of the scores in it.
        compute: Gives scores float32[N, ...] of noise, with its deviation as `amplitude`.
    """
    makers = {name: op for op in program.blocks[0].ops for slot in op.outputs for name in slot.arguments}
    op = makers.get(output)
    seen = 0
    while op is not None and seen < len(makers):
        if op.type in _ENDS:
            return _ENDS[op.type]
        if op.type not in _KEPT and not (op.type == "scale" and not _changes(op)):
            break
        op = makers.get(
            next((slot.arguments[0] for slot in op.inputs if slot.parameter in ("X", "Input")), "")
        )
        seen += 1
    return _by_noise(compute)


def _changes(scale: Any) -> bool:
    values = {attribute.name: attribute.f for attribute in scale.attrs}
    return bool(values.get("scale", 1.0) != 1.0 or values.get("bias", 0.0) != 0.0)


def _by_noise(compute: Callable[..., Any]) -> str:
    import numpy

    together = 0.0
    for amplitude in _AMPLITUDES:
        scores = numpy.asarray(compute(amplitude=amplitude), dtype=numpy.float64)
        rows = scores.reshape(len(scores), -1)
        # Softmax written out as exp over sum overflows on loud noise; what it gave before counts.
        finite = rows[numpy.isfinite(rows).all(axis=1)]
        if len(finite) == 0 and amplitude > 1:
            continue
        if len(finite) == 0 or finite.min() < -_TOLERANCE or finite.max() > 1 + _TOLERANCE:
            return "none"
        together = max(together, float(finite.sum(axis=1).max()))
    if together == 0.0:
        return "none"
    return "softmax" if together <= 1 + _TOLERANCE else "sigmoid"
