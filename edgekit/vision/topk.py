"""From scores to answers in the form that PaddleClas gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# PaddleClas rounds scores to five decimals (release 2.6, deploy/python/postprocess.py, Topk).
SCORE_DECIMALS = 5


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for one picture: PaddleClas's four keys, best class first.

    Attributes:
        class_ids: Class numbers.
        scores: Their probabilities, rounded to five decimals.
        label_names: Their names; empty where the model has no labels.
        filename: The picture's path as it was given, or `array 0`, `bytes 0`.
    """

    class_ids: tuple[int, ...]
    scores: tuple[float, ...]
    label_names: tuple[str, ...]
    filename: str

    def as_dict(self) -> dict[str, Any]:
        """The dict that PaddleClas's Python interface yields."""
        return {
            "class_ids": list(self.class_ids),
            "scores": list(self.scores),
            "label_names": list(self.label_names),
            "filename": self.filename,
        }

    def line(self) -> str:
        """The line that the paddleclas command prints."""
        return ", ".join(f"{key}: {value}" for key, value in self.as_dict().items())


def softmax(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32[N,C] logits to probabilities, row by row."""
    import numpy as np

    exponentials = np.exp(rows - rows.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def top_classes(row: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    """The `k` best classes of float32[C] scores, best first; of equal scores the lower class comes first."""
    import numpy as np

    k = min(k, row.size)
    # Only what reaches the k-th best score is sorted: ten times less than sorting a thousand classes.
    kth = np.partition(row, row.size - k)[row.size - k]
    candidates = np.flatnonzero(row >= kth)
    return candidates[np.argsort(-row[candidates], kind="stable")[:k]]


def to_prediction(
    row: NDArray[np.float32],
    filename: str,
    *,
    top_k: int,
    threshold: float | None = None,
    labels: Sequence[str] | None = None,
) -> Prediction:
    """The best classes of one picture.

    Args:
        row: float32[C] probabilities.
        filename: Stored with the answer.
        top_k: At most so many classes.
        threshold: Classes with a lower probability are left out.
        labels: Name of every class, in order.
    """
    best = top_classes(row, top_k)
    classes: list[int] = best.tolist()
    scores: list[float] = row[best].tolist()
    if threshold is not None:
        classes = [index for index, score in zip(classes, scores, strict=True) if score >= threshold]
        scores = scores[: len(classes)]
    return Prediction(
        class_ids=tuple(classes),
        scores=tuple(round(score, SCORE_DECIMALS) for score in scores),
        label_names=tuple(labels[index] for index in classes) if labels else (),
        filename=filename,
    )
