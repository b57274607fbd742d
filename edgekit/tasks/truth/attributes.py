"""Figures of PaddleClas's ATTRMetric for several labels a picture (release 2.6, ppcls/metric/metrics.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ATTRIBUTE_THRESHOLD = 0.5
"""A label counts as answered above this score, whatever thresholds the model's answers have."""


class AttributeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of PaddleClas's ATTRMetric, 0 to 1, by its names and in its order.

    Attributes:
        ma: Mean over the labels of the mean of positive and negative recall.
        label_f1: Mean over the labels of F1, where the recall of every label is `label_pos_recall`, the
            mean over all labels: so PaddleClas computes it, and so its published figures are.
        label_pos_recall: Mean over the labels of the share of true ones that are found.
        label_neg_recall: Mean over the labels of the share of false ones that are found.
        instance_f1: Harmonic mean of `instance_prec` and `instance_recall`.
        instance_acc: Mean over the pictures of right labels over labels that are true or answered.
        instance_prec: Mean over the pictures of the share of answered labels that are true.
        instance_recall: Mean over the pictures of the share of true labels that are answered.
    """

    ma: float
    label_f1: float
    label_pos_recall: float
    label_neg_recall: float
    instance_f1: float
    instance_acc: float
    instance_prec: float
    instance_recall: float


class LabelCounts(NamedTuple):
    """Pictures by label, int64[C] each; pictures where a label is unknown do not count for it.

    Attributes:
        true: How many have the label.
        true_found: How many of those are answered with it.
        false: How many do not have it.
        false_found: How many of those are answered without it.
    """

    true: NDArray[np.int64]
    true_found: NDArray[np.int64]
    false: NDArray[np.int64]
    false_found: NDArray[np.int64]

    def recalls(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Positive and negative recall of each label; 0 where no picture could show it."""
        return _ratio(self.true_found, self.true), _ratio(self.false_found, self.false)

    def mean_accuracy(self) -> float:
        """Mean over the labels of the mean of both recalls (`ma`), 0 to 1."""
        positive, negative = self.recalls()
        return float(((positive + negative) / 2).mean())


def count_labels(truth: NDArray[np.integer], answers: NDArray[np.bool_]) -> LabelCounts:
    """Count pictures by label.

    Args:
        truth: int[N,C] of 1, 0, and -1 for unknown.
        answers: bool[N,C], True where a label is answered.
    """
    true, false = truth == 1, truth == 0
    parts = true, true & answers, false, false & ~answers
    return LabelCounts(*(part.sum(axis=0) for part in parts))


def attribute_figures(truth: NDArray[np.int8], answers: NDArray[np.bool_]) -> AttributeFigures:
    """Return all figures. The arguments are those of `count_labels`."""
    counts = count_labels(truth, answers)
    pos_recall, neg_recall = counts.recalls()
    mean_recall = pos_recall.mean()
    precision = _ratio(counts.true_found, counts.true_found + counts.false - counts.false_found)
    true, found = truth == 1, answers & (truth != -1)
    hits = (true & found).sum(axis=1)
    instance_prec = _ratio(hits, found.sum(axis=1)).mean()
    instance_recall = _ratio(hits, true.sum(axis=1)).mean()
    return AttributeFigures(
        ma=counts.mean_accuracy(),
        label_f1=float(_ratio(2 * precision * mean_recall, precision + mean_recall).mean()),
        label_pos_recall=float(mean_recall),
        label_neg_recall=float(neg_recall.mean()),
        instance_f1=float(_ratio(2 * instance_prec * instance_recall, instance_prec + instance_recall)),
        instance_acc=float(_ratio(hits, (true | found).sum(axis=1)).mean()),
        instance_prec=float(instance_prec),
        instance_recall=float(instance_recall),
    )


def _ratio(of: NDArray[np.number], to: NDArray[np.number]) -> NDArray[np.float64]:
    """Divide; 0 where there is nothing to divide by."""
    import numpy as np

    quotient: NDArray[np.float64] = np.asarray(of, float) / np.where(np.asarray(to) == 0, np.inf, to)
    return quotient
