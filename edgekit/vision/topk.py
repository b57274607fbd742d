"""Convert scores to answers in PaddleClas's form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit._text import one_line
from edgekit.core.spec import AnswerKind, Postprocess

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# PaddleClas rounds scores to five decimals (release 2.6, deploy/python/postprocess.py, Topk).
SCORE_DECIMALS = 5
DEFAULT_TOP_K = 5


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """Answer for one picture: PaddleClas's four keys.

    Attributes:
        class_ids: Class numbers, the best first; of a multi-label model in order of class.
        scores: Scores of the classes, rounded to five decimals: probabilities where the model computes them.
        label_names: Names of the classes; empty where the model has no labels.
        filename: Path of the picture as given, or `array 0`, `bytes 0`.
    """

    class_ids: tuple[int, ...]
    scores: tuple[float, ...]
    label_names: tuple[str, ...]
    filename: str

    def as_dict(self) -> dict[str, Any]:
        """Return the dict that PaddleClas's Python interface yields."""
        return {
            "class_ids": list(self.class_ids),
            "scores": list(self.scores),
            "label_names": list(self.label_names),
            "filename": self.filename,
        }

    def line(self) -> str:
        """Return the line that the paddleclas command prints, without the controls of a file's name."""
        values = {**self.as_dict(), "filename": one_line(self.filename)}
        return ", ".join(f"{key}: {value}" for key, value in values.items())


def softmax(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convert float32[N,C] logits to probabilities, row by row."""
    import numpy as np

    exponentials = np.exp(rows - rows.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def top_classes(row: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    """Return the `k` best classes of float32[C] scores, best first; of equal scores the lower class first."""
    import numpy as np

    k = min(k, row.size)
    # Only scores from the k-th best up are sorted: ten times faster than sorting a thousand classes.
    kth = np.partition(row, row.size - k)[row.size - k]
    candidates = np.flatnonzero(row >= kth)
    return candidates[np.argsort(-row[candidates], kind="stable")[:k]]


def ranked_classes(row: NDArray[np.float32], k: int, rule: Postprocess | None = None) -> NDArray[np.intp]:
    """Return the `k` best classes of a single-label model; the class that `rule` decides on comes first."""
    import numpy as np

    best = top_classes(row, k)
    if rule is None or rule.kind is not AnswerKind.THRESHOLD:
        return best
    chosen, _ = _decided(row, rule, rule.thresholds[0])
    ranked: NDArray[np.intp] = np.concatenate([[chosen], best[best != chosen]])[:k].astype(np.intp)
    return ranked


def to_prediction(
    row: NDArray[np.float32],
    filename: str,
    *,
    rule: Postprocess | None = None,
    top_k: int | None = None,
    threshold: float | None = None,
    labels: Sequence[str] | None = None,
) -> Prediction:
    """Return the answer for one picture.

    Args:
        row: float32[C] scores.
        filename: Name of the picture, stored in the answer.
        rule: Rule of the model's answers; None answers with the best classes.
        top_k: Maximum number of classes; None for the rule's number, else `DEFAULT_TOP_K`, and for a
            multi-label model all classes that pass.
        threshold: For a single-label model the least score of an answer; for the other kinds the value that
            replaces the rule's thresholds.
        labels: Name of every class, in order.
    """
    classes, scores = _chosen(row, rule or Postprocess(), top_k, threshold)
    return Prediction(
        class_ids=tuple(classes),
        scores=tuple(round(score, SCORE_DECIMALS) for score in scores),
        label_names=tuple(labels[index] for index in classes) if labels else (),
        filename=filename,
    )


def _chosen(
    row: NDArray[np.float32], rule: Postprocess, top_k: int | None, threshold: float | None
) -> tuple[list[int], list[float]]:
    import numpy as np

    if rule.kind is AnswerKind.THRESHOLD:
        chosen, score = _decided(row, rule, rule.thresholds[0] if threshold is None else threshold)
        return [chosen], [score]
    if rule.kind is AnswerKind.MULTILABEL:
        limits = np.asarray(rule.thresholds if threshold is None else (threshold,), np.float32)
        passing = np.flatnonzero(row >= limits)
        if top_k is not None and passing.size > top_k:
            passing = np.sort(passing[top_classes(row[passing], top_k)])
        return passing.tolist(), row[passing].tolist()
    best = top_classes(row, top_k or rule.top_k or DEFAULT_TOP_K)
    if threshold is not None:
        best = best[row[best] >= np.float32(threshold)]
    return best.tolist(), row[best].tolist()


def _decided(row: NDArray[np.float32], rule: Postprocess, threshold: float) -> tuple[int, float]:
    """Return the one class that PaddleClas's ThreshOutput answers, and its score."""
    if row.size == 2:
        score = float(row[1])
        return (1, score) if row[1] >= threshold else (0, 1 - score)
    best = int(row.argmax())
    chosen = best if row[best] > threshold else rule.default_class
    return chosen, float(row[chosen])
