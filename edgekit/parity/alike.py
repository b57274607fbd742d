"""Outputs that hardly change with the input, with which every engine agrees whatever it computes."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekit.core.artifact import Manifest
from edgekit.core.parity import MAX_RELATIVE_ERROR, compare
from edgekit.core.spec import Precision

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger("edgekit")

# Outputs of several inputs that are as near to each other as this, of their range, may be those of one input.
ALIKE = 10 * (MAX_RELATIVE_ERROR[Precision.FP32] or 0.0)


def warn_if_alike(manifest: Manifest, outputs: Sequence[Sequence[NDArray[Any]]]) -> None:
    """Say that parity shows little where no output changes much with the input, as a saturated one.

    Args:
        manifest: The model's.
        outputs: For each of the model's outputs its rows, float[C], by input.
    """
    count = len(outputs[0])
    errors = [
        compare(
            [rows[0]] * count, rows, precision=Precision.FP32, reference_name="its own",
            is_sigmoid=spec.is_sigmoid,
        ).max_relative_error
        for rows, spec in zip(outputs, manifest.outputs, strict=True)
    ]  # fmt: skip
    # Outputs of other sizes, as other numbers of boxes, have no error and differ.
    largest = max(math.inf if error is None else error for error in errors)
    if 0 < largest < ALIKE:
        logger.warning(
            "%s: its outputs for %d inputs differ by %.0e of their range alone: parity shows little",
            manifest.name, count, largest,
        )  # fmt: skip
