"""The first rung of an imported model's ladder: the source as it came, on the engine that reads it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.convert.importing.jobs import ScoresJob
from edgekit.convert.importing.source import Source, SourceKind
from edgekit.convert.importing.steps import run_step
from edgekit.core.artifact import ArtifactKind
from edgekit.engines.registry import rung_engine
from edgekit.errors import InputError
from edgekit.parity.reference import infer_batches
from edgekit.runners.protocol import Load
from edgekit.targets.target import HostTarget, Subject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SOURCE = "source"
ENGINES = {
    SourceKind.LEGACY: rung_engine(ArtifactKind.PADDLE),
    SourceKind.PIR: rung_engine(ArtifactKind.PADDLE),
    SourceKind.ONNX: rung_engine(ArtifactKind.ONNX),
}


def compute(
    source: Source, subject: Subject, inputs: NDArray[np.float32], target: HostTarget
) -> NDArray[np.float32]:
    """Outputs of the model that was imported, float32[N, C].

    Args:
        source: The model as it came.
        subject: What was made of it.
        inputs: float32[N, C, H, W].
        target: This machine.

    Raises:
        InputError: It is not the model that was imported.
        ToolError, RunnerError: The engine is missing or failed.
    """
    if source.sha256 != subject.manifest.source_sha256:
        raise InputError(
            f"verifying {subject.manifest.name}: {source.origin} is not the model that was imported",
            hint=f"edgekit import {source.origin} --name {subject.manifest.name}",
        )
    if source.kind is SourceKind.PIR:
        return _pir(source, inputs)
    engine = ENGINES[source.kind]
    with target.session(engine, f"the source of {subject.manifest.name}") as session:
        session.load(
            Load(
                model=str(source.model.absolute()),
                params=None if source.params is None else str(source.params.absolute()),
                input_shape=(1, *subject.input_shape),
            )
        )
        return infer_batches(session, inputs, 1)


def _pir(source: Source, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    import numpy

    with tempfile.TemporaryDirectory(prefix="edgekit-source-") as name:
        job = ScoresJob(
            origin=str(source.origin),
            model=str(source.model.absolute()),
            inputs=str(Path(name) / "in.f32"),
            shape=tuple(inputs.shape),
            outputs=str(Path(name) / "out.f32"),
        )
        numpy.ascontiguousarray(inputs, dtype=numpy.float32).tofile(job.inputs)
        run_step(job)
        return numpy.fromfile(job.outputs, dtype=numpy.float32).reshape(len(inputs), -1)
