"""PP-LCNetV2 (PaddleClas documentation, "PP-LCNetV2 Series", section 1.2).

Names of layers are PaddleClas's (`ppcls/arch/backbone/legendary_models/pp_lcnet_v2.py`), so that its weights
load key by key.
"""

from __future__ import annotations

from dataclasses import dataclass

import paddle
from paddle import nn

from edgekit.errors import InputError
from edgekit.zoo.networks.layers import ConvBN, SqueezeExcite, scaled

HEAD = "fc"
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
DROPOUT = 0.2
# Width, and number of blocks of each stage.
SIZES: dict[str, tuple[float, tuple[int, int, int, int]]] = {
    "small": (0.75, (2, 2, 4, 2)),
    "base": (1.0, (2, 2, 6, 2)),
    "large": (1.25, (2, 2, 8, 2)),
}


@dataclass(frozen=True)
class Kind:
    """Form of a stage's blocks.

    Attributes:
        kernel: Kernel size of the depthwise convolution.
        branches: True where depthwise convolutions of several sizes are trained side by side.
        squeezed: True where two pointwise convolutions have half the channels between them.
        attention: True for channel attention.
        residual: True where blocks that keep the shape add their input.
    """

    kernel: int
    branches: bool = False
    squeezed: bool = False
    attention: bool = False
    residual: bool = False


PLAIN = Kind(kernel=3)
STAGES = (
    PLAIN,
    PLAIN,
    Kind(kernel=5, branches=True, squeezed=True, attention=True),
    Kind(kernel=5, branches=True, residual=True),
)


class Block(nn.Layer):  # type: ignore[misc]
    """Depthwise convolution, or the sum of several; channel attention; one or two pointwise convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int, kind: Kind) -> None:
        super().__init__()
        kernel = kind.kernel
        self.dw_conv_list: nn.LayerList | None = None
        if kind.branches:
            # A kernel of one pixel would leave pixels out where the stride is 2.
            sizes = [size for size in range(kernel, 0, -2) if size > 1 or stride == 1]
            self.dw_conv_list = nn.LayerList(
                [ConvBN(inputs, inputs, size, stride=stride, groups=inputs) for size in sizes]
            )
            # The sum as one convolution; `fuse` sets it, training leaves it alone.
            fixed = paddle.ParamAttr(trainable=False)
            self.dw_conv: nn.Layer = nn.Conv2D(
                inputs, inputs, kernel, stride, kernel // 2, groups=inputs, weight_attr=fixed, bias_attr=fixed
            )
        else:
            self.dw_conv = ConvBN(inputs, inputs, kernel, stride=stride, groups=inputs)
        self.act = nn.ReLU()
        self.se = SqueezeExcite(inputs) if kind.attention else None
        self.squeezed = kind.squeezed
        if kind.squeezed:
            self.pw_conv_1 = ConvBN(inputs, outputs // 2, 1, act=nn.ReLU())
            self.pw_conv_2 = ConvBN(outputs // 2, outputs, 1, act=nn.ReLU())
        else:
            self.pw_conv = ConvBN(inputs, outputs, 1, act=nn.ReLU())
        self.residual = kind.residual and stride == 1 and inputs == outputs

    def fuse(self) -> None:
        """Replace the branches with their batch norms by the one convolution that computes their sum."""
        if self.dw_conv_list is None:
            return
        kernels, biases = [], []
        for branch in self.dw_conv_list:
            norm, kernel = branch.bn, branch.conv.weight
            factor = norm.weight / paddle.sqrt(norm._variance + norm._epsilon)
            margin = (self.dw_conv.weight.shape[-1] - kernel.shape[-1]) // 2
            kernels.append(nn.functional.pad(kernel * factor.reshape([-1, 1, 1, 1]), [margin] * 4))
            biases.append(norm.bias - norm._mean * factor)
        self.dw_conv.weight.set_value(paddle.add_n(kernels))
        self.dw_conv.bias.set_value(paddle.add_n(biases))
        self.dw_conv_list = None

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if self.dw_conv_list is None:
            y = self.dw_conv(x)
        else:
            y = self.dw_conv_list[0](x)
            for branch in self.dw_conv_list[1:]:
                y = y + branch(x)
        y = self.act(y)
        if self.se is not None:
            y = self.se(y)
        y = self.pw_conv_2(self.pw_conv_1(y)) if self.squeezed else self.pw_conv(y)
        return y + x if self.residual else y


class PPLCNetV2(nn.Layer):  # type: ignore[misc]
    """From float32[N,3,H,W] to logits float32[N,num_classes]."""

    magnifies_rounding = True

    def __init__(self, scale: float, depths: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        stem, channels = scaled(STEM_CHANNELS, scale), scaled(2 * STEM_CHANNELS, scale)
        self.stem = nn.Sequential(
            ConvBN(3, stem, 3, stride=2, act=nn.ReLU()), Block(stem, channels, stride=1, kind=PLAIN)
        )
        self.stages = nn.LayerList()
        for number, (kind, depth) in enumerate(zip(STAGES, depths, strict=True), 2):
            outputs = scaled(STEM_CHANNELS * 2**number, scale)
            blocks = [Block(channels, outputs, stride=2, kind=kind)]
            blocks += [Block(outputs, outputs, stride=1, kind=kind) for _ in range(depth - 1)]
            self.stages.append(nn.Sequential(*blocks))
            channels = outputs
        self.avg_pool = nn.AdaptiveAvgPool2D(1)
        self.last_conv = nn.Conv2D(channels, HEAD_CHANNELS, 1, bias_attr=False)
        self.act = nn.ReLU()
        # Not the usual dropout: inference multiplies by 1 - p, which trained weights rely on.
        self.dropout = nn.Dropout(DROPOUT, mode="downscale_in_infer")
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(HEAD_CHANNELS, num_classes)
        self.training_keys = frozenset(
            f"{name}.dw_conv.{parameter}"
            for name, layer in self.named_sublayers()
            if isinstance(layer, Block) and layer.dw_conv_list is not None
            for parameter in ("weight", "bias")
        )

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        x = self.dropout(self.act(self.last_conv(self.avg_pool(x))))
        return self.fc(self.flatten(x))


def build(variant: str, num_classes: int) -> nn.Layer:
    """Return the network of one size: `small`, `base` or `large`."""
    if variant not in SIZES:
        raise InputError(f"building PP-LCNetV2: no size {variant!r}", hint=f"sizes are {', '.join(SIZES)}")
    return PPLCNetV2(*SIZES[variant], num_classes)
