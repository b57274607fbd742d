"""Several classes for a picture: all whose scores reach their thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgekit.core.parity import THRESHOLD, Agreement
from edgekit.core.spec import AnswerKind, Postprocess
from edgekit.tasks.classification import Classification, Prediction, prediction, score_rows, top_classes
from edgekit.tasks.task import Answer, Asked, Outputs, Shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MULTILABEL = "multilabel"


def task_of_rule(rule: Postprocess) -> str:
    """Return the name of the task of a classifier that answers by a rule."""
    return MULTILABEL if rule.kind is AnswerKind.MULTILABEL else Classification.name


class Multilabel(Classification):
    """Scores of classes that are right or not independently of each other, in one output float32[N,C]."""

    name = MULTILABEL
    activation = "sigmoid"
    one_class = False

    def scores(self, outputs: Outputs) -> NDArray[np.float32]:
        (rows,) = outputs.values()
        flat: NDArray[np.float32] = rows.reshape(len(rows), -1)
        return flat

    def answers(self, outputs: Outputs, pictures: Sequence[Shown], asked: Asked) -> list[Answer]:
        return [
            to_prediction(
                row,
                picture.name,
                thresholds=self.rule.thresholds if asked.threshold is None else (asked.threshold,),
                top_k=asked.top_k,
                labels=self.labels,
            )
            for row, picture in zip(self.scores(outputs), pictures, strict=True)
        ]

    def agreement(self, outputs: Outputs, reference: Outputs, tolerance: float | None) -> Agreement | None:
        """Compare which classes reach their thresholds.

        A class whose reference score lies closer to its threshold than the tolerance may be answered or not.
        """
        import numpy as np

        limits = np.asarray(self.rule.thresholds, np.float32)  # as answers are decided
        agreeing = []
        for row, wanted in score_rows(outputs, reference):
            if row.shape != wanted.shape:
                agreeing.append(False)
                continue
            # The tolerance is relative to the range.
            span = float(wanted.max() - wanted.min()) or float(np.abs(wanted).max()) if wanted.size else 0.0
            is_close = np.abs(wanted - limits) < (tolerance or 0.0) * span
            agreeing.append(bool((((row >= limits) == (wanted >= limits)) | is_close).all()))
        return Agreement(
            agreeing=tuple(agreeing),
            judged_by=THRESHOLD,
            phrase="the classes that reach their thresholds agree",
        )


TASK = Multilabel


def to_prediction(
    row: NDArray[np.float32],
    filename: str,
    *,
    thresholds: Sequence[float],
    top_k: int | None = None,
    labels: Sequence[str] = (),
) -> Prediction:
    """Return the answer for one picture: the classes that pass, in order of class.

    Args:
        row: float32[C] scores.
        filename: Name of the picture, stored in the answer.
        thresholds: Least score of an answer, one for all classes or one for each.
        top_k: Maximum number of classes, the best of those that pass; None for all.
        labels: Name of every class, in order.
    """
    import numpy as np

    passing = np.flatnonzero(row >= np.asarray(thresholds, np.float32))
    if top_k is not None and passing.size > top_k:
        passing = np.sort(passing[top_classes(row[passing], top_k)])
    return prediction(passing.tolist(), row[passing].tolist(), filename, labels)
