"""ResNeXt-101 of weakly supervised training (Mahajan et al., "Exploring the Limits", 2018).

Names of layers are PaddleClas's (`ppcls/arch/backbone/model_zoo/resnext101_wsl.py`), so that its weights load
key by key.
"""

from __future__ import annotations

import paddle
from paddle import nn

from edgekit.errors import InputError
from edgekit.zoo.networks.layers import ConvBN as PlainConvBN

HEAD = "_out"
DEPTHS = (3, 4, 23, 3)
GROUPS = 32
# Channels of a group in the first stage.
WIDTHS: dict[str, int] = {"32x8d": 8, "32x16d": 16, "32x32d": 32, "32x48d": 48}
STEM_CHANNELS = 64
# Channels after the first stage; each later one doubles them.
CHANNELS = 256


class ConvBN(PlainConvBN):
    """`ConvBN` under this family's names."""

    conv_name, norm_name = "_conv", "_bn"


class Shortcut(nn.Layer):  # type: ignore[misc]
    """Adds one level to the names of the keys."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self._conv = ConvBN(inputs, outputs, 1, stride=stride)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self._conv(x)


class Block(nn.Layer):  # type: ignore[misc]
    """Bottleneck with a grouped 3x3 convolution, beside a shortcut."""

    def __init__(self, inputs: int, middle: int, outputs: int, stride: int) -> None:
        super().__init__()
        self._conv0 = ConvBN(inputs, middle, 1, act=nn.ReLU())
        self._conv1 = ConvBN(middle, middle, 3, stride=stride, groups=GROUPS, act=nn.ReLU())
        self._conv2 = ConvBN(middle, outputs, 1)
        self._short = Shortcut(inputs, outputs, stride) if inputs != outputs else None
        self.relu = nn.ReLU()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self._conv2(self._conv1(self._conv0(x)))
        return self.relu(y + (x if self._short is None else self._short(x)))


class ResNeXt(nn.Layer):  # type: ignore[misc]
    """From float32[N,3,H,W] to logits float32[N,num_classes]."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self._conv_stem = ConvBN(3, STEM_CHANNELS, 7, stride=2, act=nn.ReLU())
        self._pool = nn.MaxPool2D(kernel_size=3, stride=2, padding=1)
        self.names: list[str] = []
        channels = STEM_CHANNELS
        for stage, depth in enumerate(DEPTHS):
            outputs = CHANNELS * 2**stage
            for index in range(depth):
                self.names.append(f"_conv{stage + 1}_{index}")
                stride = 2 if stage and not index else 1
                self.add_sublayer(self.names[-1], Block(channels, GROUPS * width * 2**stage, outputs, stride))
                channels = outputs
        self._avg_pool = nn.AdaptiveAvgPool2D(1)
        self._flatten = nn.Flatten()
        self._out = nn.Linear(channels, num_classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self._pool(self._conv_stem(x))
        for name in self.names:
            x = self._sub_layers[name](x)
        return self._out(self._flatten(self._avg_pool(x)))


def build(variant: str, num_classes: int) -> nn.Layer:
    """Return the network of one width, e.g. `32x48d`."""
    if variant not in WIDTHS:
        raise InputError(
            f"building ResNeXt-101: no width {variant!r}", hint=f"widths are {', '.join(WIDTHS)}"
        )
    return ResNeXt(WIDTHS[variant], num_classes)
