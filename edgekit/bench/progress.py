"""Steps of a sweep as they are shown while it runs."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from edgekit.core.units import format_count, format_ms


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a sweep as it is shown; it has a figure once a turn has ended.

    Attributes:
        latency_ns: Latency of the point so far, ns; None on an emulated device.
        instructions: Instructions of one inference on an emulated device.
    """

    done: int
    total: int
    label: str
    latency_ns: float | None = None
    instructions: int | None = None


ShowProgress = Callable[[Progress], None]


def describe(progress: Progress, *, counted: bool = True) -> str:
    """Format a step as one line with its number; unless `counted`, with the figure in front instead."""
    figure = "" if progress.latency_ns is None else f"{format_ms(progress.latency_ns)} ms"
    if progress.instructions is not None:
        figure = f"{format_count(progress.instructions)} instructions"
    if not counted:
        return f"{figure}  {progress.label}" if figure else progress.label
    number = f"[{progress.done}/{progress.total}] {progress.label}"
    return f"{number}: {figure}" if figure else number
