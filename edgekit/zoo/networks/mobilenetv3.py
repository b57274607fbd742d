"""MobileNetV3 (Howard et al., "Searching for MobileNetV3", 2019, tables 1 and 2).

Names of layers are PaddleClas's (`ppcls/arch/backbone/legendary_models/mobilenet_v3.py`), so that its weights
load key by key. As in PaddleClas, the last layer has 1280 channels at every scale and every block has an
expansion.
"""

from __future__ import annotations

import paddle
from paddle import nn

from edgekit.errors import InputError
from edgekit.zoo.networks.layers import ConvBN, SqueezeExcite, scaled

HEAD = "fc"
SCALES: dict[str, float] = {"x0_35": 0.35, "x0_5": 0.5, "x0_75": 0.75, "x1_0": 1.0, "x1_25": 1.25}
STEM_CHANNELS = 16
HEAD_CHANNELS = 1280
DROPOUT = 0.2
# Slope of the hard sigmoid, not the usual sixth; the published weights rely on it.
SE_SLOPE = 0.2

Block = tuple[int, int, int, bool, bool, int]
# Kernel, expanded channels, output channels at x1_0, SE module, hard swish instead of ReLU, stride.
BLOCKS: dict[str, tuple[Block, ...]] = {
    "large": (
        (3, 16, 16, False, False, 1),
        (3, 64, 24, False, False, 2),
        (3, 72, 24, False, False, 1),
        (5, 72, 40, True, False, 2),
        (5, 120, 40, True, False, 1),
        (5, 120, 40, True, False, 1),
        (3, 240, 80, False, True, 2),
        (3, 200, 80, False, True, 1),
        (3, 184, 80, False, True, 1),
        (3, 184, 80, False, True, 1),
        (3, 480, 112, True, True, 1),
        (3, 672, 112, True, True, 1),
        (5, 672, 160, True, True, 2),
        (5, 960, 160, True, True, 1),
        (5, 960, 160, True, True, 1),
    ),
    "small": (
        (3, 16, 16, True, False, 2),
        (3, 72, 24, False, False, 2),
        (3, 88, 24, False, False, 1),
        (5, 96, 40, True, True, 2),
        (5, 240, 40, True, True, 1),
        (5, 240, 40, True, True, 1),
        (5, 120, 48, True, True, 1),
        (5, 144, 48, True, True, 1),
        (5, 288, 96, True, True, 2),
        (5, 576, 96, True, True, 1),
        (5, 576, 96, True, True, 1),
    ),
}
SQUEEZE_CHANNELS = {"large": 960, "small": 576}


class ResidualUnit(nn.Layer):  # type: ignore[misc]
    """Expansion, depthwise convolution, optionally channel attention, linear projection."""

    def __init__(self, inputs: int, block: Block, scale: float) -> None:
        super().__init__()
        kernel, expanded, width, attention, hard_swish, stride = block
        middle, outputs = scaled(expanded, scale), scaled(width, scale)
        act = nn.Hardswish if hard_swish else nn.ReLU
        self.expand_conv = ConvBN(inputs, middle, 1, act=act())
        self.bottleneck_conv = ConvBN(middle, middle, kernel, stride=stride, groups=middle, act=act())
        self.mid_se = SqueezeExcite(middle, SE_SLOPE) if attention else None
        self.linear_conv = ConvBN(middle, outputs, 1)
        self._shortcut = stride == 1 and inputs == outputs

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.bottleneck_conv(self.expand_conv(x))
        if self.mid_se is not None:
            y = self.mid_se(y)
        y = self.linear_conv(y)
        return x + y if self._shortcut else y


class MobileNetV3(nn.Layer):  # type: ignore[misc]
    """From float32[N,3,H,W] to logits float32[N,num_classes]."""

    def __init__(self, size: str, scale: float, num_classes: int) -> None:
        super().__init__()
        channels = scaled(STEM_CHANNELS, scale)
        self.conv = ConvBN(3, channels, 3, stride=2, act=nn.Hardswish())
        blocks = []
        for block in BLOCKS[size]:
            blocks.append(ResidualUnit(channels, block, scale))
            channels = scaled(block[2], scale)
        self.blocks = nn.Sequential(*blocks)
        squeezed = scaled(SQUEEZE_CHANNELS[size], scale)
        self.last_second_conv = ConvBN(channels, squeezed, 1, act=nn.Hardswish())
        self.avg_pool = nn.AdaptiveAvgPool2D(1)
        self.last_conv = nn.Conv2D(squeezed, HEAD_CHANNELS, 1, bias_attr=False)
        self.hardswish = nn.Hardswish()
        # Not the usual dropout: inference multiplies by 1 - p, which trained weights rely on.
        self.dropout = nn.Dropout(DROPOUT, mode="downscale_in_infer")
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(HEAD_CHANNELS, num_classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.last_second_conv(self.blocks(self.conv(x)))
        x = self.dropout(self.hardswish(self.last_conv(self.avg_pool(x))))
        return self.fc(self.flatten(x))


def build(variant: str, num_classes: int) -> nn.Layer:
    """Return the network of one size and scale, e.g. `small_x1_25`."""
    size, _, scale = variant.partition("_")
    if size not in BLOCKS or scale not in SCALES:
        raise InputError(
            f"building MobileNetV3: no variant {variant!r}",
            hint=f"variants are small or large, then _, then one of {', '.join(SCALES)}",
        )
    return MobileNetV3(size, SCALES[scale], num_classes)
