"""Measured latencies beside their estimates."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.report.grid import Table, number
from edgekit.report.names import point_names
from edgekit.report.rows import Row

CONTRADICTED = "contradicted"


def estimate_table(rows: Sequence[Row]) -> Table | None:
    """Return a row a point that has an estimate, the contradicted ones first; None without any."""
    judged = [one for one in zip(rows, point_names(rows), strict=True) if one[0].estimate is not None]
    if not judged:
        return None
    judged.sort(key=lambda one: one[0].estimate != CONTRADICTED)
    count = sum(row.estimate == CONTRADICTED for row, _ in judged)
    socs = ", ".join(dict.fromkeys(row.estimated_for or "" for row, _ in judged))
    return Table(
        title=f"Measured beside estimated for {socs}: {count} of {len(judged)} contradicted",
        header=("Point", "measured ms", "estimated ms", "interval", "off by", "estimate"),
        rows=tuple(
            (
                name,
                number(row.latency_ms, 2),
                number(row.estimated_ms, 2),
                f"{number(row.estimated_low_ms, 2)} to {number(row.estimated_high_ms, 2)}",
                f"{(row.latency_ms or 0) / (row.estimated_ms or 1) - 1:+.1%}",
                row.estimate or "",
            )
            for row, name in judged
        ),
        words=(0, 5),
        notes=(
            "contradicted: the measured latency lies outside of the estimate's interval; "
            "edgekit estimate --adapt makes a model of this phone",
        )
        if count
        else (),
    )
