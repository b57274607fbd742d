"""The HTML report's plots, as SVG by matplotlib; each is None where the results hold nothing to draw."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from edgekit.core.measurement import Point, Result, Status
from edgekit.core.units import NS_PER_MS
from edgekit.report.rows import Row, engine_name

MAX_PANELS = 12
MAX_LINES = 12
MAX_DOTS = 400
WIDTH_INCHES = 7.5


def accuracy_plot(rows: Sequence[Row]) -> bytes | None:
    """Top-1 against latency at batch 1, a series an engine, precision and thread count."""
    series: dict[str, dict[tuple[float, float], str]] = {}
    for row in rows:
        if row.latency_ms is None or row.top1 is None or row.batch_size != 1:
            continue
        name = f"{row.engine} {row.precision}, {row.requested_threads} thread(s)"
        series.setdefault(name, {})[row.latency_ms, row.top1] = row.model
    if not series:
        return None
    figure, axes = _figure(3.6)
    for name, dots in list(series.items())[:MAX_LINES]:
        ordered = sorted(dots)[:: max(1, len(dots) // MAX_DOTS)]
        axes.plot(*zip(*ordered, strict=True), marker="o", markersize=4, linewidth=0.8, label=name)
        for x, y in ordered[:MAX_LINES]:
            axes.annotate(dots[x, y], (x, y), fontsize=6, xytext=(3, -7), textcoords="offset points")
    axes.set(xlabel="latency, ms", ylabel="published Top-1, %")
    axes.set_xlim(left=0)
    axes.legend(fontsize=7)
    return _svg(figure)


def scaling_plot(rows: Sequence[Row]) -> bytes | None:
    """Speed-up over the fewest threads, a line a model and engine."""
    lines: dict[tuple[str, ...], dict[int, float]] = {}
    for row in rows:
        cost = row.instructions if row.emulated else row.latency_ms
        if cost is not None and row.batch_size == 1:
            key = (row.model, row.engine, row.precision, row.run_id)
            lines.setdefault(key, {})[row.requested_threads] = float(cost)
    scaled = {key: line for key, line in lines.items() if len(line) > 1}
    if not scaled:
        return None
    figure, axes = _figure(3.2)
    for (model, engine, precision, _), line in list(scaled.items())[:MAX_LINES]:
        threads = sorted(line)
        speed = [line[threads[0]] / line[number] for number in threads]
        axes.plot(threads, speed, marker="o", markersize=4, label=f"{model}, {engine} {precision}")
    axes.set(
        xlabel="threads", ylabel="speed-up", xticks=sorted({n for line in scaled.values() for n in line})
    )
    axes.legend(fontsize=7)
    return _svg(figure)


def distribution_plot(results: Sequence[Result]) -> bytes | None:
    """Samples by process: a panel a point, a box (p10, quartiles, p90) a process."""
    points = _timed_points(results)[:MAX_PANELS]
    if not points:
        return None
    figure, panels = _panels(len(points), 1.9)
    for axes, point in zip(panels, points, strict=False):
        samples = [[ns / NS_PER_MS for ns in run.samples_ns] for run in point.processes if run.samples_ns]
        axes.boxplot(samples, whis=(10, 90), showfliers=False, widths=0.6)
        axes.set_title(_label(point), fontsize=7)
        axes.tick_params(labelsize=6)
    figure.supxlabel("process", fontsize=8)
    figure.supylabel("ms", fontsize=8)
    return _svg(figure)


def series_plot(results: Sequence[Result]) -> bytes | None:
    """Samples in the order they were taken, with the frequency and temperature between the processes."""
    points = _timed_points(results)[:MAX_PANELS]
    if not points:
        return None
    figure, panels = _panels(len(points), 1.9)
    for axes, point in zip(panels, points, strict=False):
        _draw_series(axes, point)
        axes.set_title(_label(point), fontsize=7)
        axes.tick_params(labelsize=6)
    figure.supxlabel("inference", fontsize=8)
    figure.supylabel("ms", fontsize=8)
    return _svg(figure)


def _draw_series(axes: Any, point: Point) -> None:
    start, ends, frequencies, temperatures = 0, [], [], []
    step = max(1, len(point.samples_ns) // MAX_DOTS)
    for run in point.processes:
        stop = start + len(run.samples_ns)
        axes.plot(range(start, stop, step), [ns / NS_PER_MS for ns in run.samples_ns[::step]], linewidth=0.6)
        for position, reading in zip((start, stop), run.readings, strict=False):
            khz = [core.frequency_khz for core in reading.cores if core.frequency_khz is not None]
            ends.append(position)
            frequencies.append(max(khz) / 1000 if khz else None)
            temperatures.append(max(reading.temperatures_celsius.values(), default=None))
        start = stop
    for values, style in ((frequencies, "--"), (temperatures, ":")):
        shown = [(x, y) for x, y in zip(ends, values, strict=True) if y is not None]
        if shown:
            right = axes.twinx()
            right.plot(*zip(*shown, strict=True), style, color="0.4", linewidth=0.8)
            right.tick_params(labelsize=6)


def _timed_points(results: Sequence[Result]) -> list[Point]:
    return [
        point
        for result in results
        if not result.target.emulated
        for point in result.points
        if point.status in (Status.DONE, Status.INTERRUPTED) and point.samples_ns
    ]


def _label(point: Point) -> str:
    settings = f"{point.precision.value} t{point.requested_threads} b{point.batch_size}"
    return f"{point.model}\n{engine_name(point)} {settings}"


def _figure(height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    axes = figure.subplots()
    axes.grid(visible=True, linewidth=0.3)
    return figure, axes


def _panels(count: int, height: float) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    columns = min(count, 3)
    rows = -(-count // columns)
    whole = height * rows + 0.3
    figure = Figure(figsize=(WIDTH_INCHES, whole))
    panels = figure.subplots(rows, columns, squeeze=False)
    # By hand: a constrained layout draws every panel's text several times, most of a report's time.
    figure.subplots_adjust(
        left=0.08, right=0.94, bottom=0.45 / whole, top=1 - 0.35 / whole, wspace=0.4, hspace=0.55
    )
    flat = [axes for line in panels for axes in line]
    for axes in flat[:count]:
        axes.locator_params(nbins=5)
    for axes in flat[count:]:
        axes.set_visible(False)
    return figure, flat[:count]


def _svg(figure: Any) -> bytes:
    import matplotlib

    out = io.BytesIO()
    # Text as text and nothing random or dated: equal results give equal bytes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "edgekit"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
