"""Counting a network's instructions on a virtual device."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from edgekit.bench.bench import bench
from edgekit.bench.sweep import ShowProgress
from edgekit.core.bench_options import BenchOptions
from edgekit.core.measurement import Point
from edgekit.core.spec import Precision
from edgekit.engines.registry import artifact_kind, device_side
from edgekit.errors import (
    DeviceError,
    DeviceLostError,
    EdgekitError,
    InputError,
    RunnerError,
    ToolError,
    UsageError,
)
from edgekit.estimate.estimate import known_count
from edgekit.estimate.layers import read_layers
from edgekit.estimate.soc_model import NetworkCount, SocModel
from edgekit.targets.device import opened_targets
from edgekit.targets.target import Subject

# The first inference packs the weights; from the second on counts of one thread differ by less than 1e-5.
WARMUP = 1
COUNTED = 2


def count_network(
    subject: Subject,
    soc: SocModel,
    *,
    precision: Precision,
    threads: Sequence[int],
    work: Path,
    show: ShowProgress,
    install: bool = True,
) -> NetworkCount:
    """Count a model's instructions on a virtual device under the SoC's identity, started for this.

    The outputs are not compared with Paddle's: an emulated inference takes seconds, and that needs 2 to 10.

    Args:
        work: Where the counting's result file is left.

    Raises:
        UsageError: No virtual device stands for the SoC.
        ToolError: The virtual device or the Paddle Lite library cannot be had.
        RunnerError: The counting failed.
    """
    from edgekit.virtual import lifecycle

    counted_on = soc.kernels(precision.value)
    virtual_soc = counted_on or soc.virtual_soc
    if virtual_soc is None:
        raise UsageError(
            f"counting {subject.manifest.name} for {soc.title}: its model names no virtual device's SoC",
            hint="--virtual-soc NAME, one of: edgekit virtual socs",
        )
    kind = artifact_kind(soc.engine, device_side(soc.engine), precision)
    artifact = subject.artifact(kind)
    instance = lifecycle.start(soc=virtual_soc)
    try:
        options = BenchOptions(
            engines=(soc.engine,),
            precisions=(precision,),
            threads=tuple(threads),
            warmup=WARMUP,
            repeats=COUNTED,
            output=str(work / "counts.json"),
        )
        with opened_targets([instance.config.address], install=install, other_engines=False) as targets:
            outcome = bench(targets[0], [subject], options, show=show, references=lambda _: None)
    finally:
        with contextlib.suppress(EdgekitError):
            lifecycle.stop(instance.config.serial)
    if outcome.interrupted:
        raise KeyboardInterrupt
    known = known_count(subject, precision, counted_on)
    layers = read_layers(subject.directory, subject.manifest) if precision is Precision.FP32 else None
    return NetworkCount(
        model=subject.manifest.name,
        network=None if known is None else known.network,
        precision=precision.value,
        counted_on=counted_on,
        nb_mb=artifact.files[0].size_bytes / 1e6,
        millions={str(point.requested_threads): _millions(point) for point in outcome.result.points},
        layers=layers,
        runtime=f"Paddle Lite {outcome.result.points[0].engine_version}",
    )


def _millions(point: Point) -> float:
    if point.instruction_count is None:
        error = point.error
        causes = {one.exit_code: one for one in (InputError, ToolError, DeviceError, DeviceLostError)}
        cause = causes.get(error.exit_code, RunnerError) if error else RunnerError
        raise cause(
            f"counting {point.model} at {point.requested_threads} threads: "
            f"{error.message if error else point.status.value}",
            hint=error.hint if error else None,
        )
    return round(point.instruction_count.main_thread / 1e6, 3)
