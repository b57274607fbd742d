"""Several classes for a picture: all whose scores reach their thresholds."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit.core.parity import THRESHOLD, Agreement
from edgekit.core.spec import AnswerKind, Postprocess
from edgekit.errors import UnsupportedError
from edgekit.tasks.classification import Classification, Prediction, prediction, score_rows, top_classes
from edgekit.tasks.task import Answer, Asked, Finding, Outputs, Shown, answer_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.tasks.truth.evaluation import Evaluation, Truth

MULTILABEL = "multilabel"


def task_of_rule(rule: Postprocess) -> str:
    """Return the name of the task of a classifier that answers by a rule."""
    several = (AnswerKind.MULTILABEL, AnswerKind.ATTRIBUTES)
    return MULTILABEL if rule.kind in several else Classification.name


class Attributed(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes of one picture, in PaddleClas's form.

    Attributes:
        attributes: The texts, or one text.
        output: For each class 1 where its score is above its threshold, else 0.
        scores: Score of each class.
        filename: Path of the picture as given, or `array 0`, `bytes 0`.
    """

    attributes: tuple[str, ...] | str
    output: tuple[int, ...]
    scores: tuple[float, ...]
    filename: str

    def as_dict(self) -> dict[str, Any]:
        """Return PaddleClas's dict, which has no scores."""
        texts = self.attributes if isinstance(self.attributes, str) else list(self.attributes)
        return {"attributes": texts, "output": list(self.output), "filename": self.filename}

    def line(self) -> str:
        """Return the answer as one printable line."""
        return answer_line(self.as_dict())


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
        if self.rule.attributes is not None:
            if asked != Asked():
                raise UnsupportedError(
                    f"answering with {self.manifest.name}: its attributes have thresholds of their own, "
                    "and are answered all",
                    hint=f"edgekit predict {shlex.quote(self.manifest.name)} IMAGE",
                )
            scored = zip(self.scores(outputs), pictures, strict=True)
            return [to_attributes(row, picture.name, self.rule) for row, picture in scored]
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

    def documents(self, answer: Answer) -> Sequence[Any]:
        return [answer.as_dict()] if isinstance(answer, Attributed) else super().documents(answer)

    def findings(self, answer: Answer) -> list[Finding]:
        if not isinstance(answer, Attributed):
            return super().findings(answer)
        names = self.labels or (None,) * len(answer.output)
        found = map(Finding, range(len(answer.output)), names, answer.scores)
        passing = [one for one, passes in zip(found, answer.output, strict=True) if passes]
        return sorted(passing, key=lambda one: -one.score)

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
            parts = [] if self.rule.attributes is None else self.rule.attributes.parts
            scores, true = row.tolist(), wanted.tolist()
            same = all(part.agrees(scores, true, (tolerance or 0.0) * span) for part in parts)
            agreeing.append(same and bool((((row >= limits) == (wanted >= limits)) | is_close).all()))
        return Agreement(
            agreeing=tuple(agreeing),
            judged_by=THRESHOLD,
            phrase="the classes that reach their thresholds agree",
        )

    def passing(self, scores: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return for float32[...,C] scores which classes are answered, bool[...,C]."""
        import numpy as np

        if self.rule.attributes is not None:  # compared in double, as `to_attributes` does
            above: NDArray[np.bool_] = scores.astype(np.float64) > np.asarray(self.rule.thresholds)
            return above
        reached: NDArray[np.bool_] = scores >= np.asarray(self.rule.thresholds, np.float32)
        return reached

    def truth(self, list_path: Path, data: Path, tell: Callable[[str], None]) -> Truth[Any]:
        from edgekit.tasks.truth.labels import LabelTruth

        return LabelTruth(self, list_path)

    @classmethod
    def evaluation(cls) -> type[Evaluation]:
        from edgekit.tasks.truth.labels import LabelEvalResult

        return LabelEvalResult


TASK = Multilabel


def to_attributes(row: NDArray[np.float32], filename: str, rule: Postprocess) -> Attributed:
    """Return the attributes of one picture with float32[C] scores, compared in double as PaddleClas does."""
    assert rule.attributes is not None
    scores = row.tolist()
    texts = rule.attributes.texts(scores)
    return Attributed(
        attributes=texts if isinstance(texts, str) else tuple(texts),
        output=tuple(int(score > limit) for score, limit in zip(scores, rule.thresholds, strict=True)),
        scores=tuple(scores),
        filename=filename,
    )


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
