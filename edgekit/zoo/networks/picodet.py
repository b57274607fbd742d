"""PicoDet on PP-LCNet, second generation (2022): LCPAN neck, aligned heads with channel attention.

Configurations are PaddleDetection's (`configs/picodet/picodet_*_coco_lcnet.yml`), and so are the names of
layers (`ppdet/modeling/heads/pico_head.py`), so that its weights load key by key.
"""

from __future__ import annotations

import paddle
from paddle import nn

from edgekit.errors import InputError
from edgekit.zoo.networks.layers import ConvBN
from edgekit.zoo.networks.pan import LCPAN, DepthwisePointwise, PathAggregation
from edgekit.zoo.networks.pplcnet import PPLCNetBackbone

HEAD = "head.head_cls0"
# Sides of the input: feature maps are doubled to the size of the finer ones.
SIDE_MULTIPLE = 32
# Width of PP-LCNet, channels of the neck, convolutions of each head.
VARIANTS: dict[str, tuple[float, int, int]] = {
    "xs": (0.35, 96, 2),
    "s": (0.75, 96, 2),
    "m": (1.5, 128, 4),
    "l": (2.0, 160, 4),
}
FEATURES = ("blocks4", "blocks5", "blocks6")
STRIDES = (8, 16, 32, 64)
# Distances to the four sides of a box are distributions over 0 to 7 strides.
BINS = 8
SIDES = 4
# Keeps the gradient of the square root finite; trained scores contain it.
EPSILON = 1e-9

Outputs = tuple[paddle.Tensor, ...]


class HeadConvBN(ConvBN):
    """`ConvBN` with the layer names of PaddleDetection's heads."""

    norm_name = "norm"


class HeadAttention(nn.Layer):  # type: ignore[misc]
    """Weights for the channels from their means, then a pointwise convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2D(1)
        self.fc = nn.Conv2D(channels, channels, 1)
        self.conv = HeadConvBN(channels, channels, 1, act=nn.Hardswish())

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.conv(x * nn.functional.sigmoid(self.fc(self.avg_pool(x))))


class HeadFeatures(nn.Layer):  # type: ignore[misc]
    """Depthwise and pointwise convolutions of one head for each stride."""

    def __init__(self, channels: int, convs: int, *, attention: bool) -> None:
        super().__init__()
        if attention:
            self.se = nn.LayerList()
        self.convs: list[list[nn.Layer]] = []
        for level in range(len(STRIDES)):
            self.convs.append([])
            for index in range(convs):
                for name, kernel, groups in (("dw", 5, channels), ("pw", 1, 1)):
                    conv = HeadConvBN(channels, channels, kernel, groups=groups, act=nn.Hardswish())
                    self.convs[level].append(self.add_sublayer(f"cls_conv_{name}{level}.{index}", conv))
            if attention:
                self.se.append(HeadAttention(channels))

    def forward(self, x: paddle.Tensor, level: int) -> paddle.Tensor:
        for conv in self.convs[level]:
            x = conv(x)
        return x


class Projection(nn.Layer):  # type: ignore[misc]
    """The bins of a distance. Weights contain them, inference leaves them to the post-processing."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("project", paddle.linspace(0, BINS - 1, BINS))


class UnusedScale(nn.Layer):  # type: ignore[misc]
    """A factor that PaddleDetection's heads inherit and do not use; its weights contain it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale_reg = self.create_parameter([1], default_initializer=nn.initializer.Constant(1.0))


class BoxHead(nn.Layer):  # type: ignore[misc]
    """Parts that the heads of both generations have.

    Args:
        channels: Channels of the feature maps.
        convs: Number of depthwise and pointwise convolutions before the outputs.
    """

    def __init__(self, channels: int, convs: int, *, attention: bool) -> None:
        super().__init__()
        self.conv_feat = HeadFeatures(channels, convs, attention=attention)
        for stride in STRIDES:
            self.add_sublayer(f"p{stride.bit_length() - 1}_feat", UnusedScale())
        self.distribution_project = Projection()


class AlignedHead(BoxHead):
    """Head of the second generation: a score also counts how probable an object is at the place."""

    def __init__(self, channels: int, convs: int, num_classes: int) -> None:
        super().__init__(channels, convs, attention=True)
        # PaddleDetection's state dicts have these layers under two names each.
        self.head_cls_list = nn.LayerList()
        self.head_reg_list = nn.LayerList()
        self.cls_align = nn.LayerList()
        for level in range(len(STRIDES)):
            scores = self.add_sublayer(f"head_cls{level}", nn.Conv2D(channels, num_classes, 1))
            self.head_cls_list.append(scores)
            sides = self.add_sublayer(f"head_reg{level}", nn.Conv2D(channels, SIDES * BINS, 1))
            self.head_reg_list.append(sides)
            self.cls_align.append(DepthwisePointwise(channels, 1, ends_in_act=False))

    def forward(self, features: list[paddle.Tensor]) -> Outputs:
        scores, sides = [], []
        for level, feature in enumerate(features):
            x = self.conv_feat(feature, level)
            attended = self.conv_feat.se[level](x)
            own = nn.functional.sigmoid(self.head_cls_list[level](attended))
            place = nn.functional.sigmoid(self.cls_align[level](x))
            scores.append(by_place(paddle.sqrt(own * place + EPSILON)))
            sides.append(by_place(self.head_reg_list[level](attended)))
        return (*scores, *sides)


def by_place(maps: paddle.Tensor) -> paddle.Tensor:
    """From float32[N,C,H,W] to float32[N,H*W,C]."""
    return paddle.transpose(paddle.flatten(maps, 2), [0, 2, 1])


class PicoDet(nn.Layer):  # type: ignore[misc]
    """From float32[N,3,H,W] to scores and box distributions of each stride, without NMS.

    Height and width are multiples of 32. The outputs are scores float32[N,places,num_classes] (after the
    sigmoid) of strides 8, 16, 32 and 64, then logits of the distances float32[N,places,4*8] (left, top,
    right, bottom) in the same order.
    """

    probabilities = len(STRIDES)

    def __init__(self, backbone: PPLCNetBackbone, neck: PathAggregation, head: BoxHead) -> None:
        super().__init__()
        self.backbone, self.neck, self.head = backbone, neck, head
        # Keys of the state dict that inference does not need; an exported model lacks them.
        self.training_keys = frozenset(
            key for key in self.state_dict() if key.endswith((".scale_reg", "distribution_project.project"))
        )

    def forward(self, x: paddle.Tensor) -> Outputs:
        features = self.backbone.features(x)
        outputs: Outputs = self.head(self.neck([features[stage] for stage in FEATURES]))
        return outputs

    def score_layers(self) -> list[nn.Conv2D]:
        """Return the convolution of each stride whose first outputs are the logits of the classes."""
        return [getattr(self.head, f"head_cls{level}") for level in range(len(STRIDES))]


def build(variant: str, num_classes: int) -> nn.Layer:
    """Return the network of one size, e.g. `s`; PaddleDetection trains each at several resolutions."""
    if variant not in VARIANTS:
        raise InputError(f"building PicoDet: no size {variant!r}", hint=f"sizes are {', '.join(VARIANTS)}")
    scale, channels, convs = VARIANTS[variant]
    backbone = PPLCNetBackbone(scale)
    neck = LCPAN([backbone.channels[stage] for stage in FEATURES], channels)
    return PicoDet(backbone, neck, AlignedHead(channels, convs, num_classes))
