"""A network that edgekit does not have: two convolutions, and what opt or Paddle Lite stumble over."""

from __future__ import annotations

import paddle
from paddle import nn

HEAD = "score"


class ToyNet(nn.Layer):
    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2D(3, width, 3, stride=2, padding=1), nn.BatchNorm2D(width), nn.ReLU(),
            nn.Conv2D(width, width, 3, stride=2, padding=1), nn.InstanceNorm2D(width), nn.ReLU(),
            nn.AdaptiveAvgPool2D(4), nn.Flatten(),
        )  # fmt: skip
        self.score = nn.Linear(16 * width, num_classes)

    def forward(self, x):
        mean = paddle.to_tensor([0.4, 0.5, 0.6]).reshape([1, 3, 1, 1])
        one, other = paddle.unbind(paddle.stack([x - mean, x]), 0)
        return self.score(self.body(one * other))


def build(variant: str, num_classes: int) -> nn.Layer:
    return ToyNet(int(variant.removeprefix("w")), num_classes)
