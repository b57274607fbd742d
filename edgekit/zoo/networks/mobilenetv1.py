"""MobileNet (Howard et al., "MobileNets", 2017, table 1).

Names of layers are PaddleClas's (`ppcls/arch/backbone/legendary_models/mobilenet_v1.py`), so that its weights
load key by key.
"""

from __future__ import annotations

import paddle
from paddle import nn

from edgekit.errors import InputError
from edgekit.zoo.networks.layers import ConvBN

HEAD = "fc"
SCALES: dict[str, float] = {"x0_25": 0.25, "x0_5": 0.5, "x0_75": 0.75, "x1_0": 1.0}
STEM_CHANNELS = 32
# Output channels at x1_0 and stride of each depthwise separable block.
BLOCKS: tuple[tuple[int, int], ...] = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    *((512, 1),) * 5,
    (1024, 2), (1024, 1),
)  # fmt: skip


class DepthwiseSeparable(nn.Layer):  # type: ignore[misc]
    """Depthwise convolution, pointwise convolution."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.depthwise_conv = ConvBN(inputs, inputs, 3, stride=stride, groups=inputs, act=nn.ReLU())
        self.pointwise_conv = ConvBN(inputs, outputs, 1, act=nn.ReLU())

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.pointwise_conv(self.depthwise_conv(x))


class MobileNetV1(nn.Layer):  # type: ignore[misc]
    """From float32[N,3,H,W] to logits float32[N,num_classes]."""

    magnifies_rounding = True

    def __init__(self, scale: float, num_classes: int) -> None:
        super().__init__()
        channels = int(STEM_CHANNELS * scale)
        self.conv = ConvBN(3, channels, 3, stride=2, act=nn.ReLU())
        blocks = []
        for outputs, stride in BLOCKS:
            blocks.append(DepthwiseSeparable(channels, int(outputs * scale), stride))
            channels = int(outputs * scale)
        self.blocks = nn.Sequential(*blocks)
        self.avg_pool = nn.AdaptiveAvgPool2D(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.fc(self.flatten(self.avg_pool(self.blocks(self.conv(x)))))


def build(variant: str, num_classes: int) -> nn.Layer:
    """Return the network of one scale, e.g. `x1_0`."""
    if variant not in SCALES:
        raise InputError(
            f"building MobileNetV1: no scale {variant!r}", hint=f"scales are {', '.join(SCALES)}"
        )
    return MobileNetV1(SCALES[variant], num_classes)
