"""Parts of a report's tables for every renderer: lists, cells, and the formats of figures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from edgekit.core.tables import Table as Table
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
    "measured_label_map": "measured mAP of labels(%)",
    "measured_ma": "measured mA(%)",
    "measured_label_f1": "measured label F1(%)",
    "measured_instance_f1": "measured instance F1(%)",
    "crop_size": "Crop Size",
    "resize_short": "Resize Short Size",
}


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
