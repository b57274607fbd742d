"""MobileNetV4's convolutional networks (Qin et al., "MobileNetV4", 2024, appendix D).

Names of layers are PaddleClas's (`ppcls/arch/backbone/legendary_models/mobilenet_v4.py`), so that its weights
load key by key.
"""

from __future__ import annotations

from dataclasses import dataclass

import paddle
from paddle import nn

from edgekit.errors import InputError
from edgekit.zoo.networks.layers import ConvBN

HEAD = "classifier"
LAST_CHANNELS = 960
HEAD_CHANNELS = 1280


@dataclass(frozen=True)
class Conv:
    """A convolution with batch norm and ReLU."""

    channels: int
    kernel: int
    stride: int = 1


@dataclass(frozen=True)
class Fused:
    """A convolution that widens to `middle` channels, then a pointwise one (fused inverted bottleneck)."""

    channels: int
    middle: int
    stride: int = 2


@dataclass(frozen=True)
class Universal:
    """Universal inverted bottleneck.

    Attributes:
        channels: Channels after the block.
        middle: Channels inside it.
        start: Kernel of the depthwise convolution in front of the expansion; 0 for none.
        kernel: Kernel of the depthwise convolution after the expansion; 0 for none.
        stride: Stride of the second depthwise convolution.
    """

    channels: int
    middle: int
    start: int
    kernel: int
    stride: int = 1


Block = Conv | Fused | Universal


def _stage(channels: int, *blocks: tuple[int, int, int]) -> tuple[Universal, ...]:
    """Return blocks of (middle, start, kernel); the first halves the resolution."""
    return tuple(
        Universal(channels, middle, start, kernel, stride=1 if index else 2)
        for index, (middle, start, kernel) in enumerate(blocks)
    )


# Channels of the stem, and the blocks after it.
SIZES: dict[str, tuple[int, tuple[Block, ...]]] = {
    "small": (
        32,
        (
            Conv(32, 3, stride=2), Conv(32, 1), Conv(96, 3, stride=2), Conv(64, 1),
            *_stage(96, (192, 5, 5), *((192, 0, 3),) * 4, (384, 3, 0)),
            *_stage(
                128, (576, 3, 3), (512, 5, 5), (512, 0, 5), (384, 0, 5), (512, 0, 3), (512, 0, 3)
            ),
            Conv(LAST_CHANNELS, 1),
        ),
    ),
    "medium": (
        32,
        (
            Fused(48, 128),
            *_stage(80, (192, 3, 5), (160, 3, 3)),
            *_stage(
                160, (480, 3, 5), (640, 3, 3), (640, 3, 3), (640, 3, 5), (640, 3, 3), (640, 3, 0),
                (320, 0, 0), (640, 3, 0),
            ),
            *_stage(
                256, (960, 5, 5), (1024, 5, 5), (1024, 3, 5), (1024, 3, 5), (1024, 0, 0), (1024, 3, 0),
                (512, 3, 5), (1024, 5, 5), (1024, 0, 0), (1024, 0, 0), (512, 5, 0),
            ),
            Conv(LAST_CHANNELS, 1),
        ),
    ),
    "large": (
        24,
        (
            Fused(48, 96),
            *_stage(96, (192, 3, 5), (384, 3, 3)),
            *_stage(192, (384, 3, 5), *((768, 3, 3),) * 3, (768, 3, 5), *((768, 5, 3),) * 5, (768, 3, 0)),
            *_stage(
                512, (768, 5, 5), *((2048, 5, 5),) * 3, (2048, 5, 0), (2048, 5, 3), (2048, 5, 0),
                (2048, 5, 0), (2048, 5, 3), (2048, 5, 5), *((2048, 5, 0),) * 3,
            ),
            Conv(LAST_CHANNELS, 1),
        ),
    ),
}  # fmt: skip


class FusedBlock(nn.Layer):  # type: ignore[misc]
    """See `Fused`."""

    def __init__(self, inputs: int, block: Fused) -> None:
        super().__init__()
        self.conv_exp = ConvBN(inputs, block.middle, 3, stride=block.stride, act=nn.ReLU())
        self.conv_pwl = ConvBN(block.middle, block.channels, 1)
        self.residual = block.stride == 1 and inputs == block.channels

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.conv_pwl(self.conv_exp(x))
        return x + y if self.residual else y


class UniversalBlock(nn.Layer):  # type: ignore[misc]
    """See `Universal`."""

    def __init__(self, inputs: int, block: Universal) -> None:
        super().__init__()
        middle = block.middle
        self.dw_start = ConvBN(inputs, inputs, block.start, groups=inputs) if block.start else None
        self.pw_exp = ConvBN(inputs, middle, 1, act=nn.ReLU())
        self.dw_mid: ConvBN | None = None
        if block.kernel:
            self.dw_mid = ConvBN(
                middle, middle, block.kernel, stride=block.stride, groups=middle, act=nn.ReLU()
            )
        self.pw_proj = ConvBN(middle, block.channels, 1)
        self.residual = block.stride == 1 and inputs == block.channels

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = x if self.dw_start is None else self.dw_start(x)
        y = self.pw_exp(y)
        if self.dw_mid is not None:
            y = self.dw_mid(y)
        y = self.pw_proj(y)
        return x + y if self.residual else y


def _layer(inputs: int, block: Block) -> nn.Layer:
    if isinstance(block, Conv):
        return ConvBN(inputs, block.channels, block.kernel, stride=block.stride, act=nn.ReLU())
    return FusedBlock(inputs, block) if isinstance(block, Fused) else UniversalBlock(inputs, block)


class MobileNetV4(nn.Layer):  # type: ignore[misc]
    """From float32[N,3,H,W] to logits float32[N,num_classes]."""

    def __init__(self, stem: int, blocks: tuple[Block, ...], num_classes: int) -> None:
        super().__init__()
        self.conv_stem = ConvBN(3, stem, 3, stride=2, act=nn.ReLU())
        channels = (stem, *(block.channels for block in blocks))
        self.blocks = nn.Sequential(
            *[_layer(inputs, block) for inputs, block in zip(channels, blocks, strict=False)]
        )
        self.global_pool = nn.AdaptiveAvgPool2D(1)
        self.conv_head = ConvBN(channels[-1], HEAD_CHANNELS, 1, act=nn.ReLU())
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(HEAD_CHANNELS, num_classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.conv_head(self.global_pool(self.blocks(self.conv_stem(x))))
        return self.classifier(self.flatten(x))


def build(variant: str, num_classes: int) -> nn.Layer:
    """Return the network of one size: `small`, `medium` or `large`."""
    if variant not in SIZES:
        raise InputError(f"building MobileNetV4: no size {variant!r}", hint=f"sizes are {', '.join(SIZES)}")
    return MobileNetV4(*SIZES[variant], num_classes)
