"""Losses of a training step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import paddle
    from numpy.typing import NDArray

Distillation = Literal["dml", "ce"]


def one_hot(labels: NDArray[np.int64], num_classes: int) -> NDArray[np.float32]:
    """Return float32[N,classes] of int64[N]; a picture without a label, -1, has a row of zeros.

    Labels int64[N,classes] of several classes a picture are targets already.
    """
    import numpy as np

    if labels.ndim == 2:
        return labels.astype(np.float32)
    found: NDArray[np.float32] = (labels[:, None] == np.arange(num_classes)).astype(np.float32)
    return found


def label_loss(
    logits: paddle.Tensor, targets: paddle.Tensor, *, smoothing: float, class_weights: Sequence[float]
) -> paddle.Tensor:
    """Return the mean cross-entropy to shares of classes.

    Args:
        logits: [N,classes].
        targets: [N,classes]; every row sums to 1.
        smoothing: Share of each row that is spread over all classes.
        class_weights: Weight of each class in the mean; empty for equal ones.
    """
    import paddle
    from paddle.nn import functional

    smoothed = targets * (1 - smoothing) + smoothing / targets.shape[1]
    loss = functional.cross_entropy(logits, smoothed, soft_label=True, reduction="none").flatten()
    if not class_weights:
        return loss.mean()
    weights = (targets * paddle.to_tensor(list(class_weights), dtype=targets.dtype)).sum(axis=1)
    return (loss * weights).sum() / weights.sum()


def several_labels_loss(
    logits: paddle.Tensor,
    targets: paddle.Tensor,
    *,
    smoothing: float,
    positive_shares: Sequence[float],
    summed: bool,
) -> paddle.Tensor:
    """Return the mean loss of pictures with several labels each (ppcls/loss/multilabelloss.py).

    Args:
        logits: [N,classes].
        targets: [N,classes] of 1, 0, or -1 for unknown, which counts nothing.
        smoothing: Share of a target that is spread over all classes.
        positive_shares: Share of the pictures that have each label, by which rare answers weigh more; empty
            for equal weights.
        summed: Whether a picture's loss is the sum over its labels, not their mean.
    """
    import paddle
    from paddle.nn import functional

    is_known = (targets >= 0).astype(targets.dtype)
    is_true = (targets > 0.5).astype(targets.dtype)
    smoothed = targets * (1 - smoothing) + smoothing / targets.shape[1]
    losses = functional.binary_cross_entropy_with_logits(logits, smoothed, reduction="none") * is_known
    if positive_shares:
        shares = paddle.to_tensor(list(positive_shares), dtype=targets.dtype)
        losses = losses * (is_true * (1 - shares) + (1 - is_true) * shares).exp()
    return losses.sum(axis=1).mean() if summed else losses.mean()


def distillation_loss(kind: Distillation, logits: paddle.Tensor, teacher: paddle.Tensor) -> paddle.Tensor:
    """Return the mean distance of two rows of logits, [N,classes], after softmax.

    `dml` is the mean of both Kullback-Leibler divergences, which PaddleClas's SSLD uses and calls JS
    divergence (ppcls/loss/dmlloss.py); `ce` is the cross-entropy to the teacher's probabilities.
    """
    from paddle.nn import functional

    log_p = functional.log_softmax(logits)
    log_q = functional.log_softmax(teacher)
    q = log_q.exp()
    if kind == "ce":
        return -(q * log_p).sum(axis=1).mean()
    return ((log_p.exp() - q) * (log_p - log_q)).sum(axis=1).mean() / 2
