"""Answers by threshold against the rules that PaddleClas's post-processing sections spell out."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.core.spec import AnswerKind, Postprocess
from edgekit.tasks import multilabel
from edgekit.tasks.classification import ranked_classes, to_prediction

ROW = np.array([0.1, 0.7, 0.5, 0.9, 0.3], np.float32)
LABELS = ("a", "b", "c", "d", "e")


def one(threshold: float, default: int = 0) -> Postprocess:
    return Postprocess(kind=AnswerKind.THRESHOLD, thresholds=(threshold,), default_class=default)


@pytest.mark.parametrize(
    ("thresholds", "top_k", "classes"),
    [
        # deploy/python/postprocess.py, MultiLabelThreshOutput: where probs >= threshold, in order of class.
        ((0.5,), None, (1, 2, 3)),
        ((0.05, 0.8, 0.8, 0.8, 0.8), None, (0, 3)),
        ((0.95,), None, ()),
        ((0.2,), None, (1, 2, 3, 4)),
        ((0.5,), 2, (1, 3)),
    ],
)
def test_several_labels(thresholds: tuple[float, ...], top_k: int | None, classes: tuple[int, ...]) -> None:
    found = multilabel.to_prediction(ROW, "x.png", thresholds=thresholds, top_k=top_k, labels=LABELS)
    assert found.class_ids == classes
    assert found.scores == tuple(round(float(ROW[each]), 5) for each in classes)
    assert found.label_names == tuple(LABELS[each] for each in classes)
    assert set(found.as_dict()) == {"class_ids", "scores", "label_names", "filename"}


@pytest.mark.parametrize(
    ("row", "rule", "threshold", "chosen", "score"),
    [
        # ThreshOutput of two classes: `score < threshold` is class 0 with 1 - score.
        ([0.2, 0.8], one(0.9), None, 0, 0.2),
        ([0.2, 0.8], one(0.75), None, 1, 0.8),
        ([0.2, 0.8], one(0.9), 0.5, 1, 0.8),
        # Of more: the best class where `score > threshold`, else the default.
        ([0.1, 0.6, 0.3], one(0.5, 2), None, 1, 0.6),
        ([0.1, 0.6, 0.3], one(0.7, 2), None, 2, 0.3),
    ],
)
def test_one_label_by_threshold(
    row: list[float], rule: Postprocess, threshold: float | None, chosen: int, score: float
) -> None:
    found = to_prediction(np.array(row, np.float32), "x.png", rule=rule, threshold=threshold)
    assert found.class_ids == (chosen,)
    assert found.scores == pytest.approx((score,), abs=1e-5)
    ranked = ranked_classes(np.array(row, np.float32), 5, rule)
    assert sorted(ranked) == list(range(len(row)))
    if threshold is None:
        assert ranked[0] == chosen


def test_the_number_of_best_classes() -> None:
    assert to_prediction(ROW, "x").class_ids == (3, 1, 2, 4, 0)
    assert to_prediction(ROW, "x", rule=Postprocess(top_k=2)).class_ids == (3, 1)
    assert to_prediction(ROW, "x", rule=Postprocess(top_k=2), top_k=3).class_ids == (3, 1, 2)
    assert to_prediction(ROW, "x", threshold=0.5).class_ids == (3, 1, 2)


@pytest.mark.parametrize(
    ("kind", "thresholds"),
    [
        (AnswerKind.TOPK, (0.5,)),
        (AnswerKind.THRESHOLD, ()),
        (AnswerKind.THRESHOLD, (0.1, 0.2)),
        (AnswerKind.MULTILABEL, ()),
    ],
)
def test_thresholds_fit_the_kind(kind: AnswerKind, thresholds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="thresholds do not fit"):
        Postprocess(kind=kind, thresholds=thresholds)
