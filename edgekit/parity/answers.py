"""Comparison of a model's outputs by the answers that it gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekit.core.artifact import Manifest
from edgekit.core.parity import Parity, compare
from edgekit.core.spec import AnswerKind, Precision

if TYPE_CHECKING:
    from numpy.typing import NDArray


def compare_answers(
    manifest: Manifest,
    outputs: Sequence[Any] | NDArray[Any],
    reference: Sequence[Any] | NDArray[Any],
    *,
    precision: Precision,
    reference_name: str,
    tolerance: float | None = None,
) -> Parity:
    """Compare outputs with a reference: their numbers, and the answers of a classifier.

    Answers are the highest class, of a multi-label model the classes that reach their thresholds.

    Args:
        manifest: The model's.
        outputs: One row of numbers an input, float[N][C].
        reference: Rows of the reference, float[N][C].
        precision: Precision that determines the tolerance.
        reference_name: Name of the reference, stored in the result.
        tolerance: Largest relative error; None for the precision's default tolerance.
    """
    rule = manifest.postprocess
    return compare(
        outputs,
        reference,
        precision=precision,
        reference_name=reference_name,
        tolerance=tolerance,
        scores=manifest.num_classes > 0,
        thresholds=rule.thresholds if rule.kind is AnswerKind.MULTILABEL and manifest.num_classes else (),
    )
