"""Comparison of two outputs of one model within a tolerance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit.core.spec import Precision

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Largest error relative to the reference output's range. int8 is judged by Top-1 agreement alone.
MAX_RELATIVE_ERROR = {Precision.FP32: 1e-4, Precision.FP16: 1e-2, Precision.BF16: 5e-2, Precision.INT8: None}
# Tolerance for int8 kernels against float arithmetic that simulates them, on pictures like the
# calibration pictures: 9e-4 was seen on PPLCNet_x1_0_doc_ori.
MAX_SIMULATION_ERROR = 1e-2
# Range of a sigmoid's outputs, at least: engines compute it to about 3e-7, also where all are nearly 0.
LEAST_SIGMOID_SPAN = 1e-2
TOP1, THRESHOLD, NUMBERS = "top1", "threshold", "numbers"
MIN_TOP1_AGREEMENT = {Precision.FP32: 1.0, Precision.FP16: 1.0, Precision.BF16: 0.9, Precision.INT8: 0.9}


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """Agreement of outputs with a reference over several inputs.

    Attributes:
        reference: Name of the reference, e.g. `paddle`.
        inputs: Number of inputs compared.
        max_relative_error: Largest absolute error over the range of that input's reference output; None where
            an output is not finite.
        top1_agreement: Share of inputs with the same answer, 0 to 1; 1 where outputs are no answers.
        outputs_differ: True where the outputs vary between inputs.
        passed: True where the error is within the precision's tolerance.
        reason: Reason of a failure; None where the comparison passed.
        judged_by: Kind of answer that `top1_agreement` counts, by the model's task: `top1` the highest class,
            `threshold` the classes that reach their thresholds; `numbers` where outputs are no answers.
    """

    reference: str
    inputs: int
    max_relative_error: float | None
    top1_agreement: float
    outputs_differ: bool
    passed: bool
    reason: str | None = None
    judged_by: str = TOP1


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """Agreement of the answers of outputs with those of a reference.

    Attributes:
        agreeing: For each input, or for each part of the answers, whether it agrees or the share that does.
        judged_by: Kind of answer, e.g. `top1`.
        phrase: What agrees, with its verb, e.g. `Top-1 agrees`.
        of: Plural of what is counted.
    """

    agreeing: tuple[float, ...]
    judged_by: str
    phrase: str
    of: str = "inputs"

    @property
    def share(self) -> float:
        """Return the share that agrees, 0 to 1; 1 where there is nothing to agree on."""
        return sum(self.agreeing) / len(self.agreeing) if self.agreeing else 1.0

    def failure(self, precision: Precision, tolerance: float | None) -> str | None:
        """Return why the answers of a precision do not agree; None where they do.

        Args:
            precision: Precision of the outputs.
            tolerance: Relative error that the numbers may have; None where answers alone are judged.
        """
        if self.share < MIN_TOP1_AGREEMENT[precision]:
            return f"{self.phrase} on {sum(self.agreeing):.4g} of {len(self.agreeing)} {self.of}"
        if tolerance is None and not self.agreeing:
            return f"nothing to judge by: neither has {self.of}"
        return None


def rung_artifact(rung: str) -> str:
    """Return the artifact of a rung's name: `onnx` of `onnx`, `onnx@SERIAL` and `onnx/ENGINE@SERIAL`."""
    return rung.partition("@")[0].partition("/")[0].removesuffix("-simulated")


def compare(
    outputs: Sequence[Any] | NDArray[Any],
    reference: Sequence[Any] | NDArray[Any],
    *,
    precision: Precision,
    reference_name: str,
    tolerance: float | None = None,
    agreement: Agreement | None = None,
    is_sigmoid: bool = False,
) -> Parity:
    """Compare outputs with a reference, row by row.

    Args:
        outputs: One row of numbers an input, float[N][C]; numpy arrays are accepted.
        reference: Rows of the reference, float[N][C].
        precision: Precision that determines the tolerance.
        reference_name: Name of the reference, stored in the result.
        tolerance: Largest relative error; None for the precision's default tolerance.
        agreement: Agreement of the answers; None where the numbers are no answers.
        is_sigmoid: True for outputs of a sigmoid, whose rounding error does not shrink with their range.
    """
    import numpy

    if len(outputs) != len(reference) or not len(reference):
        raise ValueError(f"parity of {len(outputs)} outputs against {len(reference)} references")
    if tolerance is None:
        tolerance = MAX_RELATIVE_ERROR[precision]
    judged_by = NUMBERS if agreement is None else agreement.judged_by
    worst: float | None = 0.0
    rows = [numpy.asarray(row, dtype=float) for row in outputs]
    for row, wanted in zip(rows, (numpy.asarray(each, dtype=float) for each in reference), strict=True):
        if len(row) != len(wanted):
            reason = f"{len(row)} numbers instead of {len(wanted)}"
            return _verdict(reference_name, len(reference), None, 0.0, True, reason, judged_by)
        if not row.size:
            continue
        error = float(numpy.abs(row - wanted).max())
        # Where all numbers of a row are equal, their magnitude takes the place of the range.
        span = float(wanted.max() - wanted.min()) or float(numpy.abs(wanted).max())
        if is_sigmoid:
            span = max(span, LEAST_SIGMOID_SPAN)
        if not math.isfinite(error):
            worst = None
        elif worst is not None:
            worst = max(worst, error / span if span > 0 else float(error > 0))
    differ = len(reference) == 1 or any(not numpy.array_equal(row, rows[0]) for row in rows[1:])
    why: str | None = None
    if worst is None:
        why = "the output is not finite (NaN or infinity)"
    elif not differ:
        why = "the output is the same for different inputs"
    elif tolerance is not None and worst > tolerance:
        why = f"relative error {worst:.2e} exceeds {tolerance:.0e} ({precision.value})"
    elif agreement is not None:
        why = agreement.failure(precision, tolerance)
    share = 1.0 if agreement is None else agreement.share
    return _verdict(reference_name, len(reference), worst, share, differ, why, judged_by)


def _verdict(
    reference: str,
    inputs: int,
    error: float | None,
    agreement: float,
    differ: bool,
    reason: str | None,
    judged_by: str,
) -> Parity:
    return Parity(
        reference=reference,
        inputs=inputs,
        max_relative_error=error,
        top1_agreement=agreement,
        outputs_differ=differ,
        passed=reason is None,
        reason=reason,
        judged_by=judged_by,
    )
