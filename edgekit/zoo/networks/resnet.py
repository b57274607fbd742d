"""ResNet (He et al., "Deep Residual Learning", 2016) and ResNet-D (He et al., "Bag of Tricks", 2019, "vd").

Names of layers are PaddleClas's (`ppcls/arch/backbone/legendary_models/resnet.py`), so that its weights load
key by key. As in PaddleClas, the first block of every stage projects its shortcut, and the stride of a
bottleneck is in its 3x3 convolution.
"""

from __future__ import annotations

import paddle
from paddle import nn

from edgekit.errors import InputError
from edgekit.zoo.networks.layers import ConvBN

HEAD = "fc"
# Number of blocks of each stage, and whether they are bottlenecks.
DEPTHS: dict[str, tuple[tuple[int, int, int, int], bool]] = {
    "18": ((2, 2, 2, 2), False),
    "34": ((3, 4, 6, 3), False),
    "50": ((3, 4, 6, 3), True),
    "101": ((3, 4, 23, 3), True),
}
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4
VD = "_vd"


class PooledConvBN(ConvBN):
    """Average pooling with the stride, so that no pixel is left out, then `ConvBN` (ResNet-D's shortcut)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, 1)
        self.avg_pool = nn.AvgPool2D(2, stride, ceil_mode=True)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.bn(self.conv(self.avg_pool(x)))


class Block(nn.Layer):  # type: ignore[misc]
    """Two 3x3 convolutions, or a bottleneck of three, beside a shortcut."""

    def __init__(
        self, inputs: int, width: int, *, stride: int, bottleneck: bool, project: bool, pooled: bool
    ) -> None:
        super().__init__()
        if bottleneck:
            outputs = width * EXPANSION
            self.conv0 = ConvBN(inputs, width, 1, act=nn.ReLU())
            self.conv1 = ConvBN(width, width, 3, stride=stride, act=nn.ReLU())
            self.conv2: ConvBN | None = ConvBN(width, outputs, 1)
        else:
            outputs = width
            self.conv0 = ConvBN(inputs, width, 3, stride=stride, act=nn.ReLU())
            self.conv1 = ConvBN(width, width, 3)
            self.conv2 = None
        self.short: ConvBN | None = None
        if project and pooled and stride > 1:
            self.short = PooledConvBN(inputs, outputs, stride)
        elif project:
            self.short = ConvBN(inputs, outputs, 1, stride=stride)
        self.relu = nn.ReLU()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.conv1(self.conv0(x))
        if self.conv2 is not None:
            y = self.conv2(y)
        return self.relu(y + (x if self.short is None else self.short(x)))


class ResNet(nn.Layer):  # type: ignore[misc]
    """From float32[N,3,H,W] to logits float32[N,num_classes]."""

    def __init__(self, depths: tuple[int, ...], *, bottleneck: bool, vd: bool, num_classes: int) -> None:
        super().__init__()
        # An error of the input grows 524 times in ResNet101_vd's 33 blocks, at 64x64.
        self.magnifies_rounding = sum(depths) > sum(DEPTHS["50"][0])
        stem = [(3, 32, 3, 2), (32, 32, 3, 1), (32, 64, 3, 1)] if vd else [(3, 64, 7, 2)]
        self.stem = nn.Sequential(
            *[
                ConvBN(inputs, outputs, kernel, stride=stride, act=nn.ReLU())
                for inputs, outputs, kernel, stride in stem
            ]
        )
        self.max_pool = nn.MaxPool2D(kernel_size=3, stride=2, padding=1)
        blocks = []
        channels = stem[-1][1]
        for stage, (depth, width) in enumerate(zip(depths, WIDTHS, strict=True)):
            for index in range(depth):
                stride = 2 if index == 0 and stage > 0 else 1
                blocks.append(
                    Block(
                        channels, width, stride=stride, bottleneck=bottleneck, project=index == 0, pooled=vd
                    )
                )
                channels = width * (EXPANSION if bottleneck else 1)
        self.blocks = nn.Sequential(*blocks)
        self.avg_pool = nn.AdaptiveAvgPool2D(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.fc(self.flatten(self.avg_pool(self.blocks(self.max_pool(self.stem(x))))))


def build(variant: str, num_classes: int) -> nn.Layer:
    """Return the network of one depth, `34` or `50`, with `_vd` as ResNet-D."""
    depth = variant.removesuffix(VD)
    if depth not in DEPTHS:
        raise InputError(
            f"building ResNet: no depth {variant!r}",
            hint=f"depths are {', '.join(DEPTHS)}, each also with {VD}",
        )
    depths, bottleneck = DEPTHS[depth]
    return ResNet(depths, bottleneck=bottleneck, vd=variant.endswith(VD), num_classes=num_classes)
