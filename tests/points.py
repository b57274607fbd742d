"""Invented points of a result, for rules that are about numbers alone."""

from __future__ import annotations

import random
from typing import Any

from edgekit.core.device import Cluster, DeviceInfo
from edgekit.core.measurement import ArtifactRef, CoreState, Environment, Point, ProcessRun, Result, Status
from edgekit.core.parity import Parity
from edgekit.core.spec import Precision

QUIET = Environment(cores=(CoreState(core=0), CoreState(core=1)), load_1min=0.1, busy_processes=())
MS = 1_000_000


def samples(
    center_ms: float = 3.0, *, count: int = 200, noise: float = 0.01, seed: int = 0
) -> tuple[int, ...]:
    """Normally distributed around `center_ms`."""
    rng = random.Random(seed)
    return tuple(round(rng.gauss(center_ms, center_ms * noise) * MS) for _ in range(count))


def process(times: tuple[int, ...], **changes: Any) -> ProcessRun:
    """A process that was steady; `changes` are fields."""
    return ProcessRun(**{"samples_ns": times, "warmup_runs": 20, "steady": True, **changes})


def point(*processes: ProcessRun, **changes: Any) -> Point:
    """A quiet, verified point of these processes."""
    fields: dict[str, Any] = {
        "model": "PPLCNet_x1_0",
        "artifact": ArtifactRef(
            kind="onnx", format="onnx", sha256="a" * 64, converter="paddle2onnx", converter_version="2.1.0"
        ),
        "engine": "onnxruntime",
        "precision": Precision.FP32,
        "requested_threads": 1,
        "effective_threads": 1,
        "batch_size": 1,
        "status": Status.DONE,
        "processes": processes,
        "environment_before": QUIET,
        "environment_after": QUIET,
        "parity": Parity(
            reference="paddle",
            max_relative_error=1e-6,
            top1_agreement=1.0,
            inputs=4,
            outputs_differ=True,
            passed=True,
        ),
    }
    return Point(**{**fields, **changes})


def result(*points: Point, run_id: str = "run", **target: Any) -> Result:
    """A result file's document on an invented host; `target` are fields of its description."""
    info = {
        "serial": "host", "state": "device", "transport": "local", "soc": "Invented CPU",
        "clusters": (Cluster(cores=(0, 1), max_frequency_khz=None),),
    }  # fmt: skip
    return Result(
        run_id=run_id,
        started_at="2026-11-23T12:00:00.000+00:00",
        ended_at="2026-11-23T12:01:00.000+00:00",
        edgekit_version="0",
        command=("edgekit", "bench"),
        target=DeviceInfo(**{**info, **target}),
        points=points,
    )
