"""Swin Transformer (Liu et al., "Swin Transformer", 2021).

Names of layers are PaddleClas's (`ppcls/arch/backbone/legendary_models/swin_transformer.py`), so that its
weights load key by key. No tensor has more than four axes, as ncnn wants: neighbouring axes that a
transposition leaves side by side are one.
"""

from __future__ import annotations

import paddle
from paddle import nn

from edgekit.errors import InputError

HEAD = "head"
# Four halvings after patches of 4 pixels must leave whole windows in every stage.
SIDE_MULTIPLE = 224
PATCH, WINDOW, SHIFT = 4, 7, 3
MLP_RATIO = 4
# What keeps pixels from attending to those that the shift brought beside them.
MASKED = -100.0
# Channels and heads of the first stage, each later one doubles them; blocks of each stage.
SIZES: dict[str, tuple[int, int, tuple[int, int, int, int]]] = {
    "tiny_patch4_window7_224": (96, 3, (2, 2, 6, 2)),
    "small_patch4_window7_224": (96, 3, (2, 2, 18, 2)),
    "base_patch4_window7_224": (128, 4, (2, 2, 18, 2)),
}


def windows_of(x: paddle.Tensor, width: int) -> paddle.Tensor:
    """Cut [N,height,width,C] into windows, [N * windows, WINDOW * WINDOW, C]."""
    channels = x.shape[-1]
    rows = x.reshape([-1, WINDOW, width // WINDOW, WINDOW * channels])
    return rows.transpose([0, 2, 1, 3]).reshape([-1, WINDOW * WINDOW, channels])


def joined(windows: paddle.Tensor, height: int, width: int) -> paddle.Tensor:
    """Join windows to [N,height,width,C] again."""
    channels = windows.shape[-1]
    rows = windows.reshape([-1, width // WINDOW, WINDOW, WINDOW * channels])
    return rows.transpose([0, 2, 1, 3]).reshape([-1, height, width, channels])


def shift_mask(height: int, width: int) -> paddle.Tensor:
    """Return float32[windows, pixels * pixels], 0 between pixels that were neighbours before the shift."""
    import numpy as np

    region = np.zeros((height, width), np.int64)
    for rows in (slice(-WINDOW, -SHIFT), slice(-SHIFT, None)):
        region[rows] += 1 + int(rows.stop is None)
    columns = np.zeros(width, np.int64)
    columns[-WINDOW:-SHIFT], columns[-SHIFT:] = 1, 2
    region = 3 * region + columns
    cut = region.reshape(height // WINDOW, WINDOW, width // WINDOW, WINDOW).transpose(0, 2, 1, 3)
    cut = cut.reshape(-1, WINDOW * WINDOW)
    other = cut[:, None, :] != cut[:, :, None]
    return paddle.to_tensor(np.where(other, MASKED, 0.0).astype(np.float32).reshape(len(cut), -1))


class WindowAttention(nn.Layer):  # type: ignore[misc]
    """Attention among the pixels of a window, with a learned bias by their distance."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        import numpy as np

        self.heads = heads
        self.scale = (channels // heads) ** -0.5
        span = 2 * WINDOW - 1
        self.relative_position_bias_table = self.create_parameter(
            [span * span, heads], default_initializer=nn.initializer.TruncatedNormal(std=0.02)
        )
        rows, columns = np.divmod(np.arange(WINDOW * WINDOW), WINDOW)
        distance = [one[:, None] - one[None, :] + WINDOW - 1 for one in (rows, columns)]
        index = paddle.to_tensor((distance[0] * span + distance[1]).astype(np.int64))
        self.register_buffer("relative_position_index", index)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: paddle.Tensor, mask: paddle.Tensor | None) -> paddle.Tensor:
        pixels, channels = x.shape[1:]
        query, key, value = (
            one.reshape([-1, pixels, self.heads, channels // self.heads]).transpose([0, 2, 1, 3])
            for one in self.qkv(x).split(3, axis=-1)
        )
        scores = paddle.matmul(query * self.scale, key.transpose([0, 1, 3, 2]))
        bias = paddle.index_select(self.relative_position_bias_table, self.relative_position_index.flatten())
        scores = scores + bias.reshape([pixels, pixels, self.heads]).transpose([2, 0, 1]).unsqueeze(0)
        if mask is not None:
            scores = scores.reshape([-1, mask.shape[0], self.heads, pixels * pixels])
            scores = (scores + mask.unsqueeze(1)).reshape([-1, self.heads, pixels, pixels])
        y = paddle.matmul(nn.functional.softmax(scores, axis=-1), value)
        return self.proj(y.transpose([0, 2, 1, 3]).reshape([-1, pixels, channels]))


class Mlp(nn.Layer):  # type: ignore[misc]
    """Two linear layers with a GELU between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, MLP_RATIO * channels)
        self.fc2 = nn.Linear(MLP_RATIO * channels, channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class Block(nn.Layer):  # type: ignore[misc]
    """Attention in windows, in every second block of shifted ones, then an MLP; both beside a shortcut."""

    def __init__(self, channels: int, heads: int, *, shifted: bool) -> None:
        super().__init__()
        self.shifted = shifted
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels)

    def forward(self, x: paddle.Tensor, height: int, width: int) -> paddle.Tensor:
        channels = x.shape[-1]
        y = self.norm1(x).reshape([-1, height, width, channels])
        # A map of one window has nothing to shift against, but PaddleClas shifts it, and so do its weights.
        mask = shift_mask(height, width) if self.shifted else None
        if self.shifted:
            y = paddle.roll(y, shifts=(-SHIFT, -SHIFT), axis=(1, 2))
        y = joined(self.attn(windows_of(y, width), mask), height, width)
        if self.shifted:
            y = paddle.roll(y, shifts=(SHIFT, SHIFT), axis=(1, 2))
        x = x + y.reshape([-1, height * width, channels])
        return x + self.mlp(self.norm2(x))


class PatchMerging(nn.Layer):  # type: ignore[misc]
    """Halve the resolution: four pixels' channels become one pixel's, twice as many as before."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias_attr=False)
        self.norm = nn.LayerNorm(4 * channels)

    def forward(self, x: paddle.Tensor, height: int, width: int) -> paddle.Tensor:
        channels = x.shape[-1]
        # Of four pixels first the left column, as slices with a step of two give them.
        x = x.reshape([-1, 2, width, channels]).transpose([0, 2, 1, 3])
        x = x.reshape([-1, height * width // 4, 4 * channels])
        return self.reduction(self.norm(x))


class Stage(nn.Layer):  # type: ignore[misc]
    """Blocks, and in all stages but the last `PatchMerging`."""

    def __init__(self, channels: int, heads: int, depth: int, *, merges: bool) -> None:
        super().__init__()
        self.blocks = nn.LayerList([Block(channels, heads, shifted=index % 2 == 1) for index in range(depth)])
        self.downsample = PatchMerging(channels) if merges else None

    def forward(self, x: paddle.Tensor, height: int, width: int) -> paddle.Tensor:
        for block in self.blocks:
            x = block(x, height, width)
        return x if self.downsample is None else self.downsample(x, height, width)


class PatchEmbed(nn.Layer):  # type: ignore[misc]
    """Patches of 4x4 pixels as vectors, [N,C,H,W] to [N,patches,channels]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2D(3, channels, PATCH, PATCH)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.norm(self.proj(x).flatten(2).transpose([0, 2, 1]))


class SwinTransformer(nn.Layer):  # type: ignore[misc]
    """From float32[N,3,H,W] to logits float32[N,num_classes]."""

    def __init__(self, channels: int, heads: int, depths: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(channels)
        self.layers = nn.LayerList(
            [
                Stage(channels * 2**number, heads * 2**number, depth, merges=number < len(depths) - 1)
                for number, depth in enumerate(depths)
            ]
        )
        channels *= 2 ** (len(depths) - 1)
        self.norm = nn.LayerNorm(channels)
        self.avgpool = nn.AdaptiveAvgPool1D(1)
        self.head = nn.Linear(channels, num_classes)
        self.training_keys = frozenset(
            f"{name}.relative_position_index"
            for name, layer in self.named_sublayers()
            if isinstance(layer, WindowAttention)
        )
        # Older versions of PaddleClas wrote the masks into the weights.
        self.computed_keys = frozenset(
            f"{name}.attn_mask"
            for name, layer in self.named_sublayers()
            if isinstance(layer, Block) and layer.shifted
        )

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        height, width = (side // PATCH for side in x.shape[2:])
        x = self.patch_embed(x)
        for number, stage in enumerate(self.layers):
            x = stage(x, height >> number, width >> number)
        return self.head(self.avgpool(self.norm(x).transpose([0, 2, 1])).flatten(1))


def build(variant: str, num_classes: int) -> nn.Layer:
    """Return the network of one size, e.g. `tiny_patch4_window7_224`."""
    if variant not in SIZES:
        raise InputError(
            f"building Swin Transformer: no size {variant!r}", hint=f"sizes are {', '.join(SIZES)}"
        )
    return SwinTransformer(*SIZES[variant], num_classes)
