"""Distinct names of points and of series of points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edgekit.core.spec import Platform
from edgekit.report.grid import threads_words
from edgekit.report.rows import Row


def place(row: Row) -> str:
    """Return the processor and, on devices, the device: `A1, SM8150`."""
    return row.machine if row.target in (row.machine, "host") else f"{row.target}, {row.machine}"


def _knows_place(row: Row) -> bool:
    """Return False for a point of a GPU engine that did not run, because its GPU is unknown."""
    return bool(row.processes) or row.platform != Platform.V100.value


def series_names(rows: Sequence[Row]) -> list[str]:
    """Name each row's series without model, threads and batch: `paddlelite fp32, A1, SM8150`.

    The name includes the machine and the engine's version where these differ between rows.
    """
    several_places = len({place(row) for row in rows if _knows_place(row)}) > 1
    versions = {(row.engine, row.engine_version) for row in rows if row.engine_version is not None}
    several_versions = {
        engine for engine, count in Counter(engine for engine, _ in versions).items() if count > 1
    }
    names = []
    for row in rows:
        version = row.engine_version if row.engine in several_versions else None
        words = [" ".join(filter(None, (row.engine, version, row.precision)))]
        words += [f"power mode {row.power_mode}"] if row.power_mode else []
        words += [f"cores {row.cores}"] if row.cores else []
        words += [place(row)] if several_places and _knows_place(row) else []
        names.append(", ".join(words))
    return names


def point_names(rows: Sequence[Row]) -> list[str]:
    """Name each row distinctly: `PPLCNet_x1_0, paddlelite fp32, 1 thread, bs1`.

    The time of the measurement is added where two rows would otherwise have one name.
    """
    names = [
        f"{row.model}, {series}, {threads_words(row.requested_threads)}, bs{row.batch_size}"
        for row, series in zip(rows, series_names(rows), strict=True)
    ]
    counts = Counter(names)
    return [
        f"{name} ({row.started_at[:16]})" if counts[name] > 1 else name
        for row, name in zip(rows, names, strict=True)
    ]
