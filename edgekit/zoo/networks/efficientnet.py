"""EfficientNet (Tan and Le, "EfficientNet", 2019, table 1 and section 4).

Names of layers are PaddleClas's (`ppcls/arch/backbone/model_zoo/efficientnet.py`), so that its weights load
key by key.
"""

from __future__ import annotations

import math

import paddle
from paddle import nn

from edgekit.errors import InputError
from edgekit.zoo.networks.layers import leave_out, scaled

HEAD = "_fc"
# Width, depth, dropout.
SIZES: dict[str, tuple[float, float, float]] = {"b0": (1.0, 1.0, 0.2), "b1": (1.0, 1.1, 0.2)}
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
SE_RATIO = 0.25
DROP_CONNECT = 0.2
# Kernel, stride, expansion, input channels, output channels, repeats.
STAGES: tuple[tuple[int, int, int, int, int, int], ...] = (
    (3, 1, 1, 32, 16, 1),
    (3, 2, 6, 16, 24, 2),
    (5, 2, 6, 24, 40, 2),
    (3, 2, 6, 40, 80, 3),
    (5, 1, 6, 80, 112, 3),
    (5, 2, 6, 112, 192, 4),
    (3, 1, 6, 192, 320, 1),
)


class Conv(nn.Layer):  # type: ignore[misc]
    """Convolution whose output size is the input size over the stride, rounded up (TensorFlow's SAME)."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, bias: bool = False
    ) -> None:
        super().__init__()
        self._conv = nn.Conv2D(
            inputs, outputs, kernel, stride, padding="SAME" if kernel > 1 else 0, groups=groups,
            bias_attr=None if bias else False,
        )  # fmt: skip

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self._conv(x)


class ConvBN(nn.Layer):  # type: ignore[misc]
    """Convolution and batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self._conv = Conv(inputs, outputs, kernel, stride=stride, groups=groups)
        self._bn = nn.BatchNorm2D(outputs, momentum=0.99, epsilon=1e-3)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self._bn(self._conv(x))


class Wrapped(nn.Layer):  # type: ignore[misc]
    """Adds one level to the names of the keys."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self._conv = ConvBN(inputs, outputs, kernel, stride=stride, groups=groups)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self._conv(x)


class SqueezeExcite(nn.Layer):  # type: ignore[misc]
    """Channel attention; its width follows the block's input, not the expanded one."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self._pool = nn.AdaptiveAvgPool2D(1)
        self._conv1 = Conv(channels, squeezed, 1, bias=True)
        self._conv2 = Conv(squeezed, channels, 1, bias=True)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        weight = self._conv2(nn.functional.swish(self._conv1(self._pool(x))))
        return x * nn.functional.sigmoid(weight)


class MBConv(nn.Layer):  # type: ignore[misc]
    """Expansion, depthwise convolution, channel attention, linear projection.

    `drop_connect` is the share of samples for which training leaves the block out.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int, drop_connect: float
    ) -> None:
        super().__init__()
        middle = inputs * expansion
        self._ecn = Wrapped(inputs, middle, 1) if expansion > 1 else None
        self._dcn = Wrapped(middle, middle, kernel, stride=stride, groups=middle)
        self._se = SqueezeExcite(middle, max(1, int(inputs * SE_RATIO)))
        self._pcn = Wrapped(middle, outputs, 1)
        self._shortcut = stride == 1 and inputs == outputs
        self._drop_connect = drop_connect

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = x if self._ecn is None else nn.functional.swish(self._ecn(x))
        y = self._pcn(self._se(nn.functional.swish(self._dcn(y))))
        if not self._shortcut:
            return y
        return x + (leave_out(y, self._drop_connect) if self.training else y)


class Features(nn.Layer):  # type: ignore[misc]
    """Stem and blocks."""

    def __init__(self, width: float, depth: float) -> None:
        super().__init__()
        self._conv_stem = Wrapped(3, scaled(STEM_CHANNELS, width), 3, stride=2)
        self._blocks: list[str] = []
        repeats = [math.ceil(depth * stage[-1]) for stage in STAGES]
        for count, (kernel, stride, expansion, inputs, outputs, _) in zip(repeats, STAGES, strict=True):
            channels = scaled(inputs, width)
            for index in range(count):
                position = len(self._blocks)
                # The two prefixes and the dot are PaddleClas's.
                name = f"{'block' if index else '_blocks'}.{position}."
                self.add_sublayer(
                    name,
                    MBConv(
                        channels,
                        scaled(outputs, width),
                        kernel,
                        1 if index else stride,
                        expansion,
                        DROP_CONNECT * position / sum(repeats),
                    ),
                )
                self._blocks.append(name)
                channels = scaled(outputs, width)
        self.channels = channels

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = nn.functional.swish(self._conv_stem(x))
        for name in self._blocks:
            x = self._sub_layers[name](x)
        return x


class EfficientNet(nn.Layer):  # type: ignore[misc]
    """From float32[N,3,H,W] to logits float32[N,num_classes]."""

    magnifies_rounding = True

    def __init__(self, width: float, depth: float, dropout: float, num_classes: int) -> None:
        super().__init__()
        head = scaled(HEAD_CHANNELS, width)
        self._ef = Features(width, depth)
        self._conv = ConvBN(self._ef.channels, head, 1)
        self._pool = nn.AdaptiveAvgPool2D(1)
        self._drop = nn.Dropout(dropout)
        self._flatten = nn.Flatten()
        self._fc = nn.Linear(head, num_classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = nn.functional.swish(self._conv(self._ef(x)))
        return self._fc(self._flatten(self._drop(self._pool(x))))


def build(variant: str, num_classes: int) -> nn.Layer:
    """Return the network of one size, `b0` or `b1`."""
    if variant not in SIZES:
        raise InputError(f"building EfficientNet: no size {variant!r}", hint=f"sizes are {', '.join(SIZES)}")
    return EfficientNet(*SIZES[variant], num_classes)
