"""The model that was imported, computed as it came by the engine that reads it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.convert.importing.jobs import ScoresJob
from edgekit.convert.importing.steps import run_step
from edgekit.convert.manifest import first_fault, remake
from edgekit.core.artifact import ArtifactKind, Origin
from edgekit.engines.registry import rung_engine
from edgekit.errors import InputError
from edgekit.runners.protocol import Load
from edgekit.runners.session import RunnerSession
from edgekit.targets.target import HostTarget, Subject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SOURCE = "source"


def source_engine(origin: Origin) -> str:
    """The engine that reads the model that was imported."""
    return rung_engine(ArtifactKind.ONNX if origin.format == "onnx" else ArtifactKind.PADDLE)


def compute_source(
    origin: Origin, subject: Subject, inputs: NDArray[np.float32], target: HostTarget
) -> NDArray[np.float32]:
    """Outputs of the model that was imported, float32[N, C].

    Args:
        origin: The model as it came, in the subject's directory.
        subject: What was made of it.
        inputs: float32[N, C, H, W]; whole batches where the model takes batches of one size.
        target: This machine.

    Raises:
        InputError: A file of it is missing or has changed.
        ToolError, RunnerError: The engine is missing or failed.
    """
    fault = first_fault(origin, subject.directory)
    if fault is not None:
        raise InputError(fault, hint=remake(subject.manifest))
    paths = [str(subject.directory.absolute() / file.path) for file in origin.files]
    batch_size = subject.fixed_batch or 1
    if origin.format == "pir":
        return _pir(paths[0], paths[1], inputs, batch_size)
    label = f"the source of {subject.manifest.name} ({source_engine(origin)})"
    with target.session(source_engine(origin), label) as session:
        session.load(
            Load(
                model=paths[0],
                params=paths[1] if len(paths) > 1 else None,
                input_shape=(batch_size, *subject.input_shape),
            )
        )
        return infer_batches(session, inputs, batch_size)


def infer_batches(
    session: RunnerSession, inputs: NDArray[np.float32], batch_size: int
) -> NDArray[np.float32]:
    """Outputs of all inputs, `batch_size` at a time: float32[N, C]."""
    import numpy

    parts = [
        session.infer(inputs[start : start + batch_size])[0] for start in range(0, len(inputs), batch_size)
    ]
    return numpy.concatenate([part.reshape(len(part), -1) for part in parts])


def _pir(model: str, params: str, inputs: NDArray[np.float32], batch_size: int) -> NDArray[np.float32]:
    import numpy

    with tempfile.TemporaryDirectory(prefix="edgekit-source-") as name:
        job = ScoresJob(
            origin=model,
            model=model,
            params=params,
            inputs=str(Path(name) / "in.f32"),
            shape=tuple(inputs.shape),
            batch_size=batch_size,
            outputs=str(Path(name) / "out.f32"),
        )
        numpy.ascontiguousarray(inputs, dtype=numpy.float32).tofile(job.inputs)
        run_step(job)
        return numpy.fromfile(job.outputs, dtype=numpy.float32).reshape(len(inputs), -1)
