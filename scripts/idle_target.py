"""This machine with an engine that idles: it says what inferences took without making any.

What a sweep does beside inferences can be measured with it, and what it does with the time that they take.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy

from edgekit.core.artifact import Artifact, ArtifactFile, ArtifactKind, Manifest, TensorSpec
from edgekit.core.measurement import Environment
from edgekit.core.preprocess import Preprocess
from edgekit.runners.protocol import CoreReading, EnvironmentRead, Load, Loaded, Ran, Run
from edgekit.runners.session import RunnerSession
from edgekit.targets.target import HostTarget, Subject
from edgekit.transports.local import LocalTransport

ENGINE = "onnxruntime"
MS = 1_000_000
RANDOM = numpy.random.default_rng()


class IdleSession(RunnerSession):
    """Answers as a runner does, without a process.

    Args:
        samples: Inferences of each `run`.
        latency_ms: What each takes, within a per cent.
    """

    def __init__(self, samples: int, latency_ms: float, label: str) -> None:
        super().__init__(LocalTransport(), (), label=label)
        self._samples = samples
        self._latency_ns = latency_ms * MS
        self._asked: Load | None = None

    def start(self) -> None:
        pass

    def load(self, request: Load, *, timeout_s: float = 0.0) -> Loaded:
        return Loaded(
            protocol=request.protocol, engine=ENGINE, engine_version="idle", load_ns=MS,
            requested_threads=request.threads, effective_threads=request.threads, cores=(), inputs=(),
            outputs=(), pid=os.getpid(),
        )  # fmt: skip

    def run(self, request: Run, *, timeout_s: float | None = None) -> Ran:
        low, high = round(self._latency_ns * 0.99), round(self._latency_ns * 1.01)
        samples = RANDOM.integers(low, high, self._samples).tolist()
        return Ran(samples_ns=tuple(samples), warmup_runs=request.warmup, first_run_ns=MS)

    def environment(self) -> EnvironmentRead:
        cores = tuple(CoreReading(core=core, frequency_khz=1, governor="idle") for core in range(8))
        return EnvironmentRead(clock_ns=1, cores=cores, load_1min=0.0)

    def reference_ns(self) -> int:
        return MS

    def close(self) -> int:
        return 0


class IdleTarget(HostTarget):
    """Every session of it idles; `sessions` counts them."""

    def __init__(self, *, samples: int = 20, latency_ms: float = 1.0) -> None:
        super().__init__()
        self._samples = samples
        self._latency_ms = latency_ms
        self.sessions = 0

    def prepare(self, engine: str) -> None:
        pass

    def session(
        self, engine: str, label: str, *, counted: bool = False, remake: Callable[[], str] | None = None
    ) -> RunnerSession:
        self.sessions += 1
        return IdleSession(self._samples, self._latency_ms, label)

    def environment(self, engine: str) -> Environment:
        return Environment(load_1min=0.0, busy_processes=())


def idle_subject(directory: Path) -> Subject:
    """A model of one byte, made in a directory, for any batch."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "inference.onnx").write_bytes(b"0")
    tensor = TensorSpec(name="x", dtype="float32", shape=(None, 3, 224, 224))
    file = ArtifactFile(path="inference.onnx", sha256=hashlib.sha256(b"0").hexdigest(), size_bytes=1)
    artifact = Artifact(
        kind=ArtifactKind.ONNX, files=(file,), tool="idle", tool_version="0", parent_sha256=None,
        inputs=(tensor,), outputs=(),
    )  # fmt: skip
    manifest = Manifest(
        edgekit_version="0", name="Idle", model=None, source="none", source_sha256=None, num_classes=1,
        output_activation="none", preprocess=Preprocess(), labels=None, inputs=(tensor,), outputs=(),
        artifacts={ArtifactKind.ONNX.value: artifact},
    )  # fmt: skip
    return Subject(directory=directory, manifest=manifest)
