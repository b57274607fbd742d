"""DeepLabV3+ on PP-LCNet: a label for every pixel.

Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation", 2018.
Names of layers are PaddleSeg's (`paddleseg/models/deeplab.py`, `backbones/pplcnet.py`, `layers/`), so that
its weights load key by key. The feature maps (strides 4 and 32) and dilations are the defaults there.
"""

from __future__ import annotations

import paddle
from paddle import nn

from edgekit.errors import InputError
from edgekit.zoo.networks.layers import ModelZooConvBN
from edgekit.zoo.networks.pplcnet import SCALES, PPLCNetBackbone

HEAD = "head.decoder.conv"
VARIANTS = ("x0_25", "x0_5", "x1_0", "x1_5")
FINE, COARSE = "blocks3", "blocks6"
DILATIONS = (1, 6, 12, 18)
CHANNELS = 256
FINE_CHANNELS = 48


def _conv_bn_relu(inputs: int, outputs: int, kernel: int, *, bias: bool = True) -> nn.Layer:
    return ModelZooConvBN(inputs, outputs, kernel, bias=bias, act=nn.ReLU())


def _resized(x: paddle.Tensor, like: paddle.Tensor) -> paddle.Tensor:
    return nn.functional.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


class Separable(nn.Layer):  # type: ignore[misc]
    """Depthwise convolution of 3x3 with batch norm, then a pointwise one that ends in ReLU."""

    def __init__(self, inputs: int, outputs: int, dilation: int = 1) -> None:
        super().__init__()
        self.depthwise_conv = ModelZooConvBN(inputs, inputs, 3, groups=inputs, dilation=dilation, bias=True)
        self.piontwise_conv = _conv_bn_relu(inputs, outputs, 1)  # PaddleSeg's spelling

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.piontwise_conv(self.depthwise_conv(x))


class AtrousPyramid(nn.Layer):  # type: ignore[misc]
    """Convolutions of several dilations beside each other, and the mean of the whole picture."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.aspp_blocks = nn.LayerList(
            [
                _conv_bn_relu(inputs, CHANNELS, 1) if dilation == 1 else Separable(inputs, CHANNELS, dilation)
                for dilation in DILATIONS
            ]
        )
        self.global_avg_pool = nn.Sequential(
            nn.AdaptiveAvgPool2D(1), _conv_bn_relu(inputs, CHANNELS, 1, bias=False)
        )
        self.conv_bn_relu = _conv_bn_relu((len(DILATIONS) + 1) * CHANNELS, CHANNELS, 1)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        parts = [block(x) for block in self.aspp_blocks]
        parts.append(_resized(self.global_avg_pool(x), x))
        return self.dropout(self.conv_bn_relu(paddle.concat(parts, axis=1)))


class Decoder(nn.Layer):  # type: ignore[misc]
    """From the pyramid's and a fine feature map to logits of the fine one's size."""

    def __init__(self, inputs: int, num_classes: int) -> None:
        super().__init__()
        self.conv_bn_relu1 = _conv_bn_relu(inputs, FINE_CHANNELS, 1)
        self.conv_bn_relu2 = Separable(FINE_CHANNELS + CHANNELS, CHANNELS)
        self.conv_bn_relu3 = Separable(CHANNELS, CHANNELS)
        self.conv = nn.Conv2D(CHANNELS, num_classes, 1)

    def forward(self, x: paddle.Tensor, fine: paddle.Tensor) -> paddle.Tensor:
        fine = self.conv_bn_relu1(fine)
        x = paddle.concat([_resized(x, fine), fine], axis=1)
        return self.conv(self.conv_bn_relu3(self.conv_bn_relu2(x)))


class Head(nn.Layer):  # type: ignore[misc]
    """Pyramid over the coarse feature map, then the decoder."""

    def __init__(self, fine: int, coarse: int, num_classes: int) -> None:
        super().__init__()
        self.aspp = AtrousPyramid(coarse)
        self.decoder = Decoder(fine, num_classes)

    def forward(self, fine: paddle.Tensor, coarse: paddle.Tensor) -> paddle.Tensor:
        return self.decoder(self.aspp(coarse), fine)


class DeepLabV3P(nn.Layer):  # type: ignore[misc]
    """From float32[N,3,H,W] to logits float32[N,num_classes,H,W]."""

    def __init__(self, scale: float, num_classes: int) -> None:
        super().__init__()
        self.backbone = PPLCNetBackbone(scale)
        channels = self.backbone.channels
        self.head = Head(channels[FINE], channels[COARSE], num_classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        features = self.backbone.features(x)
        return _resized(self.head(features[FINE], features[COARSE]), x)


def build(variant: str, num_classes: int) -> nn.Layer:
    """Return the network over one width of PP-LCNet, e.g. `x0_5`."""
    if variant not in VARIANTS:
        raise InputError(
            f"building DeepLabV3+ on PP-LCNet: no width {variant!r}", hint=f"widths are {', '.join(VARIANTS)}"
        )
    return DeepLabV3P(SCALES[variant], num_classes)
