"""Figures of multi-label models, on rows counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.tasks.truth.attributes import attribute_figures
from edgekit.tasks.truth.labels import average_precision


def test_attributes_are_counted_as_paddleclas_counts_them() -> None:
    truth = np.array([[1, 0], [1, 1], [0, -1], [0, 1]], np.int8)
    answers = np.array([[1, 1], [0, 1], [0, 1], [1, 1]], bool)
    found = attribute_figures(truth, answers)
    # First label: 1 of 2 true ones, 1 of 2 false ones. Second: 2 of 2 and 0 of 1; one is unknown.
    assert found.label_pos_recall == (1 / 2 + 1) / 2
    assert found.label_neg_recall == (1 / 2 + 0) / 2
    assert found.ma == ((1 / 2 + 1 / 2) / 2 + (1 + 0) / 2) / 2
    # PaddleClas takes each label's precision, and of the recall the mean over the labels.
    precisions = (1 / 2, 2 / 3)
    f1 = [2 * one * 0.75 / (one + 0.75) for one in precisions]
    assert found.label_f1 == pytest.approx(sum(f1) / 2)
    # By picture: 1 of 2 answered, 1 of 1, none of 0, 1 of 2.
    assert found.instance_prec == (1 / 2 + 1 + 0 + 1 / 2) / 4
    assert found.instance_recall == (1 + 1 / 2 + 0 + 1) / 4
    assert found.instance_acc == (1 / 2 + 1 / 2 + 0 + 1 / 2) / 4
    assert found.instance_f1 == pytest.approx(2 * 0.5 * 0.625 / (0.5 + 0.625))


def test_equal_scores_count_together_in_whichever_order() -> None:
    scores = np.array([0.9, 0.5, 0.5, 0.1], np.float32)
    ways = [np.array(each, bool) for each in ([0, 1, 0, 1], [0, 0, 1, 1])]
    assert [average_precision(truth, scores) for truth in ways] == [pytest.approx((1 / 3 + 2 / 4) / 2)] * 2
    assert average_precision(np.zeros(4, bool), scores) is None
