"""PicoDet on PP-LCNet, first generation (2021): CSPPAN neck, one convolution for scores and boxes.

Configurations are PaddleDetection's (`configs/picodet/legacy_model/more_config/picodet_lcnet_*.yml` and
`application/layout_analysis/picodet_lcnet_x1_0_layout.yml`), and so are the names of layers.
"""

from __future__ import annotations

import paddle
from paddle import nn

from edgekit.errors import InputError
from edgekit.zoo.networks.pan import CSPPAN
from edgekit.zoo.networks.picodet import BINS, FEATURES, SIDES, STRIDES, BoxHead, Outputs, PicoDet, by_place
from edgekit.zoo.networks.pplcnet import PPLCNetBackbone

HEAD = "head.head_cls0"
# Sides of the input: feature maps are doubled to the size of the finer ones.
SIDE_MULTIPLE = 32
# Outputs of that layer beside the classes: the distributions of the four sides.
HEAD_BESIDE = 32
CONVS = 4
# Width of PP-LCNet, channels of the neck.
VARIANTS: dict[str, tuple[float, int]] = {
    "x0_5": (0.5, 128),
    "x1_0": (1.0, 128),
    "x1_5": (1.5, 128),
    "x1_5_wide": (1.5, 160),
    "x2_5": (2.5, 128),
}


class JointHead(BoxHead):
    """Head of the first generation: one convolution gives scores and distributions of a stride."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__(channels, CONVS, attention=False)
        self.num_classes = num_classes
        for level in range(len(STRIDES)):
            self.add_sublayer(f"head_cls{level}", nn.Conv2D(channels, num_classes + SIDES * BINS, 1))

    def forward(self, features: list[paddle.Tensor]) -> Outputs:
        scores, sides = [], []
        for level, feature in enumerate(features):
            joint = getattr(self, f"head_cls{level}")(self.conv_feat(feature, level))
            logits, distances = paddle.split(joint, [self.num_classes, SIDES * BINS], axis=1)
            scores.append(by_place(nn.functional.sigmoid(logits)))
            sides.append(by_place(distances))
        return (*scores, *sides)


def build(variant: str, num_classes: int) -> nn.Layer:
    """Return the network of one width, e.g. `x1_0`."""
    if variant not in VARIANTS:
        raise InputError(
            f"building the first PicoDet: no width {variant!r}", hint=f"widths are {', '.join(VARIANTS)}"
        )
    scale, channels = VARIANTS[variant]
    backbone = PPLCNetBackbone(scale)
    neck = CSPPAN([backbone.channels[stage] for stage in FEATURES], channels)
    return PicoDet(backbone, neck, JointHead(channels, num_classes))
