"""Layers that several families share; their names in a state dict are those of PaddleClas and PaddleSeg."""

from __future__ import annotations

import paddle
from paddle import nn

CHANNEL_DIVISOR = 8
SE_REDUCTION = 4


def scaled(channels: int, scale: float) -> int:
    """Return scaled channels: the nearest multiple of eight, at least 8, at most 10 % below the product."""
    exact = channels * scale
    rounded = max(CHANNEL_DIVISOR, int(exact + CHANNEL_DIVISOR / 2) // CHANNEL_DIVISOR * CHANNEL_DIVISOR)
    return rounded + CHANNEL_DIVISOR if rounded < 0.9 * exact else rounded


def leave_out(y: paddle.Tensor, share: float) -> paddle.Tensor:
    """Return [N,...] with a share of the samples set to 0 at random, and the others scaled up."""
    if not share:
        return y
    keep = 1 - share
    return y / keep * paddle.floor(keep + paddle.rand([y.shape[0], 1, 1, 1]))


Stride = int | tuple[int, int]


class ConvBN(nn.Layer):  # type: ignore[misc]
    """Convolution that keeps the size over the stride, batch norm, an activation or none."""

    # Names of convolution and batch norm in a state dict.
    conv_name, norm_name = "conv", "bn"

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: Stride = 1, groups: int = 1,
        dilation: int = 1, bias: bool = False, act: nn.Layer | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        # An even kernel has no middle: Paddle then pads the row below and the column to the right.
        padding: int | str = kernel // 2 * dilation if kernel % 2 else "SAME"
        conv = nn.Conv2D(
            inputs, outputs, kernel, stride, padding=padding, dilation=dilation, groups=groups,
            bias_attr=None if bias else False,
        )  # fmt: skip
        self.add_sublayer(self.conv_name, conv)
        self.add_sublayer(self.norm_name, nn.BatchNorm2D(outputs))
        self.act = act

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = getattr(self, self.norm_name)(getattr(self, self.conv_name)(x))
        return x if self.act is None else self.act(x)


class ModelZooConvBN(ConvBN):
    """`ConvBN` with the layer names of the families in PaddleClas's `model_zoo` and of PaddleSeg."""

    conv_name, norm_name = "_conv", "_batch_norm"


class SqueezeExcite(nn.Layer):  # type: ignore[misc]
    """Channel attention with a hard sigmoid of the given slope, without one with a sigmoid."""

    def __init__(self, channels: int, slope: float | None = None) -> None:
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2D(1)
        self.conv1 = nn.Conv2D(channels, channels // SE_REDUCTION, 1)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2D(channels // SE_REDUCTION, channels, 1)
        self.slope = slope

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        weight = self.conv2(self.relu(self.conv1(self.avg_pool(x))))
        if self.slope is None:
            return x * nn.functional.sigmoid(weight)
        return x * nn.functional.hardsigmoid(weight, slope=self.slope, offset=0.5)
