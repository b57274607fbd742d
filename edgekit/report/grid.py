"""Parts of a report's tables for every renderer: rows of words, and the formats of figures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from edgekit.core.units import format_count

if TYPE_CHECKING:
    from edgekit.report.rows import Row

MISSING = "-"
# A point whose output is wrong has no latency worth showing.
NO_PARITY = "no parity"
MARK = "*"
PLATFORM_NAMES = {"intel-cpu": "Intel CPU", "v100": "V100", "sd855": "Snapdragon 855"}
# Name parts of machines of the publications' kinds: CPU, GPU, and a phone's ro.soc.model or,
# before Android 12, ro.board.platform.
MACHINE_WORDS = {"intel-cpu": ("intel",), "v100": ("v100",), "sd855": ("sm8150", "msmnile", "snapdragon 855")}
FIGURES = {
    "params_m": "Params(M)",
    "flops_m": "FLOPs(M)",
    "top1": "published Top-1(%)",
    "top5": "published Top-5(%)",
    "map": "published mAP(%)",
    "map50": "published mAP at IoU 0.5(%)",
    "miou": "published mIoU(%)",
    "measured_top1": "measured Top-1(%)",
    "measured_top5": "measured Top-5(%)",
    "measured_map": "measured mAP(%)",
    "measured_map50": "measured mAP at IoU 0.5(%)",
    "measured_miou": "measured mIoU(%)",
    "crop_size": "Crop Size",
    "resize_short": "Resize Short Size",
}


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of words for any renderer; a cell may have several lines.

    Attributes:
        title: Line above the table; empty for none.
        header: Headings of the columns; empty for a list, whose columns are never split into blocks.
        words: Numbers of the text columns, from 0; the other columns hold figures. A list is all text.
        joined: Numbers of the columns that are never parted from the column before them.
        filters: Numbers of the columns by whose values a page lets its readers filter the rows; a table with
            any can also be sorted there, and is never split.
        points: Numbers of the points (`Row.number`) that cells show, by row and column from 0; a page links
            them to the points' verdicts.
        notes: Lines below the table.
        colours: The cells contain terminal colours, and no words from a file or a device.
    """

    title: str = ""
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    words: tuple[int, ...] = (0,)
    joined: tuple[int, ...] = ()
    filters: tuple[int, ...] = ()
    points: dict[tuple[int, int], int] = {}
    notes: tuple[str, ...] = ()
    colours: bool = False


def facts(pairs: Iterable[tuple[str, str | None]], *, title: str = "") -> Table:
    """Return a list of names and values; leave out values of None."""
    return Table(title=title, rows=tuple((name, value) for name, value in pairs if value is not None))


def cell(row: Row | None) -> str:
    """Return a point's figure, marked where its verdict is not `valid`, or the reason why it has none."""
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
    """Return a note where some rows were measured on another kind of machine than published; else None."""
    words = MACHINE_WORDS[platform]
    machines = [row.machine for row in rows if row.processes and not row.emulated]
    others = [name for name in machines if not any(word in name.lower() for word in words)]
    if not others:
        return None
    named = ", ".join(dict.fromkeys(others))
    return f"measured on {named}, published for {PLATFORM_NAMES[platform]}: compare the order, not the ms"


def number(value: float | None, digits: int | None = None) -> str:
    """Format a figure in the fewest digits, or with the given number of decimals."""
    if value is None:
        return MISSING
    return f"{value:g}" if digits is None else f"{value:.{digits}f}"


def threads_words(count: int) -> str:
    """Format a number of threads as `1 thread` or `4 threads`."""
    return f"{count} thread{'s' * (count != 1)}"
