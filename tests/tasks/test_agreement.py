from __future__ import annotations

import numpy as np
import pytest

from edgekit.core.parity import MAX_SIMULATION_ERROR, Parity
from edgekit.core.spec import Precision
from edgekit.parity.reference import compare_answers
from edgekit.tasks.registry import task_of
from tests.manifests import manifest

RNG = np.random.default_rng(7)
REFERENCE = RNG.normal(size=(4, 10)).astype(np.float32)


def judge(outputs: np.ndarray, precision: Precision = Precision.FP32) -> Parity:
    return compare_answers(
        task_of(manifest()), outputs, REFERENCE, precision=precision, reference_name="paddle"
    )


def test_equal_outputs_pass_with_no_error() -> None:
    parity = judge(REFERENCE.copy())
    assert parity.passed
    assert parity.max_relative_error == 0
    assert parity.top1_agreement == 1


def test_the_error_is_relative_to_the_range_of_its_reference_row() -> None:
    outputs = REFERENCE.copy()
    span = REFERENCE[2].max() - REFERENCE[2].min()
    outputs[2, 5] += 0.25 * span
    assert judge(outputs).max_relative_error == pytest.approx(0.25, rel=1e-5)


@pytest.mark.parametrize(
    ("error", "precision", "passed"),
    [
        (5e-5, Precision.FP32, True),
        (2e-4, Precision.FP32, False),
        (2e-4, Precision.FP16, True),
        (2e-2, Precision.FP16, False),
    ],
)
def test_tolerance_follows_the_precision(error: float, precision: Precision, passed: bool) -> None:
    outputs = REFERENCE.copy()
    lowest = REFERENCE[0].argmin()
    outputs[0, lowest] -= error * (REFERENCE[0].max() - REFERENCE[0].min())
    assert judge(outputs, precision).passed is passed


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_fails(poison: float) -> None:
    outputs = REFERENCE.copy()
    outputs[1, 3] = poison
    parity = judge(outputs, Precision.INT8)
    assert not parity.passed
    assert parity.max_relative_error is None
    assert "not finite" in str(parity.reason)


def test_a_constant_output_never_passes() -> None:
    constant = np.repeat(REFERENCE[:1], 4, axis=0)
    parity = compare_answers(
        task_of(manifest()),
        constant,
        constant + 1e-9 * REFERENCE,
        precision=Precision.FP32,
        reference_name="x",
    )
    assert not parity.passed
    assert "same for different inputs" in str(parity.reason)


def test_int8_is_judged_by_top1() -> None:
    outputs = REFERENCE.copy()
    outputs[0] = outputs[0][::-1]
    parity = judge(outputs, Precision.INT8)
    assert parity.top1_agreement == 0.75
    assert not parity.passed


def test_a_tolerance_of_its_own_holds_int8_to_its_simulation() -> None:
    outputs = REFERENCE.copy()
    outputs[0, REFERENCE[0].argmin()] += 0.05 * (REFERENCE[0].max() - REFERENCE[0].min())
    assert judge(outputs, Precision.INT8).passed
    held = compare_answers(
        task_of(manifest()),
        outputs,
        REFERENCE,
        precision=Precision.INT8,
        reference_name="simulation",
        tolerance=MAX_SIMULATION_ERROR,
    )
    assert not held.passed
    assert "exceeds 1e-02" in (held.reason or "")


def test_another_class_count_fails() -> None:
    parity = judge(REFERENCE[:, :9])
    assert not parity.passed
    assert "9 numbers instead of 10" in str(parity.reason)


PROBABILITIES = np.asarray([[0.9, 0.8, 0.1], [0.2, 0.7, 0.6], [0.1, 0.2, 0.3]], np.float32)


def several(outputs: np.ndarray, precision: Precision, thresholds: tuple[float, ...] = (0.5,)) -> Parity:
    rule = {"kind": "multilabel", "thresholds": thresholds}
    model = manifest("multilabel", postprocess=rule, output_activation="sigmoid")
    return compare_answers(
        task_of(model), outputs, PROBABILITIES, precision=precision, reference_name="source"
    )


def test_a_multi_label_model_is_judged_by_the_classes_that_reach_their_thresholds() -> None:
    swapped = PROBABILITIES[:, [1, 0, 2]]  # another highest class in every row
    parity = several(swapped, Precision.INT8, (0.5, 0.5, 0.7))
    assert (parity.top1_agreement, parity.judged_by) == (pytest.approx(2 / 3), "threshold")
    lower = PROBABILITIES - np.float32([0.0, 0.0, 0.2])
    assert judged(several(lower, Precision.INT8)) == (pytest.approx(2 / 3), False)
    assert judged(several(lower, Precision.INT8, (0.5, 0.5, 0.7))) == (1.0, True)


def judged(parity: Parity) -> tuple[float, bool]:
    return parity.top1_agreement, parity.passed


def test_a_score_at_its_threshold_may_be_answered_or_not() -> None:
    lower = PROBABILITIES - np.float32(1e-6)
    assert judged(several(lower, Precision.FP32, (0.7,))) == (1.0, True)
    assert judged(several(lower, Precision.INT8, (0.7,))) == (pytest.approx(2 / 3), False)


def test_a_sigmoids_rounding_does_not_shrink_with_its_range() -> None:
    near_zero = (1e-5 * REFERENCE**2).astype(np.float32)
    rounded = near_zero + np.float32(3e-7) * (np.arange(10) % 2)
    output = {"name": "y", "dtype": "float32", "shape": [None, 10]}
    for is_sigmoid in (False, True):
        task = task_of(manifest("tensors", num_classes=0, outputs=[{**output, "is_sigmoid": is_sigmoid}]))
        parity = compare_answers(task, rounded, near_zero, precision=Precision.FP32, reference_name="source")
        assert parity.passed is is_sigmoid, parity
    far = compare_answers(
        task, near_zero + 1e-4, near_zero, precision=Precision.FP32, reference_name="source"
    )
    assert not far.passed
