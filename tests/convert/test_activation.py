"""Scores of a program are recognised by its last operators or by its outputs for noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edgekit.convert.importing.activation import Step, find_activation

Scores = Callable[[np.ndarray], np.ndarray]


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def plain_softmax(logits: np.ndarray) -> np.ndarray:
    """Overflows to NaN where the logits are large."""
    with np.errstate(all="ignore"):
        return np.exp(logits.astype(np.float32)) / np.exp(logits.astype(np.float32)).sum(
            axis=1, keepdims=True
        )


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(logits / 2)


def activation_of(operators: list[str], scores: Scores) -> str:
    """Of a program of such operators, one after the other, whose scores are made of logits of noise."""
    steps = [Step(kind, (str(index),), (str(index + 1),)) for index, kind in enumerate(operators)]

    def compute(amplitude: float) -> np.ndarray:
        return scores(amplitude * np.random.default_rng(0).standard_normal((1, 6)))

    return find_activation(steps, str(len(operators)), compute)[0]


@pytest.mark.parametrize(
    ("operators", "scores", "activation"),
    [
        (["matmul_v2", "softmax"], softmax, "softmax"),
        (["matmul_v2", "softmax", "clip", "cast", "slice", "scale"], softmax, "softmax"),
        (["matmul_v2", "sigmoid", "reshape2"], sigmoid, "sigmoid"),
        (["matmul_v2"], lambda logits: logits, "none"),
        (["matmul_v2", "softmax", "log"], lambda logits: np.log(softmax(logits) + 1e-30), "none"),
        (["exp", "reduce_sum", "elementwise_div"], plain_softmax, "softmax"),
        (["exp", "elementwise_div"], sigmoid, "sigmoid"),
        (["softmax", "elementwise_mul"], lambda logits: softmax(logits)[:, :3], "softmax"),
        # Small logits of one sign are logits all the same: they grow with the noise.
        (["relu", "matmul_v2"], lambda logits: 0.01 * np.abs(logits), "none"),
        (["matmul_v2"], np.zeros_like, "none"),
    ],
)
def test_activations(operators: list[str], scores: Scores, activation: str) -> None:
    assert activation_of(operators, scores) == activation
