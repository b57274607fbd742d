"""Path aggregation necks of PicoDet: feature maps of four strides out of a backbone's last three.

From Yu et al., "PP-PicoDet: A Better Real-Time Object Detector on Mobile Devices", 2021, section 3. Names of
layers are PaddleDetection's (`ppdet/modeling/necks/csp_pan.py` and `lc_pan.py`). Layers are made in its order
too: Paddle numbers parameters as they are made, and exported models are read by these numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import nn

from edgekit.zoo.networks.layers import ConvBN
from edgekit.zoo.networks.pplcnet import DepthwiseSeparable

KERNEL = 5


class DepthwisePointwise(nn.Layer):  # type: ignore[misc]
    """Depthwise convolution of 5x5, then a pointwise one, each with batch norm and hard swish."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, ends_in_act: bool = True) -> None:
        super().__init__()
        self.dwconv = nn.Conv2D(
            inputs, outputs, KERNEL, stride, padding=KERNEL // 2, groups=outputs, bias_attr=False
        )
        self.bn1 = nn.BatchNorm2D(outputs)
        self.pwconv = nn.Conv2D(outputs, outputs, 1, bias_attr=False)
        self.bn2 = nn.BatchNorm2D(outputs)
        self.act = nn.Hardswish()
        self.ends_in_act = ends_in_act

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.bn2(self.pwconv(self.act(self.bn1(self.dwconv(x)))))
        return self.act(x) if self.ends_in_act else x


class Bottleneck(nn.Layer):  # type: ignore[misc]
    """Pointwise convolution, then depthwise and pointwise, without a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvBN(channels, channels, 1, act=nn.Hardswish())
        self.conv2 = DepthwisePointwise(channels, channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.conv2(self.conv1(x))


class CrossStagePartial(nn.Layer):  # type: ignore[misc]
    """Two halves of the channels, one of them through a bottleneck, joined again."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.main_conv = ConvBN(inputs, half, 1, act=nn.Hardswish())
        self.short_conv = ConvBN(inputs, half, 1, act=nn.Hardswish())
        self.final_conv = ConvBN(2 * half, outputs, 1, act=nn.Hardswish())
        self.blocks = nn.Sequential(Bottleneck(half))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        short = self.short_conv(x)
        return self.final_conv(paddle.concat([self.blocks(self.main_conv(x)), short], axis=1))


class EqualChannels(nn.Layer):  # type: ignore[misc]
    """A pointwise convolution for each feature map, all to one number of channels."""

    def __init__(self, inputs: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.convs = nn.LayerList([ConvBN(each, outputs, 1, act=nn.Hardswish()) for each in inputs])

    def forward(self, features: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
        return [conv(features[index]) for index, conv in enumerate(self.convs)]


class PathAggregation(nn.Layer):  # type: ignore[misc]
    """Neck from feature maps of strides 8, 16 and 32 to ones of strides 8, 16, 32 and 64.

    Args:
        inputs: Channels of the feature maps, finest first.
        channels: Channels of every output.
    """

    def __init__(self, inputs: Sequence[int], channels: int) -> None:
        super().__init__()
        self.conv_t = EqualChannels(inputs, channels)
        self.first_top_conv = DepthwisePointwise(channels, channels, stride=2)
        self.second_top_conv = DepthwisePointwise(channels, channels, stride=2)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.top_down_blocks = nn.LayerList()
        self.downsamples = nn.LayerList()
        self.bottom_up_blocks = nn.LayerList()
        for _ in inputs[1:]:
            self.top_down_blocks.append(self.fusion(channels))
        for _ in inputs[1:]:
            self.downsamples.append(DepthwisePointwise(channels, channels, stride=2))
            self.bottom_up_blocks.append(self.fusion(channels))

    @staticmethod
    def fusion(channels: int) -> nn.Layer:
        """Return the block that fuses two feature maps, stacked, into one of `channels`."""
        raise NotImplementedError

    def forward(self, features: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
        features = self.conv_t(features)
        # Coarse to fine, then fine to coarse. (`to_static` knows no strict zip.)
        finer = [features[-1]]
        for index, block in enumerate(self.top_down_blocks):
            finer.append(block(paddle.concat([self.upsample(finer[-1]), features[-2 - index]], axis=1)))
        outputs = [finer[-1]]
        for index, block in enumerate(self.bottom_up_blocks):
            halved = self.downsamples[index](outputs[-1])
            outputs.append(block(paddle.concat([halved, finer[-2 - index]], axis=1)))
        outputs.append(self.first_top_conv(features[-1]) + self.second_top_conv(outputs[-1]))
        return outputs


class CSPPAN(PathAggregation):
    """Neck of the first PicoDet (2021): cross stage partial blocks."""

    @staticmethod
    def fusion(channels: int) -> nn.Layer:
        return CrossStagePartial(2 * channels, channels)


class LCPAN(PathAggregation):
    """Neck of the second PicoDet (2022): PP-LCNet's blocks."""

    @staticmethod
    def fusion(channels: int) -> nn.Layer:
        return nn.Sequential(
            DepthwiseSeparable(2 * channels, 2 * channels, KERNEL, 1, False),
            DepthwiseSeparable(2 * channels, channels, KERNEL, 1, False),
        )
