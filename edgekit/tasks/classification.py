"""One class for a picture: the best ones, or the one that a threshold decides on, in PaddleClas's form."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit.core.artifact import Manifest
from edgekit.core.parity import TOP1, Agreement
from edgekit.core.spec import CLASSIFICATION, AnswerKind, Postprocess
from edgekit.errors import UnsupportedError
from edgekit.tasks.registry import find_task
from edgekit.tasks.task import Answer, Asked, Finding, Outputs, Shown, Task, answer_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.tasks.truth.evaluation import Evaluation, Truth

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
        return answer_line(self.as_dict())


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
    labels: Sequence[str] = (),
) -> Prediction:
    """Return the answer for one picture.

    Args:
        row: float32[C] scores.
        filename: Name of the picture, stored in the answer.
        rule: Rule of the model's answers; None answers with the best classes.
        top_k: Maximum number of classes; None for the rule's number, else `DEFAULT_TOP_K`.
        threshold: Least score of an answer; where a threshold decides on the class, its value.
        labels: Name of every class, in order.
    """
    import numpy as np

    rule = rule or Postprocess()
    if rule.kind is AnswerKind.THRESHOLD:
        chosen, score = _decided(row, rule, rule.thresholds[0] if threshold is None else threshold)
        return prediction([chosen], [score], filename, labels)
    best = top_classes(row, top_k or rule.top_k or DEFAULT_TOP_K)
    if threshold is not None:
        best = best[row[best] >= np.float32(threshold)]
    return prediction(best.tolist(), row[best].tolist(), filename, labels)


def prediction(
    classes: Sequence[int], scores: Sequence[float], filename: str, labels: Sequence[str]
) -> Prediction:
    """Return the answer of chosen classes with their scores."""
    return Prediction(
        class_ids=tuple(classes),
        scores=tuple(round(score, SCORE_DECIMALS) for score in scores),
        label_names=tuple(labels[index] for index in classes) if labels else (),
        filename=filename,
    )


def _decided(row: NDArray[np.float32], rule: Postprocess, threshold: float) -> tuple[int, float]:
    """Return the one class that PaddleClas's ThreshOutput answers, and its score."""
    if row.size == 2:
        score = float(row[1])
        return (1, score) if row[1] >= threshold else (0, 1 - score)
    best = int(row.argmax())
    chosen = best if row[best] > threshold else rule.default_class
    return chosen, float(row[chosen])


class Classification(Task):
    """Scores of classes of which one is right, in one output float32[N,C]."""

    name = CLASSIFICATION
    summary = "a classifier of pictures"
    activation = "softmax"
    one_class = True
    Rule = Postprocess
    rule: Postprocess

    def scores(self, outputs: Outputs) -> NDArray[np.float32]:
        """Return the scores by which pictures are answered, float32[N,C]."""
        (rows,) = outputs.values()
        rows = rows.reshape(len(rows), -1)
        return softmax(rows) if self.manifest.output_activation == "none" else rows

    def answers(self, outputs: Outputs, pictures: Sequence[Shown], asked: Asked) -> list[Answer]:
        return [
            to_prediction(
                row,
                picture.name,
                rule=self.rule,
                top_k=asked.top_k,
                threshold=asked.threshold,
                labels=self.labels,
            )
            for row, picture in zip(self.scores(outputs), pictures, strict=True)
        ]

    def findings(self, answer: Answer) -> list[Finding]:
        assert isinstance(answer, Prediction)
        names = answer.label_names or (None,) * len(answer.class_ids)
        found = map(Finding, answer.class_ids, names, answer.scores)
        return sorted(found, key=lambda one: -one.score)

    def agreement(self, outputs: Outputs, reference: Outputs, tolerance: float | None) -> Agreement | None:
        agreeing = [
            not row.size or bool(row.argmax() == wanted.argmax())
            for row, wanted in score_rows(outputs, reference)
        ]
        return Agreement(agreeing=tuple(agreeing), judged_by=TOP1, phrase="Top-1 agrees")

    def ranked(self, row: NDArray[np.float32], k: int) -> NDArray[np.intp]:
        """Return the `k` best classes of one picture's scores, the answered one first."""
        return ranked_classes(row, k, self.rule)

    def truth(self, list_path: Path, data: Path, tell: Callable[[str], None]) -> Truth[Any]:
        from edgekit.tasks.truth.classes import ClassTruth

        return ClassTruth(self, list_path)

    @classmethod
    def evaluation(cls) -> type[Evaluation]:
        from edgekit.tasks.truth.classes import EvalResult

        return EvalResult


TASK = Classification


def score_rows(outputs: Outputs, reference: Outputs) -> zip[tuple[NDArray[Any], NDArray[Any]]]:
    """Return pairs of rows of two classifiers' outputs, float[C] each."""
    (rows,), (wanted,) = outputs.values(), reference.values()
    return zip(rows, wanted, strict=True)


def require_classifier(manifest: Manifest, doing: str) -> None:
    """Raise UnsupportedError where a model is no classifier of pictures; `doing` begins the message."""
    if manifest.num_classes < 1 or not issubclass(find_task(manifest.task), Classification):
        inputs = ", ".join(f"{each.name} {each.dtype}{list(each.shape)}" for each in manifest.inputs)
        raise UnsupportedError(
            f"{doing} {manifest.name}: it is no classifier of pictures (it takes {inputs})",
            hint=f"edgekit verify {shlex.quote(manifest.name)} compares its outputs",
        )
