"""Computation of an imported model's source by the engine that reads its format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit._files import scratch_directory
from edgekit.convert.formats.operators import check_program
from edgekit.convert.importing.jobs import ComputeJob
from edgekit.convert.importing.steps import run_step
from edgekit.convert.manifest import first_fault
from edgekit.core.artifact import ArtifactKind, Origin
from edgekit.engines.registry import rung_engine
from edgekit.errors import InputError
from edgekit.parity.lite import compute_nb
from edgekit.runners.protocol import Load
from edgekit.targets.target import HostTarget, Subject, infer_batches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SOURCE = "source"


def source_engine(origin: Origin) -> str:
    """Return the engine that reads the source of an imported model."""
    return rung_engine(ArtifactKind.ONNX if origin.format == "onnx" else ArtifactKind.PADDLE)


def source_paths(origin: Origin, subject: Subject) -> list[str]:
    """Return the paths of the source's files. Raises InputError where one is missing or has changed."""
    fault = first_fault(origin, subject.directory)
    if fault is not None:
        raise InputError(fault, hint=subject.remake())
    return [str(subject.directory.absolute() / file.path) for file in origin.files]


def compute_source(
    origin: Origin, subject: Subject, inputs: NDArray[np.float32], target: HostTarget
) -> NDArray[np.float32]:
    """Return the outputs of the source of an imported model, float32[N, C].

    Args:
        origin: Source, in the subject's directory.
        subject: The imported model.
        inputs: float32[N, C, H, W]; whole batches where the model takes batches of one size.
        target: This machine.

    Raises:
        InputError: A file of the source is missing or has changed.
        ToolError, RunnerError: The engine is missing or failed.
    """
    import numpy

    paths = source_paths(origin, subject)
    batch_size = subject.fixed_batch or 1
    if origin.format == "pir":  # Paddle Inference as the runner configures it does not load it
        batches = [[inputs[start : start + batch_size]] for start in range(0, len(inputs), batch_size)]
        rows = [outputs[0] for outputs in compute_feeds(origin.format, paths, batches)]
        joined = numpy.concatenate([each.reshape(len(each), -1) for each in rows])
        return numpy.asarray(joined, dtype=numpy.float32)
    if origin.format == "paddle":
        check_program(Path(paths[0]))
    label = f"the source of {subject.manifest.name} ({source_engine(origin)})"
    with target.session(source_engine(origin), label) as session:
        session.load(
            Load(
                model=paths[0],
                params=paths[1] if len(paths) > 1 else None,
                inputs=subject.load_inputs(subject.manifest.inputs, batch_size),
            )
        )
        return infer_batches(session, inputs, batch_size)


def compute_feeds(
    origin_format: str, paths: Sequence[str], feeds: Sequence[Sequence[NDArray[Any]]]
) -> list[list[NDArray[Any]]]:
    """Return the outputs by feed, computed in a process of its own by the Python interface of an engine.

    Args:
        origin_format: `onnx`, `paddle`, `pir`, or `nb` for one that runs on x86.
        paths: The model and, for Paddle, its parameters.
        feeds: Feeds, each with an array for every input.
    """
    import numpy

    with scratch_directory("feeds") as name:
        inputs, outputs = Path(name) / "in.npz", Path(name) / "out.npz"
        arrays = {
            f"{number}_{index}": array
            for number, feed in enumerate(feeds)
            for index, array in enumerate(feed)
        }
        numpy.savez(inputs, **arrays)  # type: ignore[arg-type]
        if origin_format == "nb":
            compute_nb(paths[0], len(feeds), inputs, outputs)
        else:
            run_step(
                ComputeJob(
                    origin=paths[0],
                    format=origin_format,
                    model=paths[0],
                    params=paths[1] if len(paths) > 1 else None,
                    inputs=str(inputs),
                    feeds=len(feeds),
                    outputs=str(outputs),
                )
            )
        with numpy.load(outputs) as computed:
            count = len(computed.files) // len(feeds)
            return [[computed[f"{number}_{index}"] for index in range(count)] for number in range(len(feeds))]
