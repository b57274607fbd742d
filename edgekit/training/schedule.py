"""Linear warm-up, then half a cosine (Loshchilov and Hutter, "SGDR", 2017), step by step."""

from __future__ import annotations

import math

# PaddleClas's recipe: 360 epochs and 5 of warm-up on ImageNet's 1.28 million pictures.
RECIPE_EPOCHS = 360
RECIPE_PICTURES = 1_000_000
RECIPE_BATCH = 64
RECIPE_WARMUP_EPOCHS = 5.0
# Steps that a run on fewer pictures takes where that is possible within the recipe's epochs.
WANTED_STEPS = 6000
FEWEST_EPOCHS = 30
# Weights that know pictures already need fewer (PULC's configurations take 20 epochs).
TUNING_STEPS = 300
FEWEST_TUNING_EPOCHS = 20
# Their peak rate, for batches of 8 to 64 pictures: 120 pictures of three classes were learned in 8 epochs at
# 0.05; at 0.003, the recipe's rate in proportion, 3 epochs taught nothing.
TUNING_RATE = 0.03
# With fewer steps the warm-up and the fall of the rate leave no time to learn: 500 are enough for handwritten
# digits, 100 are not.
FEWEST_STEPS = 500
STEPS_AN_EPOCH = 16
SMALLEST_BATCH = 8


def fitting_batch(pictures: int, processes: int) -> int:
    """Return the batch size of each process: a power of two, smaller where an epoch has few pictures."""
    share = max(1, pictures // (processes * STEPS_AN_EPOCH))
    return min(RECIPE_BATCH, max(SMALLEST_BATCH, 1 << (share.bit_length() - 1)))


def steps_an_epoch(pictures: int, batch_size: int, processes: int) -> int:
    """Return the steps of an epoch, which is of full batches."""
    return max(1, pictures // (batch_size * processes))


def fitting_epochs(pictures: int, steps: int, *, tuning: bool = False) -> int:
    """Return the recipe's epochs for as many pictures as ImageNet's, for fewer what makes enough steps.

    Args:
        pictures: Pictures to learn from.
        steps: Steps of an epoch.
        tuning: Whether the run starts from trained weights.
    """
    if tuning:
        return max(FEWEST_TUNING_EPOCHS, -(-TUNING_STEPS // steps))
    if pictures >= RECIPE_PICTURES:
        return RECIPE_EPOCHS
    return min(RECIPE_EPOCHS, max(FEWEST_EPOCHS, -(-WANTED_STEPS // steps)))


def fitting_warmup(epochs: int) -> float:
    """Return the recipe's epochs of warm-up, or a tenth of a shorter run."""
    return min(RECIPE_WARMUP_EPOCHS, epochs / 10)


def too_few(epochs: int, steps: int) -> str | None:
    """Return a sentence about a run with too few steps, and the epochs that give enough; else None."""
    total = epochs * steps
    if total >= FEWEST_STEPS:
        return None
    return (
        f"{total} steps in all ({epochs} epochs of {steps}) are too few to learn from: the schedule wants "
        f"{FEWEST_STEPS} or more, --epochs {-(-FEWEST_STEPS // steps)}"
    )


def learning_rate(
    step: int, *, peak: float, warmup_steps: int, total_steps: int, first: float = 0.0, last: float = 0.0
) -> float:
    """The rate of step `step`, counted from 0; it rises from near `first` and ends near `last`.

    PaddleClas's `Cosine` with `warmup_epoch`, `warmup_start_lr` and `eta_min`
    (ppcls/optimizer/learning_rate.py) by step.
    """
    if step < warmup_steps:
        return first + (peak - first) * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return last + (peak - last) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
