"""Recognition of scores that are probabilities already, so that no activation is applied twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

# Operators after an activation that keep probabilities, or select some of them. Names of ONNX, of legacy
# Paddle and of PIR, in small letters.
_KEPT = frozenset(
    {
        "assign", "cast", "clip", "dropout", "fetch", "flatten", "flatten2", "flatten_contiguous_range",
        "identity", "relu", "reshape", "reshape2", "scale", "shadow_output", "share_data", "slice", "split",
        "squeeze", "squeeze2", "strided_slice", "transpose", "transpose2", "unsqueeze", "unsqueeze2",
    }
)  # fmt: skip
_ENDS = {
    "softmax": "softmax", "sigmoid": "sigmoid", "hard_sigmoid": "sigmoid", "hardsigmoid": "sigmoid",
}  # fmt: skip
# Deviations of the noise that is tried: logits grow with it, probabilities stay between 0 and 1.
_AMPLITUDES = (1.0, 16.0, 256.0)
_TOLERANCE = 1e-3


class Step(NamedTuple):
    """One operator: its kind in small letters, and the tensors that it reads and gives."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def find_activation(
    steps: Sequence[Step], output: str, compute: Callable[..., Any]
) -> tuple[str, tuple[str, ...]]:
    """Return the scores' `output_activation` for the manifest, and a note where it is a guess.

    The operators before the output decide where they end in softmax or sigmoid and the scores lie between 0
    and 1. Otherwise scores of noise decide: scores between 0 and 1 at every amplitude are probabilities, and
    classes exclude each other where the scores of an input add up to at most 1.

    Args:
        steps: The model's operators.
        output: Name of the scores among their tensors.
        compute: Gives scores float32[N, ...] of noise, with its deviation as `amplitude`.
    """
    end = last_activation(steps, output)
    if end is not None and _rows(compute(amplitude=1.0)) is not None:
        return end, ()
    together = 0.0
    for amplitude in _AMPLITUDES:
        rows = _rows(compute(amplitude=amplitude), lenient=amplitude > 1)
        if rows is None:
            return "none", ()
        if len(rows):
            together = max(together, float(rows.sum(axis=1).max()))
    if together == 0.0:
        return "none", ()
    found = "softmax" if together <= 1 + _TOLERANCE else "sigmoid"
    return found, (
        f"its scores lie between 0 and 1 whatever it is shown: they are taken for probabilities ({found})",
    )


def _rows(scores: Any, *, lenient: bool = False) -> Any:
    """Return the finite rows; None where one leaves the range 0 to 1, or without a finite row.

    `lenient` returns no rows then: a softmax written out as exp over sum overflows on loud noise.
    """
    import numpy

    array = numpy.asarray(scores, dtype=numpy.float64)
    rows = array.reshape(len(array), -1)
    finite = rows[numpy.isfinite(rows).all(axis=1)]
    if len(finite) == 0:
        return finite if lenient else None
    if finite.min() < -_TOLERANCE or finite.max() > 1 + _TOLERANCE:
        return None
    return finite


def last_activation(steps: Sequence[Step], output: str) -> str | None:
    """Return the activation that the operators before an output end in: `softmax`, `sigmoid` or None."""
    makers = {name: step for step in steps for name in step.outputs}
    for _ in range(len(makers)):
        step = makers.get(output)
        if step is None:
            return None
        if step.kind in _ENDS:
            return _ENDS[step.kind]
        if step.kind not in _KEPT or not step.inputs:
            return None
        output = step.inputs[0]
    return None
