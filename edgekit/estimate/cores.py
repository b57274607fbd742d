"""Kinds of CPU cores by part number: how costly memory is, which int8 kernels Paddle Lite takes."""

from __future__ import annotations

from collections.abc import Iterable

# CPU parts (sys-utils/lscpu-arm.c of util-linux) of in-order cores and of those before the Cortex-A73, on
# which reading a megabyte costs a multiple of its cost on others: Cortex-A53, A35, A55, A57, A72, A510 and
# A520, and the small cores of Kryo 2xx to 4xx.
OLD_PARTS = frozenset(
    {"0xd03", "0xd04", "0xd05", "0xd07", "0xd08", "0xd46", "0xd80", "0x801", "0x803", "0x805"}
)
# Others that are known: Cortex-A73, A75, A76 (HiSilicon's, too), A77, A78, A710, A715, A720, X1 to X4, and
# the big cores of Kryo 2xx to 4xx.
USUAL_PARTS = frozenset({
    "0xd09", "0xd0a", "0xd0b", "0xd40", "0xd0d", "0xd41", "0xd47", "0xd4d", "0xd81", "0xd44", "0xd48",
    "0xd4e", "0xd82", "0x800", "0x802", "0x804",
})  # fmt: skip
# Parts on which Paddle Lite uses dot products (release/v2.12, lite/core/device_info.cc and .h, `get_cpu_arch`
# and `has_dot`). Parts that it does not know count as ones without, the Cortex-A76's 0xd0b among them.
DOT_PRODUCT_PARTS = frozenset({
    "0xd05", "0x803", "0x805", "0x804", "0xd40", "0xd0d", "0xd41", "0xd44", "0xd46", "0xd47", "0xd48",
})  # fmt: skip
# The virtual device whose counts have Paddle Lite's int8 kernels without dot products.
WITHOUT_DOT_PRODUCT = "rpi4"


def is_old(part: str | None) -> bool | None:
    """Return True for a part of `OLD_PARTS`, False for one of `USUAL_PARTS`, None for others."""
    return True if part in OLD_PARTS else False if part in USUAL_PARTS else None


def takes_dot_products(parts: Iterable[str | None]) -> bool | None:
    """Return whether Paddle Lite's int8 kernels use dot products on a chip; None where a part is not known.

    Args:
        parts: CPU parts of all its cores: one that lacks dot products rules them out for all.
    """
    every = set(parts)
    return None if not every or None in every else every <= DOT_PRODUCT_PARTS
