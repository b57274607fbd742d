"""Mixing of the pictures of a batch, and of their targets: mixup and CutMix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

Alpha = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


class Mixing(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of the batches that are mixed, and how (PaddleClas's OpSampler over its two operators).

    Attributes:
        mixup: Share of the batches by mixup (Zhang et al., 2017), with weights by beta(alpha, alpha).
        cutmix: Share of the batches by CutMix (Yun et al., 2019).
    """

    mixup: Share = 0.0
    mixup_alpha: Alpha = 0.2
    cutmix: Share = 0.0
    cutmix_alpha: Alpha = 1.0

    def __post_init__(self) -> None:
        if self.mixup + self.cutmix > 1:
            raise ValueError("mixup and CutMix together take more than all batches")

    def apply(self, images: Floats, targets: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Mix a batch with itself in another order.

        Args:
            images: float32[N,channels,height,width]; is overwritten.
            targets: float32[N,classes].
        """
        drawn = rng.random()
        if drawn >= self.mixup + self.cutmix:
            return images, targets
        other = rng.permutation(len(images))
        if drawn < self.mixup:
            kept = float(rng.beta(self.mixup_alpha, self.mixup_alpha))
            images = (kept * images + (1 - kept) * images[other]).astype("float32")
        else:
            kept = self._cut(images, other, rng)
        return images, (kept * targets + (1 - kept) * targets[other]).astype("float32")

    def _cut(self, images: Floats, other: NDArray[np.int64], rng: np.random.Generator) -> float:
        """Put a rectangle of another picture into each; return the share that each keeps of itself."""
        height, width = images.shape[2:]
        side: float = (1 - float(rng.beta(self.cutmix_alpha, self.cutmix_alpha))) ** 0.5
        high, wide = int(height * side), int(width * side)
        y, x = int(rng.integers(height)), int(rng.integers(width))
        top, bottom = max(0, y - high // 2), min(height, y + high // 2)
        left, right = max(0, x - wide // 2), min(width, x + wide // 2)
        images[:, :, top:bottom, left:right] = images[other, :, top:bottom, left:right]
        return 1.0 - float((bottom - top) * (right - left)) / float(height * width)
