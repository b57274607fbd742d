"""Res2Net (Gao et al., "Res2Net", 2019) with ResNet-D's stem and shortcuts.

Names of layers are PaddleClas's (`ppcls/arch/backbone/model_zoo/res2net_vd.py`), so that its weights load key
by key.
"""

from __future__ import annotations

import string

import paddle
from paddle import nn

from edgekit.errors import InputError
from edgekit.zoo.networks.layers import ModelZooConvBN

HEAD = "out"
# Blocks of each stage, by depth.
DEPTHS: dict[str, tuple[int, int, int, int]] = {
    "50_vd_26w_4s": (3, 4, 6, 3),
    "101_vd_26w_4s": (3, 4, 23, 3),
    "200_vd_26w_4s": (3, 12, 48, 3),
}
PARTS, PART_CHANNELS = 4, 26
WIDTHS = (256, 512, 1024, 2048)
STEM_CHANNELS = 64


class PooledConvBN(ModelZooConvBN):
    """Average pooling with stride 2, so that no pixel is left out, then a pointwise `ModelZooConvBN`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)
        self.pool = nn.AvgPool2D(2, 2, ceil_mode=True)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return super().forward(self.pool(x))


class Block(nn.Layer):  # type: ignore[misc]
    """Bottleneck whose 3x3 convolutions work on parts of the channels, each with the result before it.

    Where the block halves the resolution the parts are independent of each other. The last part is passed on,
    or pooled.
    """

    def __init__(self, inputs: int, middle: int, outputs: int, *, stride: int, name: str) -> None:
        super().__init__()
        part = middle // PARTS
        self.stride = stride
        self.conv0 = ModelZooConvBN(inputs, middle, 1, act=nn.ReLU())
        self.names = [f"{name}_branch2b_{number}" for number in range(1, PARTS)]
        for one in self.names:
            self.add_sublayer(one, ModelZooConvBN(part, part, 3, stride=stride, act=nn.ReLU()))
        self.pool = nn.AvgPool2D(3, stride, padding=1)
        self.conv2 = ModelZooConvBN(middle, outputs, 1)
        self.short: nn.Layer | None = None
        if inputs != outputs:
            self.short = ModelZooConvBN(inputs, outputs, 1) if stride == 1 else PooledConvBN(inputs, outputs)
        self.relu = nn.ReLU()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        *parts, last = paddle.split(self.conv0(x), PARTS, axis=1)
        features: list[paddle.Tensor] = []
        # Paddle's tracing replaces `zip` by one that does not know `strict`.
        for index, name in enumerate(self.names):
            before = features[-1] if features and self.stride == 1 else None
            part = parts[index] if before is None else parts[index] + before
            features.append(self._sub_layers[name](part))
        features.append(last if self.stride == 1 else self.pool(last))
        y = self.conv2(paddle.concat(features, axis=1))
        return self.relu(y + (x if self.short is None else self.short(x)))


def _name(stage: int, index: int, depth: int) -> str:
    """Return a block's name in the keys: a letter, in a long third stage `a` and then `b` with a number."""
    if stage == 2 and depth > DEPTHS["50_vd_26w_4s"][2]:
        return f"res4{f'b{index}' if index else 'a'}"
    return f"res{stage + 2}{string.ascii_lowercase[index]}"


class Res2Net(nn.Layer):  # type: ignore[misc]
    """From float32[N,3,H,W] to logits float32[N,num_classes]."""

    magnifies_rounding = True

    def __init__(self, depths: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.conv1_1 = ModelZooConvBN(3, 32, 3, stride=2, act=nn.ReLU())
        self.conv1_2 = ModelZooConvBN(32, 32, 3, act=nn.ReLU())
        self.conv1_3 = ModelZooConvBN(32, STEM_CHANNELS, 3, act=nn.ReLU())
        self.max_pool = nn.MaxPool2D(kernel_size=3, stride=2, padding=1)
        self.names: list[str] = []
        channels = STEM_CHANNELS
        for stage, (depth, width) in enumerate(zip(depths, WIDTHS, strict=True)):
            for index in range(depth):
                self.names.append(f"bb_{stage}_{index}")
                stride = 2 if stage and not index else 1
                middle = PARTS * PART_CHANNELS * 2**stage
                block = Block(channels, middle, width, stride=stride, name=_name(stage, index, depth))
                self.add_sublayer(self.names[-1], block)
                channels = width
        self.avg_pool = nn.AdaptiveAvgPool2D(1)
        self.flatten = nn.Flatten()
        self.out = nn.Linear(channels, num_classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.max_pool(self.conv1_3(self.conv1_2(self.conv1_1(x))))
        for name in self.names:
            x = self._sub_layers[name](x)
        return self.out(self.flatten(self.avg_pool(x)))


def build(variant: str, num_classes: int) -> nn.Layer:
    """Return the network of one depth, e.g. `200_vd_26w_4s`."""
    if variant not in DEPTHS:
        raise InputError(f"building Res2Net: no depth {variant!r}", hint=f"depths are {', '.join(DEPTHS)}")
    return Res2Net(DEPTHS[variant], num_classes)
