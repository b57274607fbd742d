"""PP-HGNet (PaddleClas documentation, "PP-HGNet series": the figures of the network and of its HG block).

Names of layers are PaddleClas's (`ppcls/arch/backbone/legendary_models/pp_hgnet.py`), so that its weights
load key by key.
"""

from __future__ import annotations

from dataclasses import dataclass

import paddle
from paddle import nn

from edgekit.errors import InputError
from edgekit.zoo.networks.layers import ConvBN

HEAD = "fc"
HEAD_CHANNELS = 2048


@dataclass(frozen=True)
class Stage:
    """`blocks` HG blocks; every stage but the first starts by halving the resolution."""

    mid_channels: int
    out_channels: int
    blocks: int


@dataclass(frozen=True)
class Size:
    """Widths of the stem and the stages, convolutions a block, and dropout of one size."""

    stem: tuple[int, int, int]
    stages: tuple[Stage, Stage, Stage, Stage]
    layers: int
    dropout: float = 0.0


SIZES: dict[str, Size] = {
    "tiny": Size(
        (48, 48, 96), (Stage(96, 224, 1), Stage(128, 448, 1), Stage(160, 512, 2), Stage(192, 768, 1)), 5
    ),
    "small": Size(
        (64, 64, 128), (Stage(128, 256, 1), Stage(160, 512, 1), Stage(192, 768, 2), Stage(224, 1024, 1)), 6
    ),
    "base": Size(
        (96, 96, 160),
        (Stage(192, 320, 1), Stage(224, 640, 2), Stage(256, 960, 3), Stage(288, 1280, 2)),
        7,
        dropout=0.2,
    ),
}


class EffectiveSqueezeExcite(nn.Layer):  # type: ignore[misc]
    """Channel attention by a single convolution (Lee and Park, "CenterMask", arXiv:1911.06667)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2D(1)
        self.conv = nn.Conv2D(channels, channels, 1)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return x * self.sigmoid(self.conv(self.avg_pool(x)))


class HGBlock(nn.Layer):  # type: ignore[misc]
    """3x3 convolutions in a row; the input and all their outputs are concatenated and squeezed."""

    def __init__(self, inputs: int, mid: int, outputs: int, layers: int, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.layers = nn.LayerList(
            [ConvBN(inputs if index == 0 else mid, mid, 3, act=nn.ReLU()) for index in range(layers)]
        )
        self.aggregation_conv = ConvBN(inputs + layers * mid, outputs, 1, act=nn.ReLU())
        self.att = EffectiveSqueezeExcite(outputs)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        features = [x]
        for layer in self.layers:
            features.append(layer(features[-1]))
        aggregated = self.att(self.aggregation_conv(paddle.concat(features, axis=1)))
        return aggregated + x if self.residual else aggregated


class HGStage(nn.Layer):  # type: ignore[misc]
    """A depthwise convolution with stride 2, where the stage downsamples, and HG blocks."""

    def __init__(self, inputs: int, stage: Stage, layers: int, downsample: bool) -> None:
        super().__init__()
        self.downsample = ConvBN(inputs, inputs, 3, stride=2, groups=inputs) if downsample else None
        self.blocks = nn.Sequential(
            *[
                HGBlock(
                    inputs if index == 0 else stage.out_channels,
                    stage.mid_channels,
                    stage.out_channels,
                    layers,
                    residual=index > 0,
                )
                for index in range(stage.blocks)
            ]
        )

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if self.downsample is not None:
            x = self.downsample(x)
        return self.blocks(x)


class PPHGNet(nn.Layer):  # type: ignore[misc]
    """From float32[N,3,H,W] to logits float32[N,num_classes]."""

    magnifies_rounding = True

    def __init__(self, size: Size, num_classes: int) -> None:
        super().__init__()
        widths = (3, *size.stem)
        self.stem = nn.Sequential(
            *[
                ConvBN(widths[index], widths[index + 1], 3, stride=2 if index == 0 else 1, act=nn.ReLU())
                for index in range(len(size.stem))
            ]
        )
        self.pool = nn.MaxPool2D(kernel_size=3, stride=2, padding=1)
        self.stages = nn.LayerList()
        channels = size.stem[-1]
        for index, stage in enumerate(size.stages):
            self.stages.append(HGStage(channels, stage, size.layers, downsample=index > 0))
            channels = stage.out_channels
        self.avg_pool = nn.AdaptiveAvgPool2D(1)
        self.last_conv = nn.Conv2D(channels, HEAD_CHANNELS, 1, bias_attr=False)
        self.act = nn.ReLU()
        # Not the usual dropout: inference multiplies by 1 - p, which trained weights rely on.
        self.dropout = nn.Dropout(size.dropout, mode="downscale_in_infer")
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(HEAD_CHANNELS, num_classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.pool(self.stem(x))
        for stage in self.stages:
            x = stage(x)
        x = self.dropout(self.act(self.last_conv(self.avg_pool(x))))
        return self.fc(self.flatten(x))


def build(variant: str, num_classes: int) -> nn.Layer:
    """Return the network of one size: `tiny`, `small` or `base`."""
    if variant not in SIZES:
        raise InputError(f"building PP-HGNet: no size {variant!r}", hint=f"sizes are {', '.join(SIZES)}")
    return PPHGNet(SIZES[variant], num_classes)
