"""MobileNetV2 (Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, table 2).

Names of layers are PaddleClas's (`ppcls/arch/backbone/model_zoo/mobilenet_v2.py`), so that its weights load
key by key. As in PaddleClas, the first block has an expansion too, and channels are truncated, not rounded.
"""

from __future__ import annotations

import paddle
from paddle import nn

from edgekit.errors import InputError
from edgekit.zoo.networks.layers import ModelZooConvBN as ConvBN

HEAD = "out"
SCALES: dict[str, float] = {"x0_25": 0.25, "x0_5": 0.5, "x0_75": 0.75, "x1_0": 1.0, "x1_5": 1.5, "x2_0": 2.0}
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
# Expansion, output channels at x1_0, repeats, stride of the first block.
STAGES: tuple[tuple[int, int, int, int], ...] = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip


class InvertedResidual(nn.Layer):  # type: ignore[misc]
    """Expansion, depthwise convolution, linear projection."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, shortcut: bool) -> None:
        super().__init__()
        middle = inputs * expansion
        self._expand_conv = ConvBN(inputs, middle, 1)
        self._bottleneck_conv = ConvBN(middle, middle, 3, stride=stride, groups=middle)
        self._linear_conv = ConvBN(middle, outputs, 1)
        self._shortcut = shortcut
        self._act = nn.ReLU6()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self._act(self._bottleneck_conv(self._act(self._expand_conv(x))))
        y = self._linear_conv(y)
        return x + y if self._shortcut else y


class Stage(nn.Layer):  # type: ignore[misc]
    """Blocks of one width, all but the first with a shortcut."""

    def __init__(
        self, name: str, inputs: int, outputs: int, expansion: int, repeats: int, stride: int
    ) -> None:
        super().__init__()
        self._first_block = InvertedResidual(inputs, outputs, expansion, stride, shortcut=False)
        self._rest = [f"{name}_{index + 1}" for index in range(1, repeats)]
        for block in self._rest:
            self.add_sublayer(block, InvertedResidual(outputs, outputs, expansion, 1, shortcut=True))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self._first_block(x)
        for block in self._rest:
            x = getattr(self, block)(x)
        return x


class MobileNetV2(nn.Layer):  # type: ignore[misc]
    """From float32[N,3,H,W] to logits float32[N,num_classes]."""

    def __init__(self, scale: float, num_classes: int) -> None:
        super().__init__()
        channels = int(STEM_CHANNELS * scale)
        self.conv1 = ConvBN(3, channels, 3, stride=2)
        self._stages = [f"conv{index + 2}" for index in range(len(STAGES))]
        for name, (expansion, width, repeats, stride) in zip(self._stages, STAGES, strict=True):
            outputs = int(width * scale)
            self.add_sublayer(name, Stage(name, channels, outputs, expansion, repeats, stride))
            channels = outputs
        head = int(HEAD_CHANNELS * max(scale, 1.0))
        self.conv9 = ConvBN(channels, head, 1)
        self.act = nn.ReLU6()
        self.pool2d_avg = nn.AdaptiveAvgPool2D(1)
        self.flatten = nn.Flatten()
        self.out = nn.Linear(head, num_classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.act(self.conv1(x))
        for stage in self._stages:
            x = getattr(self, stage)(x)
        return self.out(self.flatten(self.pool2d_avg(self.act(self.conv9(x)))))


def build(variant: str, num_classes: int) -> nn.Layer:
    """Return the network of one scale, e.g. `x0_5`."""
    if variant not in SCALES:
        raise InputError(
            f"building MobileNetV2: no scale {variant!r}", hint=f"scales are {', '.join(SCALES)}"
        )
    return MobileNetV2(SCALES[variant], num_classes)
