"""Linear warm-up, then half a cosine (Loshchilov and Hutter, "SGDR", 2017), step by step."""

from __future__ import annotations

import math


def learning_rate(step: int, *, peak: float, warmup_steps: int, total_steps: int) -> float:
    """The rate of step `step`, counted from 0; it ends near 0.

    PaddleClas's `Cosine` with `warmup_epoch` (ppcls/optimizer/learning_rate.py) by step.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return peak * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
