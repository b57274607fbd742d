from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.tasks.classification import softmax, to_prediction, top_classes


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(min_value=1, max_value=50))
def test_best_first_and_of_equals_the_lower_class(scores: list[int], k: int) -> None:
    row = np.array(scores, np.float32)
    expected = sorted(range(len(scores)), key=lambda index: (-scores[index], index))[:k]
    assert top_classes(row, k).tolist() == expected


def test_paddleclas_form() -> None:
    """The line of PP-LCNet's documentation, from the scores that it rounds."""
    row = np.zeros(1000, np.float32)
    row[[8, 7, 86]] = 0.913471, 0.037789, 0.003599
    labels = [f"class {index}" for index in range(1000)]
    labels[8], labels[7], labels[86] = "hen", "cock", "partridge"
    prediction = to_prediction(row, "docs/hen.jpg", top_k=3, labels=labels)
    assert prediction.line() == (
        "class_ids: [8, 7, 86], scores: [0.91347, 0.03779, 0.0036], "
        "label_names: ['hen', 'cock', 'partridge'], filename: docs/hen.jpg"
    )


def test_threshold_leaves_out_what_is_less_likely() -> None:
    row = np.array([0.1, 0.6, 0.3], np.float32)
    assert to_prediction(row, "a", top_k=5, threshold=0.25).class_ids == (1, 2)
    assert to_prediction(row, "a", top_k=5, threshold=0.9).class_ids == ()
    assert to_prediction(row, "a", top_k=2).scores == (0.6, 0.3)


def test_without_labels_there_are_no_names() -> None:
    assert to_prediction(np.array([0.2, 0.8], np.float32), "a", top_k=1).label_names == ()


def test_softmax() -> None:
    rows = np.array([[0, np.log(3)], [1000, 0]], np.float32)
    assert softmax(rows)[0].tolist() == pytest.approx([0.25, 0.75])
    assert softmax(rows)[1].tolist() == [1, 0]
