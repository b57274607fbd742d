"""PP-HGNetV2 (PaddleClas documentation, "PP-HGNetV2 series", section 1.2).

Names of layers are PaddleClas's (`ppcls/arch/backbone/legendary_models/pp_hgnet_v2.py`), so that its weights
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
class Size:
    """Widths and depths of one size.

    Attributes:
        stem: Channels inside the stem and after it.
        stages: Channels inside the blocks, channels after them, and number of blocks, of each stage.
        layers: Number of convolutions in a row of a block.
        affine: True where a learned factor and a learned summand follow each activation.
    """

    stem: tuple[int, int]
    stages: tuple[tuple[int, int, int], ...]
    layers: int
    affine: bool


SIZES: dict[str, Size] = {
    "B0": Size((16, 16), ((16, 64, 1), (32, 256, 1), (64, 512, 2), (128, 1024, 1)), 3, True),
    "B1": Size((24, 32), ((32, 64, 1), (48, 256, 1), (96, 512, 2), (192, 1024, 1)), 3, True),
    "B2": Size((24, 32), ((32, 96, 1), (64, 384, 1), (128, 768, 3), (256, 1536, 1)), 4, True),
    "B3": Size((24, 32), ((32, 128, 1), (64, 512, 1), (128, 1024, 3), (256, 2048, 1)), 5, True),
    "B4": Size((32, 48), ((48, 128, 1), (96, 512, 1), (192, 1024, 3), (384, 2048, 1)), 6, False),
    "B5": Size((32, 64), ((64, 128, 1), (128, 512, 2), (256, 1024, 5), (512, 2048, 2)), 6, False),
    "B6": Size((48, 96), ((96, 192, 2), (192, 512, 3), (384, 1024, 6), (768, 2048, 3)), 6, False),
}
# The first stage keeps the resolution; the last two have depthwise 5x5 kernels.
FIRST_LIGHT_STAGE = 2
KERNEL, LIGHT_KERNEL = 3, 5


class Affine(nn.Layer):  # type: ignore[misc]
    """One learned factor and one learned summand for all channels."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = self.create_parameter([1], default_initializer=nn.initializer.Constant(1.0))
        self.bias = self.create_parameter([1], default_initializer=nn.initializer.Constant(0.0))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.scale * x + self.bias


class ConvBNReLU(ConvBN):
    """`ConvBN` with a ReLU and, where the network's size has it, `Affine`."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, affine: bool
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, groups=groups, act=nn.ReLU())
        self.lab = Affine() if affine else None

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = super().forward(x)
        return x if self.lab is None else self.lab(x)


class LightConv(nn.Layer):  # type: ignore[misc]
    """Pointwise convolution without activation, then a depthwise one with it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, affine: bool) -> None:
        super().__init__()
        self.conv1 = ConvBN(inputs, outputs, 1)
        self.conv2 = ConvBNReLU(outputs, outputs, kernel, groups=outputs, affine=affine)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.conv2(self.conv1(x))


class Stem(nn.Layer):  # type: ignore[misc]
    """Halve the resolution twice; between, 2x2 convolutions and a 2x2 pooling see the same pixels."""

    def __init__(self, mid: int, outputs: int, *, affine: bool) -> None:
        super().__init__()
        self.stem1 = ConvBNReLU(3, mid, 3, stride=2, affine=affine)
        self.stem2a = ConvBNReLU(mid, mid // 2, 2, affine=affine)
        self.stem2b = ConvBNReLU(mid // 2, mid, 2, affine=affine)
        self.stem3 = ConvBNReLU(2 * mid, mid, 3, stride=2, affine=affine)
        self.stem4 = ConvBNReLU(mid, outputs, 1, affine=affine)
        self.pool = nn.MaxPool2D(kernel_size=2, stride=1, padding="SAME")

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.stem1(x)
        both = paddle.concat([self.pool(x), self.stem2b(self.stem2a(x))], axis=1)
        return self.stem4(self.stem3(both))


class HGBlock(nn.Layer):  # type: ignore[misc]
    """Convolutions in a row; the input and all their outputs are concatenated, squeezed and widened."""

    def __init__(
        self, inputs: int, mid: int, outputs: int, layers: int, *, light: bool, residual: bool, affine: bool
    ) -> None:
        super().__init__()
        self.residual = residual
        conv, kernel = (LightConv, LIGHT_KERNEL) if light else (ConvBNReLU, KERNEL)
        self.layers = nn.LayerList(
            [conv(inputs if index == 0 else mid, mid, kernel, affine=affine) for index in range(layers)]
        )
        self.aggregation_squeeze_conv = ConvBNReLU(inputs + layers * mid, outputs // 2, 1, affine=affine)
        self.aggregation_excitation_conv = ConvBNReLU(outputs // 2, outputs, 1, affine=affine)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        features = [x]
        for layer in self.layers:
            features.append(layer(features[-1]))
        y = self.aggregation_squeeze_conv(paddle.concat(features, axis=1))
        y = self.aggregation_excitation_conv(y)
        return y + x if self.residual else y


class HGStage(nn.Layer):  # type: ignore[misc]
    """A depthwise convolution with stride 2, where the stage downsamples, and HG blocks."""

    def __init__(self, inputs: int, number: int, size: Size) -> None:
        super().__init__()
        mid, outputs, blocks = size.stages[number]
        self.downsample = ConvBN(inputs, inputs, 3, stride=2, groups=inputs) if number else None
        self.blocks = nn.Sequential(
            *[
                HGBlock(
                    outputs if index else inputs, mid, outputs, size.layers,
                    light=number >= FIRST_LIGHT_STAGE, residual=index > 0, affine=size.affine,
                )
                for index in range(blocks)
            ]
        )  # fmt: skip

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.blocks(x if self.downsample is None else self.downsample(x))


class PPHGNetV2(nn.Layer):  # type: ignore[misc]
    """From float32[N,3,H,W] to logits float32[N,num_classes]."""

    magnifies_rounding = True

    def __init__(self, size: Size, num_classes: int) -> None:
        super().__init__()
        self.stem = Stem(*size.stem, affine=size.affine)
        channels = [size.stem[1], *(outputs for _, outputs, _ in size.stages)]
        self.stages = nn.LayerList(
            [HGStage(channels[number], number, size) for number in range(len(size.stages))]
        )
        self.avg_pool = nn.AdaptiveAvgPool2D(1)
        self.last_conv = nn.Conv2D(channels[-1], HEAD_CHANNELS, 1, bias_attr=False)
        self.act = nn.ReLU()
        self.lab = Affine() if size.affine else None
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(HEAD_CHANNELS, num_classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        x = self.act(self.last_conv(self.avg_pool(x)))
        if self.lab is not None:
            x = self.lab(x)
        return self.fc(self.flatten(x))


def build(variant: str, num_classes: int) -> nn.Layer:
    """Return the network of one size, `B0` to `B6`."""
    if variant not in SIZES:
        raise InputError(f"building PP-HGNetV2: no size {variant!r}", hint=f"sizes are {', '.join(SIZES)}")
    return PPHGNetV2(SIZES[variant], num_classes)
