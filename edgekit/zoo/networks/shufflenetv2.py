"""ShuffleNetV2 (Ma et al., "ShuffleNet V2", 2018, table 5; x0_33 is PaddleClas's).

Names of layers are PaddleClas's (`ppcls/arch/backbone/model_zoo/shufflenet_v2.py`), so that its weights load
key by key.
"""

from __future__ import annotations

import paddle
from paddle import nn

from edgekit.errors import InputError
from edgekit.zoo.networks.layers import ModelZooConvBN as ConvBN

HEAD = "_fc"
STEM_CHANNELS = 24
REPEATS = (4, 8, 4)
# Output channels of the three stages and of the last convolution.
WIDTHS: dict[str, tuple[int, int, int, int]] = {
    "x0_25": (24, 48, 96, 512),
    "x0_33": (32, 64, 128, 512),
    "x0_5": (48, 96, 192, 1024),
    "x1_0": (116, 232, 464, 1024),
    "x1_5": (176, 352, 704, 1024),
    "x2_0": (244, 488, 976, 2048),
}


class Unit(nn.Layer):  # type: ignore[misc]
    """Passes half of the channels, convolves the other half, then shuffles both."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self._half = half
        self._conv_pw = ConvBN(half, half, 1, act=nn.ReLU())
        self._conv_dw = ConvBN(half, half, 3, groups=half)
        self._conv_linear = ConvBN(half, half, 1, act=nn.ReLU())

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        kept, y = paddle.split(x, [self._half, self._half], axis=1)
        y = self._conv_linear(self._conv_dw(self._conv_pw(y)))
        return shuffle(paddle.concat([kept, y], axis=1))


class DownUnit(nn.Layer):  # type: ignore[misc]
    """Halves the resolution; both branches see all channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self._conv_dw_1 = ConvBN(inputs, inputs, 3, stride=2, groups=inputs)
        self._conv_linear_1 = ConvBN(inputs, half, 1, act=nn.ReLU())
        self._conv_pw_2 = ConvBN(inputs, half, 1, act=nn.ReLU())
        self._conv_dw_2 = ConvBN(half, half, 3, stride=2, groups=half)
        self._conv_linear_2 = ConvBN(half, half, 1, act=nn.ReLU())

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        left = self._conv_linear_1(self._conv_dw_1(x))
        right = self._conv_linear_2(self._conv_dw_2(self._conv_pw_2(x)))
        return shuffle(paddle.concat([left, right], axis=1))


def shuffle(x: paddle.Tensor) -> paddle.Tensor:
    """Interleave the two halves of the channels of [N,C,H,W]; every size but the batch is fixed."""
    _, channels, height, width = x.shape
    x = x.reshape([-1, 2, channels // 2, height, width]).transpose([0, 2, 1, 3, 4])
    return x.reshape([-1, channels, height, width])


class ShuffleNetV2(nn.Layer):  # type: ignore[misc]
    """From float32[N,3,H,W] to logits float32[N,num_classes]."""

    def __init__(self, widths: tuple[int, int, int, int], num_classes: int) -> None:
        super().__init__()
        self._conv1 = ConvBN(3, STEM_CHANNELS, 3, stride=2, act=nn.ReLU())
        self._max_pool = nn.MaxPool2D(kernel_size=3, stride=2, padding=1)
        self._units: list[str] = []
        channels = STEM_CHANNELS
        for stage, (repeats, width) in enumerate(zip(REPEATS, widths[:3], strict=True), start=2):
            for index in range(repeats):
                name = f"{stage}_{index + 1}"
                self.add_sublayer(name, Unit(width) if index else DownUnit(channels, width))
                self._units.append(name)
            channels = width
        self._last_conv = ConvBN(channels, widths[3], 1, act=nn.ReLU())
        self._pool2d_avg = nn.AdaptiveAvgPool2D(1)
        self._flatten = nn.Flatten()
        self._fc = nn.Linear(widths[3], num_classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self._max_pool(self._conv1(x))
        for unit in self._units:
            x = getattr(self, unit)(x)
        return self._fc(self._flatten(self._pool2d_avg(self._last_conv(x))))


def build(variant: str, num_classes: int) -> nn.Layer:
    """Return the network of one scale, e.g. `x0_33`."""
    if variant not in WIDTHS:
        raise InputError(
            f"building ShuffleNetV2: no scale {variant!r}", hint=f"scales are {', '.join(WIDTHS)}"
        )
    return ShuffleNetV2(WIDTHS[variant], num_classes)
