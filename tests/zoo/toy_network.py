"""A network that edgekit does not have: two convolutions and a linear layer."""

from __future__ import annotations

from paddle import nn

HEAD = "score"


class ToyNet(nn.Layer):
    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2D(3, width, 3, stride=2, padding=1), nn.BatchNorm2D(width), nn.ReLU(),
            nn.Conv2D(width, width, 3, stride=2, padding=1), nn.BatchNorm2D(width), nn.ReLU(),
            nn.AdaptiveAvgPool2D(4), nn.Flatten(),
        )  # fmt: skip
        self.score = nn.Linear(16 * width, num_classes)

    def forward(self, x):
        return self.score(self.body(x))


def build(variant: str, num_classes: int) -> nn.Layer:
    return ToyNet(int(variant.removeprefix("w")), num_classes)
