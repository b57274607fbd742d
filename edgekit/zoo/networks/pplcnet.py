"""PP-LCNet (Cui et al., "PP-LCNet: A Lightweight CPU Convolutional Neural Network", 2021, table 1).

Names of layers are PaddleClas's (`ppcls/arch/backbone/legendary_models/pp_lcnet.py`), so that its weights
load key by key.
"""

from __future__ import annotations

import paddle
from paddle import nn

from edgekit.errors import InputError
from edgekit.zoo.networks.layers import ConvBN, SqueezeExcite, Stride, scaled

HEAD = "fc"
SCALES: dict[str, float] = {
    "x0_25": 0.25,
    "x0_35": 0.35,
    "x0_5": 0.5,
    "x0_75": 0.75,
    "x1_0": 1.0,
    "x1_5": 1.5,
    "x2_0": 2.0,
    "x2_5": 2.5,
}
LINES = "_lines"
STEM_CHANNELS = 16
HEAD_CHANNELS = 1280
DROPOUT = 0.2
SE_SLOPE = 0.1666667

# Depthwise separable blocks of each stage: kernel size, output channels at x1_0, stride, SE module.
STAGES: dict[str, tuple[tuple[int, int, int, bool], ...]] = {
    "blocks2": ((3, 32, 1, False),),
    "blocks3": ((3, 64, 2, False), (3, 64, 1, False)),
    "blocks4": ((3, 128, 2, False), (3, 128, 1, False)),
    "blocks5": ((3, 256, 2, False), *((5, 256, 1, False),) * 5),
    "blocks6": ((5, 512, 2, True), (5, 512, 1, True)),
}


class DepthwiseSeparable(nn.Layer):  # type: ignore[misc]
    """Depthwise convolution, optionally channel attention, pointwise convolution."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: Stride, attention: bool) -> None:
        super().__init__()
        self.dw_conv = ConvBN(inputs, inputs, kernel, stride=stride, groups=inputs, act=nn.Hardswish())
        self.se = SqueezeExcite(inputs, SE_SLOPE) if attention else None
        self.pw_conv = ConvBN(inputs, outputs, 1, act=nn.Hardswish())

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.dw_conv(x)
        if self.se is not None:
            x = self.se(x)
        return self.pw_conv(x)


class PPLCNetBackbone(nn.Layer):  # type: ignore[misc]
    """From float32[N,3,H,W] to the feature maps of strides 4, 8, 16 and 32.

    Args:
        scale: Width of the network; 1.0 is x1_0.
        keeps_columns: True where stages halve the rows alone, as for lines of text; the stem halves both.

    Attributes:
        channels: Number of channels of the feature maps, by stage.
    """

    def __init__(self, scale: float, *, keeps_columns: bool = False) -> None:
        super().__init__()
        channels = scaled(STEM_CHANNELS, scale)
        self.channels: dict[str, int] = {}
        self.conv1 = ConvBN(3, channels, 3, stride=2, act=nn.Hardswish())
        for stage, blocks in STAGES.items():
            layers = []
            for kernel, outputs, stride, attention in blocks:
                step = (stride, 1) if keeps_columns else stride
                layers.append(DepthwiseSeparable(channels, scaled(outputs, scale), kernel, step, attention))
                channels = scaled(outputs, scale)
            self.add_sublayer(stage, nn.Sequential(*layers))
            self.channels[stage] = channels

    def features(self, x: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """Return the outputs of all stages by the stage's name."""
        outputs = {}
        x = self.conv1(x)
        for stage in STAGES:
            x = getattr(self, stage)(x)
            outputs[stage] = x
        return outputs


class PPLCNet(PPLCNetBackbone):
    """From float32[N,3,H,W] to logits float32[N,num_classes]."""

    def __init__(self, scale: float, num_classes: int, *, keeps_columns: bool = False) -> None:
        super().__init__(scale, keeps_columns=keeps_columns)
        # Errors are judged by the range of the scores, which is small where there are but two.
        self.magnifies_rounding = num_classes <= 2
        self.avg_pool = nn.AdaptiveAvgPool2D(1)
        self.last_conv = nn.Conv2D(self.channels["blocks6"], HEAD_CHANNELS, 1, bias_attr=False)
        self.act = nn.Hardswish()
        # Not the usual dropout: inference multiplies by 1 - p, which trained weights rely on.
        self.dropout = nn.Dropout(DROPOUT, mode="downscale_in_infer")
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(HEAD_CHANNELS, num_classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.features(x)["blocks6"]
        x = self.dropout(self.act(self.last_conv(self.avg_pool(x))))
        return self.fc(self.flatten(x))


def build(variant: str, num_classes: int) -> nn.Layer:
    """Return the network of one scale, e.g. `x0_5`; `x0_5_lines` keeps columns, for lines of text."""
    scale = variant.removesuffix(LINES)
    if scale not in SCALES:
        raise InputError(f"building PP-LCNet: no scale {variant!r}", hint=f"scales are {', '.join(SCALES)}")
    return PPLCNet(SCALES[scale], num_classes, keeps_columns=variant.endswith(LINES))
