"""Results as flat rows: one point each, with all values that readers and spreadsheets need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from edgekit.core.artifact import is_random
from edgekit.core.device import DeviceInfo
from edgekit.core.energy import energy_per_inference_j
from edgekit.core.measurement import Point, Result
from edgekit.core.spec import ModelSpec, Platform, Precision, PublishedLatency
from edgekit.core.stats import median
from edgekit.core.units import NS_PER_MS, NS_PER_S
from edgekit.engines.registry import on_gpu, option_variant
from edgekit.judge.intervals import Interval, latency_intervals
from edgekit.report.accuracy import MeasuredAccuracy, find_accuracy
from edgekit.report.estimates import Estimated, find_estimate
from edgekit.report.timings import Timings, timings
from edgekit.zoo.registry import find_cards

BYTES_PER_MB = 1_000_000
# Figures of accuracy, of a publication and of `MeasuredAccuracy.figures` alike.
ACCURACIES = ("top1", "top5", "map", "map50", "miou")
# Figures of `MeasuredAccuracy.figures` alone: nothing is published for networks of the zoo.
MEASURED_ALONE = ("label_map", "ma", "label_f1", "instance_f1")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One measured point; figures that were not measured, not valid or not published are None.

    Attributes:
        number: Number of the point in the report, from 1.
        target: Serial of the device, or `host`.
        machine: GPU that computed, else the SoC or CPU.
        latency_ms: Median of the processes' medians, ms; None on emulated targets, whose time means nothing.
        latency_low_ms, latency_high_ms: 95 % interval of the latency over the processes, ms; None with fewer
            than two.
        pictures_per_s: Batch size over the latency, 1/s.
        p90_ms: 90th percentile over all samples, ms; None where they are too few.
        spread: Half the distance between p10 and p90, over the median.
        instructions: Instructions of the main thread in one inference; emulated targets only.
        reference: Engine whose outputs the parity compares with.
        parity: Agreement with the reference, `passed` or `failed`; after a failure no measured figure is
            shown.
        copy_in_ms, copy_out_ms: Median time to copy the input to a GPU and the output back, ms; the latency
            excludes both.
        weights: Origin of the weights, e.g. `random (seed 0)`; None where the result does not say.
        top1, top5, map, map50, miou: Published accuracy of the float network, per cent; None for int8, for
            random weights, and of other tasks.
        measured_top1, measured_top5, measured_map, measured_map50, measured_miou: Accuracy by `edgekit eval`
            on `measured_pictures` pictures, per cent.
        measured_label_map, measured_ma, measured_label_f1, measured_instance_f1: Figures of multi-label
            models by `edgekit eval`, per cent: mean average precision of the labels, and PaddleClas's.
        measured_source: Engine and list of the measured accuracy.
        crop_size: Side of the pictures, pixels.
        resize_short: Length of the short side before the crop, pixels.
        platform: Kind of published machine whose table layout the point takes.
        estimated_for: SoC of the estimate of this configuration.
        estimated_ms, estimated_low_ms, estimated_high_ms: Estimated latency and its interval, ms.
        estimate: `within` where the latency lies in the estimate's interval, else `contradicted`.
        published_ms: Published latency of this configuration on `published_platform`, ms.
    """

    number: int
    model: str
    target: str
    machine: str
    emulated: bool
    platform: str
    engine: str
    engine_version: str | None
    precision: str
    requested_threads: int
    effective_threads: int | None
    batch_size: int
    power_mode: str | None
    cores: str | None
    status: str
    latency_ms: float | None
    latency_low_ms: float | None
    latency_high_ms: float | None
    pictures_per_s: float | None
    p90_ms: float | None
    spread: float | None
    processes: int
    samples: int
    cold_start_ms: float | None
    peak_memory_mb: float | None
    energy_mj: float | None
    instructions: int | None
    copy_in_ms: float | None
    copy_out_ms: float | None
    reference: str | None
    parity: str | None
    verdict: str | None
    reasons: str
    error: str | None
    weights: str | None
    params_m: float | None
    flops_m: float | None
    top1: float | None
    top5: float | None
    map: float | None
    map50: float | None
    miou: float | None
    measured_top1: float | None
    measured_top5: float | None
    measured_map: float | None
    measured_map50: float | None
    measured_miou: float | None
    measured_label_map: float | None
    measured_ma: float | None
    measured_label_f1: float | None
    measured_instance_f1: float | None
    measured_pictures: int | None
    measured_source: str | None
    crop_size: int | None
    resize_short: int | None
    published_platform: str | None
    published_ms: float | None
    published_source: str | None
    artifact_sha256: str | None
    run_id: str
    started_at: str
    estimated_for: str | None = None
    estimated_ms: float | None = None
    estimated_low_ms: float | None = None
    estimated_high_ms: float | None = None
    estimate: str | None = None


# Columns without meaning for a network whose output is wrong.
MEASURED = (
    "latency_ms", "latency_low_ms", "latency_high_ms", "pictures_per_s", "p90_ms", "spread", "cold_start_ms",
    "peak_memory_mb", "energy_mj", "instructions", "copy_in_ms", "copy_out_ms", "estimate",
)  # fmt: skip


def result_rows(
    results: Iterable[Result],
    accuracies: Sequence[MeasuredAccuracy] = (),
    estimates: Sequence[Estimated] = (),
) -> list[Row]:
    """Return every point of every result in order, with the accuracies and estimates that match it."""
    points = [(result, point) for result in results for point in result.points]
    cards = find_cards(point.model for _, point in points)
    times = [Timings() if result.target.emulated else timings(point) for result, point in points]
    intervals = latency_intervals([one.medians_ns for one in times])
    return [
        _row(
            number,
            result,
            point,
            cards.get(point.model),
            find_accuracy(point, accuracies),
            find_estimate(point, result.target, estimates),
            time,
            interval,
        )
        for number, ((result, point), time, interval) in enumerate(
            zip(points, times, intervals, strict=True), start=1
        )
    ]


def engine_name(point: Point) -> str:
    """Return the engine with the options that differ from its defaults: `paddle onednn=off`."""
    variant = option_variant(point.engine, point.engine_options)
    return f"{point.engine} {variant}" if variant else point.engine


def machine_name(info: DeviceInfo) -> str:
    """Return a machine's name for people: the SoC, else the model, else the serial."""
    return info.soc or info.model or info.serial


def reason(row: Row) -> str:
    """Return why a point has no figures, without the configuration that precedes it; empty for no error."""
    message = (row.error or "").partition("\n")[0]
    head, separator, tail = message.partition("): ")
    own = f"{row.engine.partition(' ')[0]} on {row.model} ("
    return tail if separator and head.startswith(own) else message


def _row(
    number: int,
    result: Result,
    point: Point,
    card: ModelSpec | None,
    measured: MeasuredAccuracy | None,
    estimated: Estimated | None,
    times: Timings,
    interval: Interval | None,
) -> Row:
    info = result.target
    figures = card.published if card is not None else None
    weights = None if point.artifact is None else point.artifact.weights
    # Publications do not give the accuracy lost by quantising.
    accuracy = None if point.precision is Precision.INT8 or is_random(weights) else figures
    shown = published_latency(card, info, point)
    # Where a card lists its own resizes and crops, these two fields mean nothing.
    usual = None if card is None or card.preprocess.steps else card.preprocess
    count = point.instruction_count
    joules = energy_per_inference_j(point)
    row = Row(
        number=number,
        model=point.model,
        target=info.serial,
        machine=machine_name(info) if point.gpu is None else point.gpu.name,
        emulated=info.emulated,
        platform=published_platform(info, point.engine).value,
        engine=engine_name(point),
        engine_version=point.engine_version,
        precision=point.precision.value,
        requested_threads=point.requested_threads,
        effective_threads=point.effective_threads,
        batch_size=point.batch_size,
        power_mode=None if point.power_mode is None else point.power_mode.value,
        cores=point.requested_cores,
        status=point.status.value,
        latency_ms=_ms(times.latency_ns),
        latency_low_ms=None if interval is None else _ms(interval.low),
        latency_high_ms=None if interval is None else _ms(interval.high),
        pictures_per_s=None if not times.latency_ns else point.batch_size * NS_PER_S / times.latency_ns,
        p90_ms=_ms(times.p90_ns),
        spread=times.spread,
        processes=len(point.processes),
        samples=sum(len(run.samples_ns) for run in point.processes),
        cold_start_ms=None if info.emulated else _ms(point.cold_start_ns),
        peak_memory_mb=None if point.peak_memory_bytes is None else point.peak_memory_bytes / BYTES_PER_MB,
        energy_mj=None if info.emulated or joules is None else joules * 1000,
        instructions=None if count is None else count.main_thread,
        copy_in_ms=_median_ms([ns for run in point.processes for ns in run.copy_in_ns]),
        copy_out_ms=_median_ms([ns for run in point.processes for ns in run.copy_out_ns]),
        reference=None if point.parity is None else point.parity.reference,
        parity=None if point.parity is None else "passed" if point.parity.passed else "failed",
        verdict=None if point.verdict is None else point.verdict.value,
        reasons="; ".join(point.reasons),
        error=None if point.error is None else point.error.message,
        weights=weights,
        params_m=figures.params_m if figures else None,
        flops_m=figures.flops_m if figures else None,
        **{name: getattr(accuracy, name, None) for name in ACCURACIES},
        **{
            f"measured_{name}": measured.figures.get(name) if measured else None
            for name in (*ACCURACIES, *MEASURED_ALONE)
        },
        measured_pictures=measured.pictures if measured else None,
        measured_source=f"{measured.engine} on {measured.list_path}" if measured else None,
        crop_size=None if usual is None else usual.crop_size,
        resize_short=None if usual is None else usual.resize_short,
        published_platform=None if shown is None else shown.platform.value,
        published_ms=None if shown is None else shown.latency_ms,
        published_source=None if shown is None else shown.source,
        artifact_sha256=None if point.artifact is None else point.artifact.sha256,
        run_id=result.run_id,
        started_at=result.started_at,
        estimated_for=None if estimated is None else estimated.soc,
        estimated_ms=None if estimated is None else estimated.latency_ms,
        estimated_low_ms=None if estimated is None else estimated.low_ms,
        estimated_high_ms=None if estimated is None else estimated.high_ms,
        estimate=None if estimated is None else estimated.judge(_ms(times.latency_ns)),
    )
    return msgspec.structs.replace(row, **dict.fromkeys(MEASURED)) if row.parity == "failed" else row


def _ms(ns: float | None) -> float | None:
    return None if ns is None else ns / NS_PER_MS


def _median_ms(times_ns: Sequence[int]) -> float | None:
    return median(times_ns) / NS_PER_MS if times_ns else None


def published_platform(info: DeviceInfo, engine: str) -> Platform:
    """Return the published table whose layout a measurement takes."""
    if on_gpu(engine):
        return Platform.V100
    return Platform.INTEL_CPU if info.transport == "local" or info.abi == "x86_64" else Platform.SD855


def published_latency(card: ModelSpec | None, info: DeviceInfo, point: Point) -> PublishedLatency | None:
    """Return the published figure for the same batch, precision and, on phones, number of threads."""
    if card is None or card.published is None or point.precision is not Precision.FP32:
        return None
    platform = published_platform(info, point.engine)
    for one in card.published.latencies:
        same_threads = one.threads is None or one.threads == point.requested_threads
        if one.platform is platform and one.batch_size == point.batch_size and same_threads:
            return one
    return None
