"""Figures of an epoch's weights on validation pictures, from counts that processes add up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np

from edgekit.tasks.truth.attributes import LabelCounts, count_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# A table of more classes cannot be read, and would make checkpoints large.
MOST_CONFUSED_CLASSES = 100

Confusion = tuple[tuple[int, ...], ...]


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """Figures on all validation pictures, 0 to 1; None for those of the other kind of labels.

    Attributes:
        loss: Mean loss of a picture, nats.
        top1: Share of pictures whose best class is right.
        top5: Share of pictures whose class is among the best five.
        mean_accuracy: Mean over the labels of the mean of positive and negative recall (PaddleClas's `ma`).
        confusion: Pictures by true class (row) and answer (column); empty for many classes or labels.
    """

    loss: float
    top1: float | None = None
    top5: float | None = None
    mean_accuracy: float | None = None
    confusion: Confusion = ()

    @property
    def share(self) -> float:
        """The figure by which epochs are compared."""
        found = self.top1 if self.mean_accuracy is None else self.mean_accuracy
        assert found is not None
        return found


class Tally(Protocol):
    """Counts of batches. `sums` of several processes add up to what `judged` takes."""

    def add(self, logits: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        """Count a batch with logits [N,classes]."""

    def sums(self) -> list[float]:
        """Return all counts in a fixed order."""

    def judged(self, sums: Sequence[float], pictures: int) -> Judged:
        """Return the figures of counts."""


class OneLabel:
    """Tally of pictures with one class each, labels int[N]."""

    def __init__(self, classes: int) -> None:
        self._shown = classes if classes <= MOST_CONFUSED_CLASSES else 0
        self._hits, self._loss = [0, 0], 0.0
        self._confusion = np.zeros((self._shown, self._shown), np.int64)

    def add(self, logits: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
        log_shares = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        self._loss -= float(log_shares[np.arange(len(labels)), labels].sum())
        order = np.argsort(-logits, axis=1, kind="stable")
        self._hits[0] += int((order[:, 0] == labels).sum())
        self._hits[1] += int((order[:, :5] == labels[:, None]).any(axis=1).sum())
        if self._shown:
            np.add.at(self._confusion, (labels, order[:, 0]), 1)

    def sums(self) -> list[float]:
        return [*self._hits, self._loss, *self._confusion.flatten().tolist()]

    def judged(self, sums: Sequence[float], pictures: int) -> Judged:
        top1, top5, loss = (each / pictures for each in sums[:3])
        rows = np.array(sums[3:], np.int64).reshape(self._shown, self._shown).tolist()
        return Judged(loss=loss, top1=top1, top5=top5, confusion=tuple(map(tuple, rows)))


class SeveralLabels:
    """Tally of pictures with labels int[N,C]: 1, 0, or -1 for unknown. Scores above 0.5 are answers."""

    def __init__(self, classes: int) -> None:
        self._counts = np.zeros((len(LabelCounts._fields), classes), np.int64)
        self._loss = 0.0

    def add(self, logits: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        wide = logits.astype(np.float64)
        losses = np.logaddexp(0.0, wide) - wide * labels
        self._loss += float((losses * (labels >= 0)).sum())
        self._counts += np.array(count_labels(labels, wide > 0))

    def sums(self) -> list[float]:
        return [self._loss, *self._counts.flatten().tolist()]

    def judged(self, sums: Sequence[float], pictures: int) -> Judged:
        counts = LabelCounts(*np.array(sums[1:]).reshape(self._counts.shape))
        return Judged(loss=sums[0] / pictures, mean_accuracy=counts.mean_accuracy())
