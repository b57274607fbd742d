"""What a report's tables consist of, for every renderer: words in rows, and how a figure is written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from edgekit.core.units import format_count

if TYPE_CHECKING:
    from edgekit.report.rows import Row

MISSING = "-"
# What computes something else has no latency worth showing.
NO_PARITY = "no parity"
MARK = "*"
PLATFORM_NAMES = {"intel-cpu": "Intel CPU", "v100": "V100", "sd855": "Snapdragon 855"}
# What machines of the publications' kinds call themselves, in part: CPU, GPU, and a phone's ro.soc.model or,
# before Android 12, ro.board.platform.
MACHINE_WORDS = {"intel-cpu": ("intel",), "v100": ("v100",), "sd855": ("sm8150", "msmnile", "snapdragon 855")}
FIGURES = {
    "params_m": "Params(M)",
    "flops_m": "FLOPs(M)",
    "top1": "Top-1 Acc(%)",
    "top5": "Top-5 Acc(%)",
    "measured_top1": "Top-1 measured(%)",
    "measured_top5": "Top-5 measured(%)",
    "crop_size": "Crop Size",
    "resize_short": "Resize Short Size",
}


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Words in rows, for any renderer; a cell may have several lines.

    Attributes:
        title: A line above; none where empty.
        header: Headings of the columns; without any this is a list, whose columns stay beside each other.
        words: Numbers of the columns that are text, from 0; the others are figures. A list is all text.
        notes: Lines below.
    """

    title: str = ""
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    words: tuple[int, ...] = (0,)
    notes: tuple[str, ...] = ()


def facts(pairs: Iterable[tuple[str, str | None]], *, title: str = "") -> Table:
    """A list of names and values; what is None is left out."""
    return Table(title=title, rows=tuple((name, value) for name, value in pairs if value is not None))


def cell(row: Row | None) -> str:
    """A point's figure, marked where its verdict is not `valid`; or why there is none."""
    if row is None:
        return MISSING
    if row.status in ("skipped", "failed") or (row.status == "interrupted" and not row.processes):
        return row.status
    if row.parity == "failed":
        return NO_PARITY
    if row.emulated:
        return MISSING if row.instructions is None else format_count(row.instructions)
    if row.latency_ms is None:
        return MISSING
    return f"{row.latency_ms:.2f}" + (MARK if row.verdict not in (None, "valid") else "")


def elsewhere(rows: Iterable[Row], platform: str) -> str | None:
    """What must be said where any of these was measured on another machine than was published; else None."""
    words = MACHINE_WORDS[platform]
    machines = [row.machine for row in rows if row.processes and not row.emulated]
    others = [name for name in machines if not any(word in name.lower() for word in words)]
    if not others:
        return None
    named = ", ".join(dict.fromkeys(others))
    return f"measured on {named}, published for {PLATFORM_NAMES[platform]}: compare the order, not the ms"


def number(value: float | None, digits: int | None = None) -> str:
    """A figure in the fewest digits, or with so many after the point."""
    if value is None:
        return MISSING
    return f"{value:g}" if digits is None else f"{value:.{digits}f}"


def threads_words(count: int) -> str:
    """`1 thread`, `4 threads`."""
    return f"{count} thread{'s' * (count != 1)}"
