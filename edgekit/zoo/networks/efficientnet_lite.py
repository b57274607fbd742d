"""EfficientNet-Lite (TensorFlow's TPU models, models/official/efficientnet/lite/README.md).

EfficientNet without channel attention and with ReLU6, which 8-bit integers represent better than swish; stem,
head and the first and last stage keep their size where the others grow.
"""

from __future__ import annotations

import math

import paddle
from paddle import nn

from edgekit.errors import InputError
from edgekit.zoo.networks.layers import leave_out, scaled

HEAD = "fc"
# Names of layers by those of the trained weights, which PyTorch wrote. N is the block's number.
TORCH_LAYERS = {
    "_conv_stem": "stem.conv",
    "_bn0": "stem.norm",
    "_blocks.N._expand_conv": "blocks.N.expand.conv",
    "_blocks.N._bn0": "blocks.N.expand.norm",
    "_blocks.N._depthwise_conv": "blocks.N.depthwise.conv",
    "_blocks.N._bn1": "blocks.N.depthwise.norm",
    "_blocks.N._project_conv": "blocks.N.project.conv",
    "_blocks.N._bn2": "blocks.N.project.norm",
    "_conv_head": "head.conv",
    "_bn1": "head.norm",
    "_fc": "fc",
}
# Width, depth, dropout.
SIZES: dict[str, tuple[float, float, float]] = {
    "lite0": (1.0, 1.0, 0.2),
    "lite1": (1.0, 1.1, 0.2),
    "lite2": (1.1, 1.2, 0.3),
}
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
DROP_CONNECT = 0.2
# Kernel, stride, expansion, output channels, blocks.
STAGES: tuple[tuple[int, int, int, int, int], ...] = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


class ConvNorm(nn.Layer):  # type: ignore[misc]
    """Convolution padded as TensorFlow's SAME, batch norm, and ReLU6 unless `linear`."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2D(
            inputs,
            outputs,
            kernel,
            stride,
            padding="SAME" if kernel > 1 else 0,
            groups=groups,
            bias_attr=False,
        )
        self.norm = nn.BatchNorm2D(outputs, momentum=0.99, epsilon=1e-3)
        self.act = nn.Identity() if linear else nn.ReLU6()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.act(self.norm(self.conv(x)))


class Block(nn.Layer):  # type: ignore[misc]
    """Expansion, depthwise convolution, linear projection, and a shortcut where the size stays.

    `drop_connect` is the share of samples for which training leaves the block out.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int, drop_connect: float
    ) -> None:
        super().__init__()
        middle = inputs * expansion
        self.expand = ConvNorm(inputs, middle, 1) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(middle, middle, kernel, stride=stride, groups=middle)
        self.project = ConvNorm(middle, outputs, 1, linear=True)
        self.shortcut = stride == 1 and inputs == outputs
        self.drop_connect = drop_connect

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        if not self.shortcut:
            return y
        return x + (leave_out(y, self.drop_connect) if self.training else y)


class EfficientNetLite(nn.Layer):  # type: ignore[misc]
    """From float32[N,3,H,W] to logits float32[N,num_classes]."""

    magnifies_rounding = True

    def __init__(self, width: float, depth: float, dropout: float, num_classes: int) -> None:
        super().__init__()
        ends = (0, len(STAGES) - 1)
        counts = [
            count if stage in ends else math.ceil(depth * count) for stage, (*_, count) in enumerate(STAGES)
        ]
        self.stem = ConvNorm(3, STEM_CHANNELS, 3, stride=2)
        blocks: list[Block] = []
        channels = STEM_CHANNELS
        for count, (kernel, stride, expansion, outputs, _) in zip(counts, STAGES, strict=True):
            for index in range(count):
                drop_connect = DROP_CONNECT * len(blocks) / sum(counts)
                width_out = scaled(outputs, width)
                blocks.append(
                    Block(channels, width_out, kernel, 1 if index else stride, expansion, drop_connect)
                )
                channels = width_out
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvNorm(channels, HEAD_CHANNELS, 1)
        self.pool = nn.AdaptiveAvgPool2D(1)
        self.drop = nn.Dropout(dropout)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(HEAD_CHANNELS, num_classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.head(self.blocks(self.stem(x)))
        return self.fc(self.flatten(self.drop(self.pool(x))))


def build(variant: str, num_classes: int) -> nn.Layer:
    """Return the network of one size, `lite0` to `lite2`."""
    if variant not in SIZES:
        raise InputError(
            f"building EfficientNet-Lite: no size {variant!r}", hint=f"sizes are {', '.join(SIZES)}"
        )
    return EfficientNetLite(*SIZES[variant], num_classes)
